"""What can be known of a loss that is computed outside the model, by a function of the user's."""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from nbtorchviz.capture.nonfinite_backward import nodes_of, number_of, op_of

MOST_FRAMES = 40
MOST_TERMS = 8
_ALONE: dict[str, Callable[[Tensor], Tensor]] = {
    "log": torch.log,
    "log2": torch.log2,
    "log10": torch.log10,
    "log1p": torch.log1p,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "reciprocal": torch.reciprocal,
    "neg": torch.neg,
    "abs": torch.abs,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "acos": torch.acos,
    "asin": torch.asin,
    "squeeze": torch.clone,
    "view": torch.clone,
    "clone": torch.clone,
}
"""Functions of one tensor and nothing else, by what autograd calls them."""


@dataclass(slots=True)
class LossChain:
    """The operations between a model's output and a loss, in the order of the forward."""

    value: float
    """Of the loss."""
    ops: tuple[str, ...]
    terms: tuple[tuple[str, float], ...] = ()
    """Variables of the same function, by name, that the loss was made of."""


def find_loss(outputs: Iterable[int]) -> LossChain | None:
    """Look for the loss among the variables of the calling functions; nothing is changed.

    Args:
        outputs: autograd numbers of the model's outputs; the loss was made from these.
    """
    until = frozenset(outputs)
    frame: Any = sys._getframe(1)
    best: LossChain | None = None
    for _ in range(MOST_FRAMES):
        if frame is None or best is not None:
            break
        for value in list(frame.f_locals.values()):
            if isinstance(value, Tensor) and value.grad_fn is not None and value.numel() == 1:
                chain = _chain(value, until)
                if chain is not None and (best is None or len(chain.ops) > len(best.ops)):
                    best = replace(chain, terms=_terms(value, frame.f_locals, until))
        frame = frame.f_back
    return best


def first_alone(chain: LossChain, output: Tensor) -> tuple[str, Tensor, Tensor] | None:
    """Apply the first operations of a chain, as far as they take one tensor and nothing else.

    Returns:
        The operation that made NaN or infinity of finite values, its input and its output.
    """
    value = output.detach().float()
    for op in chain.ops:
        function = _ALONE.get(op)
        if function is None:
            return None
        made = function(value)
        if not bool(torch.isfinite(made).all()):
            return op, value, made
        value = made
    return None


def _terms(
    loss: Tensor, variables: Mapping[str, object], until: frozenset[int]
) -> tuple[tuple[str, float], ...]:
    """Find other scalars that the loss was made of, in the order of the forward."""
    nodes = set(nodes_of([loss], until=until)) - {loss.grad_fn}
    scalars = [
        (name, value)
        for name, value in list(variables.items())
        if isinstance(value, Tensor) and value.numel() == 1 and value.grad_fn in nodes
    ]
    ordered = sorted(scalars, key=lambda item: number_of(item[1].grad_fn))
    return tuple((name, float(value.detach())) for name, value in ordered[:MOST_TERMS])


def _chain(loss: Tensor, until: frozenset[int]) -> LossChain | None:
    nodes = nodes_of([loss], until=until)
    reached = any(
        after is not None and number_of(after) in until
        for node in nodes
        for after, _ in node.next_functions
    )
    if not reached or not loss.is_cpu:
        return None
    named = [node for node in nodes if "AccumulateGrad" not in node.name()]
    ordered = sorted(named, key=number_of)
    return LossChain(float(loss.detach()), tuple(op_of(node.name()) for node in ordered))
