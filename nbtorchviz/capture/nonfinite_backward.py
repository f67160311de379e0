"""Follow one backward of a copy node by node, and find the first that made NaN or infinity."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nbtorchviz.capture.nonfinite_pieces import first_bad, piece_of, place_in
from nbtorchviz.capture.nonfinite_ranges import bad_in, readable
from nbtorchviz.nonfinite import TensorPiece

MOST_NODES = 50_000


@dataclass(slots=True)
class BrokenNode:
    """The autograd node that was given finite gradients and made others."""

    name: str
    """``"SqrtBackward0"``."""
    number: int
    """Nodes are numbered in the order of the forward."""
    custom: str
    """Class of a custom ``autograd.Function``; ``""``: it is none."""
    bad: tuple[int, int]
    total: int
    before: TensorPiece | None
    """The gradient it was given, around the place where it broke."""
    after: TensorPiece
    """The gradient it made."""
    where: tuple[int, ...]
    """Index of the first NaN or infinite value in that."""
    shape: tuple[int, ...]
    """Of that."""

    @property
    def op(self) -> str:
        """The forward's operation, as autograd calls it: ``"sqrt"``."""
        return self.custom or op_of(self.name)


class _Stop(BaseException):
    pass


def first_broken(outputs: Sequence[Tensor], gradients: Sequence[Tensor]) -> BrokenNode | None:
    """Run the backward of ``outputs`` and stop at the first node that breaks.

    Args:
        outputs: with a graph.
        gradients: of the loss with respect to these, finite; every leaf keeps its ``grad``.
    """
    found: list[BrokenNode] = []
    nodes = nodes_of(outputs)
    # Also tensors of the user's that are no part of the copy: a global that its forward reads.
    leaves = [node.variable for node in nodes if hasattr(node, "variable")]
    before = [leaf.grad for leaf in leaves]
    handles = [node.register_hook(partial(_look, node, found)) for node in nodes]
    try:
        for leaf in leaves:
            leaf.grad = None  # or it would be added to in place
        # Not autograd.grad: a reentrant checkpoint refuses it.
        torch.autograd.backward(outputs, gradients)
    except _Stop:
        pass
    finally:
        for handle in handles:
            handle.remove()
        for leaf, gradient in zip(leaves, before, strict=True):
            leaf.grad = gradient
    return found[0] if found else None


def nodes_of(outputs: Sequence[Tensor], *, until: frozenset[int] = frozenset()) -> list[Any]:
    """List the autograd nodes behind some tensors, at most ``MOST_NODES``.

    Args:
        outputs: where to begin.
        until: numbers of nodes that are not entered.
    """
    waiting = [tensor.grad_fn for tensor in outputs if tensor.grad_fn is not None]
    seen: dict[Any, None] = {}
    while waiting and len(seen) < MOST_NODES:
        node = waiting.pop()
        if node in seen or number_of(node) in until:
            continue
        seen[node] = None
        waiting += [after for after, _ in node.next_functions if after is not None]
    return list(seen)


def number_of(node: Any) -> int:
    """Return the place of a node in the order of the forward."""
    return int(node._sequence_nr())


def op_of(name: str) -> str:
    """Turn ``"SqrtBackward0"`` into ``"sqrt"`` and ``"NativeLayerNorm..."`` into snake case."""
    stem = name.rpartition("::")[2].rstrip("0123456789").removesuffix("Backward")
    letters = [
        f"_{c.lower()}" if c.isupper() and at and not stem[at - 1].isupper() else c.lower()
        for at, c in enumerate(stem)
    ]
    return "".join(letters)


def _look(node: Any, found: list[BrokenNode], made: Sequence[Any], given: Sequence[Any]) -> None:
    if found:
        return
    bad = [bad_in(tensor) for tensor in made if _usable(tensor)]
    if not any(sum(counts) for counts in bad):
        return
    usable = [tensor for tensor in given if _usable(tensor)]
    worst = max(range(len(bad)), key=lambda at: sum(bad[at]))
    broken = [tensor for tensor in made if _usable(tensor)][worst]
    forward = getattr(node, "_forward_cls", None)
    custom = forward.__name__ if forward is not None else ""
    shape = tuple(broken.shape)
    where = first_bad(broken)
    before = None
    if usable:
        place = place_in(usable[0], where, shape)
        before = piece_of("gradient that came in", usable[0], place)
    after = piece_of("gradient that went on", broken, where)
    number = number_of(node)
    found.append(
        BrokenNode(
            node.name(), number, custom, bad[worst], broken.numel(), before, after, where, shape
        )
    )
    raise _Stop


def _usable(value: object) -> bool:
    return isinstance(value, Tensor) and readable(value)
