"""Whether a batch has as many labels as items, and what is said where labels give no loss."""

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from nbtorchviz.analysis.checkup_verdicts import plural
from nbtorchviz.capture.leaves import leaves, shape_of
from nbtorchviz.session.checkup_bench import Bench
from nbtorchviz.session.checkup_loss import CROSS_ENTROPY, are_classes, class_axis, name_of

COMPARING = frozenset(
    {
        *("MSELoss", "mse_loss", "L1Loss", "l1_loss", "HuberLoss", "huber_loss"),
        *("SmoothL1Loss", "smooth_l1_loss"),
    }
)
"""Losses that compare whatever can be broadcast: that they give a number says nothing."""


def misfit(bench: Bench, output: object) -> str | None:
    """Tell of labels whose shape does not fit the batch; None: it does, or it cannot be known.

    Labels with which another criterion, or the model itself, gives a loss are taken to fit: those
    of a CTC loss or of a masked graph have numbers of their own.
    """
    for name, labels, scores in _pairs(bench, output):
        if not _fits(labels, scores, bench.root.size):
            if name_of(bench.criterion) not in COMPARING and _gives_loss(bench, output):
                return None
            items = bench.root.size or len(scores)
            head = f" of output {name}" if name else ""
            return (
                f"{plural(len(labels), 'label')}{head} for a batch of {items:,} "
                f"(output {shape_of(scores)}): each item of the batch needs its own."
            )
        if name_of(bench.criterion) in COMPARING and (wrong := _broadcast(labels, scores)):
            return wrong
    return None


def wrong_indices(bench: Bench, output: object) -> str | None:
    """Tell of class indices that a cross-entropy refuses, by type or shape: it names no cure.

    Floating labels in the shape of the scores are probabilities, and are taken.
    """
    labels, scores = bench.batch.labels, bench.primary(output)
    if name_of(bench.criterion) not in CROSS_ENTROPY or not isinstance(labels, Tensor):
        return None
    if scores is None:
        return None
    column = scores.ndim == 2 and scores.shape[1] > 1 and shape_of(labels) == (len(scores), 1)
    if column and are_classes(labels) and not _gives_loss(bench, output):
        return f"Class indices must have shape ({len(scores)},): use labels.squeeze(1)."
    if bench.criterion is None:
        return None
    if not isinstance(labels, Tensor) or labels.dtype in (torch.int64, torch.uint8):
        return None
    if class_axis(scores.shape, labels.shape) is None:
        return None
    kind = str(labels.dtype).removeprefix("torch.")
    return f"Class indices must be int64, these are {kind}: use labels.long()."


def _broadcast(labels: Tensor, scores: Tensor) -> str | None:
    """Tell of shapes that are stretched to one that neither has: each label meets every score."""
    have, want = shape_of(labels), shape_of(scores)
    try:
        both = tuple(torch.broadcast_shapes(have, want))  # type: ignore[no-untyped-call]
    except RuntimeError:  # the loss will say so
        return None
    if both in (have, want):
        return None
    remedy = f"give labels of shape {want}"
    if want == (*have, 1):
        remedy = "use labels.unsqueeze(-1), or output.squeeze(-1)"
    elif have == (*want, 1):
        remedy = "use labels.squeeze(-1)"
    return (
        f"Labels {have} and output {want} are broadcast to {both}: labels are compared with "
        f"outputs that are not theirs. Here {remedy}."
    )


def without_loss(bench: Bench, output: object) -> str:
    """Say why there is no loss, and what to do."""
    if bench.batch.labels is None:
        return "there is no loss: give labels, checkup((inputs, labels))."
    if misfit(bench, output) is not None:
        return "there is no loss: the number of labels does not fit the batch."
    return (
        "no loss is known for these labels: say which, watch(model, criterion=nn.MSELoss()) or "
        "another, then checkup(batch)."
    )


def _pairs(bench: Bench, output: object) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield (name of the output, labels, scores) of what can be compared."""
    labels, scores = bench.batch.labels, bench.primary(output)
    if isinstance(labels, Tensor):
        if labels.ndim and scores is not None and scores.ndim:
            yield "", labels, scores
        return
    own, heads = dict(leaves(labels)), dict(leaves(output))
    if not isinstance(labels, Mapping) and len(own) != len(heads):
        return
    for name in filter(heads.__contains__, own):
        # Heads of a detector give other labels per item; only plain classifiers are compared.
        if own[name].ndim == 1 and heads[name].ndim == 2 and are_classes(own[name]):
            yield name, own[name], heads[name]


def _fits(labels: Tensor, scores: Tensor, size: int | None) -> bool:
    """Whether an axis of the labels is that of the batch, or they are as many as the positions."""
    if any(axis in (size, len(scores)) for axis in labels.shape[:2]):
        return True
    shape = shape_of(scores)
    flat = {math.prod(shape[:axis] + shape[axis + 1 :]) for axis in range(1, len(shape))}
    return labels.ndim == 1 and len(labels) in flat


def _gives_loss(bench: Bench, output: object) -> bool:
    try:
        return bench.loss(output) is not None
    except Exception:  # of the criterion; its own row says so
        return False
