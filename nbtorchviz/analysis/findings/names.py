"""Kinds of layers, whose parameter is whose, and blocks that stand for all they hold."""

from collections.abc import Collection, Iterable
from functools import lru_cache

RELU_LIKE = frozenset(
    {"ReLU", "ReLU6", "Threshold", "Hardshrink", "Softshrink", "Hardswish", "SquaredReLU"}
)
"""Types whose output is exactly 0 over a range of inputs, where their slope is 0 too."""
IDEMPOTENT = frozenset({"ReLU", "ReLU6", "Hardtanh"})
"""Types that do nothing when they are applied to their own output."""
SQUASHING = {"Tanh": (-1.0, 1.0), "Sigmoid": (0.0, 1.0)}
"""Limits of the outputs of types that saturate at both ends."""
RECURRENT_TANH = frozenset({"RNN", "RNNCell"})
"""Types whose states are those of a tanh, unless they were told to be of a ReLU."""


def is_norm(kind: str) -> bool:
    """Tell whether a layer type normalises."""
    return "Norm" in kind


def is_batch_norm(kind: str) -> bool:
    """Tell whether a layer type normalises by the batch in training and not in eval."""
    return "BatchNorm" in kind


def is_dropout(kind: str) -> bool:
    """Tell whether a layer type leaves out values at random in training."""
    return "Dropout" in kind


def is_embedding(kind: str) -> bool:
    """Tell whether a layer type looks rows up, most of which a batch never meets."""
    return "Embedding" in kind


@lru_cache(maxsize=8_192)
def module_of(key: str) -> str:
    """Return the module's name of a layer key: ``"relu#2"`` is a call of ``"relu"``."""
    name, mark, call = key.rpartition("#")
    return name if mark and name and call.isdigit() else key


@lru_cache(maxsize=8_192)
def layer_of(parameter: str) -> str:
    """Return the layer that owns a parameter; a parameter of the model itself stays as it is."""
    return parameter.rpartition(".")[0] or parameter


def collapse(ill: Iterable[str], everything: Collection[str]) -> dict[str, list[str]]:
    """Name as few blocks as possible for layers that share an illness.

    Args:
        ill: layers.
        everything: all layers that could have been ill.

    Returns:
        Block or layer -> the ill layers it stands for, in the order of ``ill``. A block stands in
        only if all of its layers are ill, and ``""`` (the model) only if all layers are.
    """
    ill = list(dict.fromkeys(ill))
    everything = set(everything) | set(ill)
    total: dict[str, int] = {}
    for layer in everything:
        for block in _around(layer):
            total[block] = total.get(block, 0) + 1
    sick: dict[str, int] = {}
    for layer in ill:
        for block in _around(layer):
            sick[block] = sick.get(block, 0) + 1
    groups: dict[str, list[str]] = {}
    for layer in ill:
        whole = (b for b in _around(layer) if sick[b] == total[b] and total[b] > 1)
        groups.setdefault(next(whole, layer), []).append(layer)
    return {members[0] if len(members) == 1 else name: members for name, members in groups.items()}


def _around(layer: str) -> list[str]:
    """List the model, the blocks around a layer from the outside in, and the layer itself."""
    parts = layer.split(".")
    return ["", *(".".join(parts[:end]) for end in range(1, len(parts) + 1))]
