"""Understand a batch as users have it: which part is the input, which part the labels."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from nbtorchviz.capture.leaves import dtype_name, leaves, shape_of
from nbtorchviz.capture.plans import Inputs
from nbtorchviz.session.pinned import probe_inputs

_LABELS = ("labels", "label", "targets", "target", "y")


@dataclass(frozen=True, slots=True)
class Batch:
    """The arguments of one forward and what belongs to them."""

    inputs: Inputs
    labels: Any = None
    """A tensor, or whatever the criterion takes; None: there are none."""

    def tensors(self) -> list[tuple[str, Tensor]]:
        """Return the input tensors with their names; a single one is ``"input"``.

        Labels that the model takes to work out its own loss are no input.
        """
        positional = self.inputs.args
        named: Any = positional if len(positional) > 1 else (positional or ((),))[0]
        keywords = {key: v for key, v in self.inputs.kwargs.items() if key not in _LABELS}
        found = [*leaves(named), *leaves(keywords)]
        return [(name or "input", tensor) for name, tensor in found]

    def describe(self) -> str:
        """Say how it was understood: ``"input (64, 1, 28, 28) float32, labels (64,) int64"``."""
        parts = [f"{name} {_describe(tensor)}" for name, tensor in self.tensors()]
        if isinstance(self.labels, Tensor):
            parts.append(f"labels {_describe(self.labels)}")
        elif self.labels is not None:
            parts.append(f"labels {type(self.labels).__name__}")
        else:
            parts.append("no labels")
        return ", ".join(parts)

    def copy(self, device: torch.device | None = None) -> "Batch":
        """Return a copy that a forward may write to, on ``device``."""

        def own(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            return leaf.detach().to(device or leaf.device, copy=True)

        args, kwargs, labels = pytree.tree_map(
            own, (self.inputs.args, self.inputs.kwargs, self.labels)
        )
        return Batch(Inputs(args, kwargs), labels)


def understand(model: nn.Module, batch: object, labels: object = None) -> Batch:
    """Tell inputs and labels apart.

    Args:
        model: the arguments of its forward decide.
        batch: a tensor, a dictionary, or what a DataLoader yields: (input, labels).
        labels: given apart; then all of ``batch`` is input.

    Raises:
        TypeError: it is no batch.
    """
    if isinstance(batch, Inputs):
        return Batch(batch, _as_labels(labels))
    if isinstance(batch, Mapping):
        return _from_mapping(model, dict(batch), labels)
    if isinstance(batch, tuple | list) and batch:
        items = tuple(batch)
        count = len(items) if labels is not None else _inputs_among(model, items)
        if count == len(items) == 2 and labels is None and _are_arguments(model, items):
            count = 1
        if count < len(items):
            labels = items[count]
        items = items[:count]
        if count == 1 and isinstance(items[0], Mapping):
            return _from_mapping(model, dict(items[0]), labels)
        if count == 1 and isinstance(items[0], tuple | list) and _binds(model, items[0]):
            items = tuple(items[0])
        return Batch(probe_inputs(model, items), _as_labels(labels))
    if not isinstance(batch, Tensor) and hasattr(batch, "__iter__") and not leaves(batch):
        raise TypeError(
            f"checkup() needs one batch, got {type(batch).__name__}. "
            "Of a DataLoader take the first: next(iter(loader))."
        )
    return Batch(probe_inputs(model, (batch,)), _as_labels(labels))


def _from_mapping(model: nn.Module, given: dict[Any, Any], labels: object) -> Batch:
    if labels is None:
        key = next((key for key in _LABELS if key in given), None)
        if key is not None:
            labels = given[key]
            if key not in inspect.signature(model.forward).parameters:
                del given[key]  # else the model works out its own loss
    return Batch(probe_inputs(model, (given,)), _as_labels(labels))


def _inputs_among(model: nn.Module, items: tuple[Any, ...]) -> int:
    """How many items are arguments of the forward; labels come after those it needs."""
    for count in range(len(items) - 1, 0, -1):
        after = items[count]
        mask = isinstance(after, Tensor) and after.dtype == torch.bool
        if _binds(model, items[:count]) and not (mask and _binds(model, items[: count + 1])):
            return count
    return len(items)


def _are_arguments(model: nn.Module, items: tuple[Any, ...]) -> bool:
    """Whether the first item holds all that the forward needs: ((a, b), labels)."""
    inputs, after = items
    mask = isinstance(after, Tensor) and after.dtype == torch.bool and _binds(model, items)
    tensors = isinstance(inputs, tuple | list) and all(isinstance(i, Tensor) for i in inputs)
    return tensors and not mask and _binds(model, inputs)


def _binds(model: nn.Module, items: Any) -> bool:
    try:
        inspect.signature(model.forward).bind(*items)
    except (TypeError, ValueError):
        return False
    return True


def _as_labels(labels: object) -> Any:
    if isinstance(labels, list | tuple) and all(isinstance(item, int | float) for item in labels):
        return torch.tensor(labels)
    return torch.as_tensor(labels) if hasattr(labels, "__array__") else labels


def _describe(tensor: Tensor) -> str:
    return f"{shape_of(tensor)} {dtype_name(tensor)}"
