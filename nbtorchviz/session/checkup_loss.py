"""The loss of one batch: which one is meant, and what it is for a model that knows nothing."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nbtorchviz.capture.leaves import leaves, shape_of

Criterion = Callable[..., Any]
CROSS_ENTROPY = frozenset({"CrossEntropyLoss", "cross_entropy", "NLLLoss", "nll_loss"})
_SQUARED = frozenset({"MSELoss", "mse_loss"})
BINARY = frozenset(
    {
        *("BCEWithLogitsLoss", "binary_cross_entropy_with_logits"),
        *("BCELoss", "binary_cross_entropy"),
    }
)


def primary(output: object, size: int | None = None) -> Tensor | None:
    """Return the first floating tensor that holds the batch; None: there is no floating one.

    A model that gives its own loss, a temperature or a codebook may give it before the scores.
    Where no tensor holds the batch it is the first with axes, else the first.

    Args:
        output: of a forward.
        size: items of the batch; None: not known.
    """
    floating = [leaf for _, leaf in leaves(output) if leaf.is_floating_point()]
    batched = [leaf for leaf in floating if leaf.ndim and size and _holds(leaf, size)]
    with_axes = [leaf for leaf in floating if leaf.ndim]
    return next(iter([*batched, *with_axes, *floating]), None)


def loss_of(
    output: object, labels: Any, criterion: Criterion | None, size: int | None = None
) -> Tensor | None:
    """Return the loss as one number with its graph.

    Without a criterion: the loss that the model gives itself, else cross-entropy where the labels
    are class indices that fit the output. None: there is no loss to be had.

    Args:
        output: of a forward.
        labels: of the batch.
        criterion: called with (output, labels), or with the scores in the output.
        size: items of the batch; None: not known.
    """
    if criterion is not None and labels is not None:
        return _number(_judged(criterion, output, labels, size))
    own = _own_loss(output)
    if own is not None:
        return own
    scores = primary(output, size)
    if scores is None or criterion is not None or not are_classes(labels):
        return None
    axis = class_axis(scores.shape, labels.shape)
    if axis is None:
        return None
    return F.cross_entropy(scores.movedim(axis, 1) if axis else scores, labels.long())


def class_axis(scores: Sequence[int], labels: Sequence[int]) -> int | None:
    """Find the axis of class scores: 1 as PyTorch has it, else the last; None: no fit."""
    rest = list(labels)
    if len(scores) == len(rest) + 1:
        if len(scores) > 1 and [scores[0], *scores[2:]] == rest:
            return 1
        if list(scores[:-1]) == rest:
            return len(scores) - 1
    return 0 if len(scores) == 1 and not rest else None


def are_classes(labels: object) -> bool:
    """Whether labels are class indices."""
    whole = isinstance(labels, Tensor) and not labels.is_floating_point()
    return whole and isinstance(labels, Tensor) and labels.dtype != torch.bool


def name_of(criterion: Criterion | None) -> str:
    """Name the loss; without a criterion cross-entropy is assumed."""
    if criterion is None:
        return "cross_entropy"
    return str(getattr(criterion, "__name__", type(criterion).__name__))


def uses_classes(criterion: Criterion | None, labels: object) -> bool:
    """Whether the loss is a cross-entropy of class indices."""
    return name_of(criterion) in CROSS_ENTROPY and are_classes(labels)


def is_squared(criterion: Criterion | None) -> bool:
    """Whether the loss is a mean squared error."""
    return name_of(criterion) in _SQUARED


def expected_first(
    criterion: Criterion | None, classes: int | None, labels: object
) -> tuple[float, str] | None:
    """Return the loss of a model that knows nothing, and where it comes from."""
    if getattr(criterion, "reduction", "mean") != "mean":
        return None
    if uses_classes(criterion, labels) and classes is not None and classes > 1:
        return math.log(classes), f"ln({classes})"
    if name_of(criterion) in BINARY and getattr(criterion, "pos_weight", None) is None:
        shares = isinstance(labels, Tensor) and bool(((labels >= 0) & (labels <= 1)).all())
        return (math.log(2), "ln(2)") if shares else None
    return None


def guessing_loss(criterion: Criterion | None, labels: object) -> float | None:
    """Return the loss of the best answer that does not look at the input.

    Of class indices that is their entropy, in nats; for a mean squared error the targets' variance
    at each place. None: not known, or zero.
    """
    if isinstance(labels, Tensor) and is_squared(criterion):
        return _variance(labels) if getattr(criterion, "reduction", "mean") == "mean" else None
    if not uses_classes(criterion, labels) or not isinstance(labels, Tensor):
        return None
    if getattr(criterion, "weight", None) is not None:
        return None
    if getattr(criterion, "reduction", "mean") != "mean":
        return None
    kept = labels[labels != getattr(criterion, "ignore_index", -100)]
    counts = torch.unique(kept, return_counts=True)[1].double()
    share = counts / counts.sum()
    entropy = float(-(share * share.log()).sum())
    return entropy if entropy > 0 else None


def _variance(targets: Tensor) -> float | None:
    if not targets.ndim or len(targets) < 2:
        return None
    spread = float(targets.detach().double().var(0, correction=0).mean())
    return spread if math.isfinite(spread) and spread > 0 else None


def projection(output: object) -> Tensor | None:
    """Weigh all that an output holds at random: one number that depends on each part of it."""
    source = torch.Generator().manual_seed(1)
    total: Tensor | None = None
    for _, leaf in leaves(output):
        if leaf.is_floating_point() and leaf.requires_grad and leaf.numel():
            weights = torch.randn(leaf.shape, generator=source).to(leaf.device)
            part = (leaf.float() * weights).sum() / leaf.numel() ** 0.5
            total = part if total is None else total + part.to(total.device)
    return total


def _holds(leaf: Tensor, size: int) -> bool:
    """Whether the first two axes may hold the batch, also joined with another: (N T, C)."""
    first = shape_of(leaf)[:2]
    return first[0] > 0 and (first[0] % size == 0 or size in first)


def _judged(criterion: Criterion, output: object, labels: Any, size: int | None) -> object:
    try:
        return criterion(output, labels)
    except Exception:
        scores = primary(output, size)
        if scores is None or scores is output:
            raise
        return criterion(scores, labels)  # of a tuple or dictionary, what holds the batch


def _own_loss(output: object) -> Tensor | None:
    loss = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
    if isinstance(loss, Tensor) and loss.requires_grad:
        return loss.mean()
    if isinstance(output, Mapping) and output:  # torchvision's detectors: several losses
        parts = [part for part in output.values() if isinstance(part, Tensor)]
        if len(parts) == len(output) and all(not p.ndim and p.requires_grad for p in parts):
            return torch.stack(parts).sum()
    return None


def _number(loss: object) -> Tensor:
    if not isinstance(loss, Tensor):
        raise TypeError(f"the criterion gave {type(loss).__name__} instead of a tensor")
    return loss.mean() if loss.ndim else loss
