"""What a map explains: one number per sample, made from the model's output.

A target is a class, one class per sample, or any callable that takes the model's output and
returns one score per sample, shape (N,), or their sum. The functions here make callables for
what is asked for often.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nbtorchviz.arguments import said
from nbtorchviz.capture.leaves import leaves

Target = int | Sequence[int] | Tensor | np.ndarray | Callable[[Any], Tensor] | None

_ACCEPTED = (
    "None (the predicted class), a class index, one class index per sample, or a callable that "
    "takes the model's output and returns one score per sample"
)


@dataclass(frozen=True, slots=True)
class Scores:
    """The numbers that are explained."""

    values: Tensor
    """Shape (N,), or () for their sum; with a graph."""
    names: tuple[int | str, ...]
    """What each sample's number is: a class index, or words."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Named:
    """A target with a name, which ``CamResult.targets`` carries."""

    name: str
    score: Callable[[Any], Tensor] = field(repr=False)

    def __call__(self, output: Any) -> Tensor:
        return self.score(output)


def contrast(a: int, b: int) -> Callable[[Any], Tensor]:
    """Explain why class ``a`` and not class ``b``: the difference of their scores."""

    def score(output: Any) -> Tensor:
        logits = _required_logits(output)
        for index in (a, b):
            _check_class(index, logits.shape[1])
        return logits[:, a] - logits[:, b]

    return _Named(f"{a} - {b}", score)


def mask_sum(index: int, mask: Any = None) -> Callable[[Any], Tensor]:
    """Explain a segmentation: class ``index``'s score, added up over pixels.

    Args:
        index: the class.
        mask: pixels that count, shape (H, W) or (N, H, W), in the size of the model's output.
            By default those where the model prefers this class.
    """

    def score(output: Any) -> Tensor:
        pixels = _pixel_scores(output)
        if pixels is None:
            raise ValueError(
                "mask_sum() explains outputs of shape (N, K, H, W), and there is none."
            )
        _check_class(index, pixels.shape[1])
        if mask is None:
            chosen = pixels.argmax(1) == index
        else:
            chosen = torch.as_tensor(mask, device=pixels.device).bool()
            if chosen.shape not in (pixels.shape[2:], (len(pixels), *pixels.shape[2:])):
                raise ValueError(
                    f"mask must have the size of the model's output, {tuple(pixels.shape[2:])}, "
                    f"got {tuple(chosen.shape)}."
                )
        return (pixels[:, index] * chosen).flatten(1).sum(1)

    return _Named(f"mask of class {index}", score)


def box_score(box: Sequence[float] | None = None, label: int | None = None) -> Any:
    """Explain one detection of a torchvision detector: its score.

    Args:
        box: (x0, y0, x1, y1) in pixels; the detection that overlaps it most is explained. By
            default the one with the highest score.
        label: only detections of this class.
    """

    def score(output: Any) -> Tensor:
        found = _detections(output)
        if found is None:
            raise ValueError("box_score() explains lists of {'boxes', 'labels', 'scores'}.")
        return torch.stack([_one_box(each, box, label) for each in found])

    name = "best detection" if box is None else f"detection at {tuple(round(v) for v in box)}"
    return _Named(name + ("" if label is None else f" of class {label}"), score)


def similarity(embedding: Any) -> Callable[[Any], Tensor]:
    """Explain why an input is like another: cosine of the output and a given embedding.

    Args:
        embedding: what the model put out for the other input, shape (D,), or (N, D) for one per
            sample.
    """

    def score(output: Any) -> Tensor:
        mine = _required_logits(output)
        other = torch.as_tensor(embedding, device=mine.device, dtype=mine.dtype).detach()
        if other.shape[-1] != mine.shape[-1]:
            raise ValueError(
                f"embedding must have {mine.shape[-1]} numbers as the model's output has, "
                f"got shape {tuple(other.shape)}."
            )
        return F.cosine_similarity(mine, other.expand_as(mine), dim=1)

    return _Named("similarity", score)


def scores_of(target: Target, output: Any) -> Scores:
    """Turn a target into the numbers whose gradients are taken.

    Raises:
        TypeError: not a target.
        ValueError: it does not fit this output; the message says what would.
    """
    if target is None:
        return _predicted(output)
    if callable(target):
        return _called(target, output)
    if isinstance(target, bool | str | bytes | float):
        raise TypeError(f"target must be {_ACCEPTED}; got {said(target)}.")
    pixels = _pixel_scores(output)
    logits = logits_of(output)
    if logits is not None:
        chosen = _classes(target, *logits.shape)
        index = torch.tensor(chosen, device=logits.device)
        return Scores(logits.gather(1, index[:, None])[:, 0], tuple(chosen))
    if pixels is None:
        raise ValueError(
            f"The model's output is {_described(output)}, not class scores of shape (N, K): "
            "give a callable that takes it and returns one score per sample."
        )
    chosen = _classes(target, *pixels.shape[:2])
    parts = [mask_sum(k)({"out": pixels[n : n + 1]}) for n, k in enumerate(chosen)]
    note = "the class's score, added up over the pixels where it is the highest"
    return Scores(torch.cat(parts), tuple(chosen), (note,))


def logits_of(output: Any) -> Tensor | None:
    """Find the class scores (N, K) in a model's output; None where there are none."""
    if _detections(output) is not None:
        return None
    found = [(path, t) for path, t in leaves(output) if t.is_floating_point()]
    for path, tensor in sorted(found, key=lambda leaf: leaf[0] != "logits"):
        if path == "logits" or len(found) == 1 or tensor.requires_grad:
            if tensor.ndim == 1:
                return tensor[:, None]
            return tensor if tensor.ndim == 2 else None
    return None


def classes_of(output: Any) -> int:
    """Count the classes that can be explained: of the output, or of its pixels; 0: none compete."""
    found = logits_of(output)
    found = _pixel_scores(output) if found is None else found
    return 0 if found is None or found.shape[1] == 1 else found.shape[1]


def _predicted(output: Any) -> Scores:
    if _detections(output) is not None:
        target = box_score()
        return Scores(target(output), (target.name,) * len(output))
    logits, pixels = logits_of(output), _pixel_scores(output)
    if logits is not None:
        values, best = logits.max(1)
        notes = (
            ("the model has one output: its score is explained",) if logits.shape[1] == 1 else ()
        )
        return Scores(values, tuple(best.tolist()), notes)
    if pixels is not None:
        preferred = pixels.detach().argmax(1).flatten(1)
        most = [int(sample.bincount().argmax()) for sample in preferred]
        return scores_of(most, output)
    raise ValueError(
        f"The model's output is {_described(output)}, so there is no predicted class: "
        "give target=, a callable that takes it and returns one score per sample."
    )


def _called(target: Callable[[Any], Tensor], output: Any) -> Scores:
    values = target(output)
    if not isinstance(values, Tensor) or values.ndim > 1 or not values.is_floating_point():
        raise TypeError(
            "target, a callable, must return one score per sample, a tensor of shape (N,), or "
            f"their sum; it returned {said(values)}."
        )
    if not values.requires_grad:
        raise ValueError(
            "The score that target returned has no gradient: compute it from the model's output "
            "without detach(), item() or argmax()."
        )
    name = getattr(target, "name", None) or getattr(target, "__name__", type(target).__name__)
    return Scores(values, (str(name),) * (len(values) if values.ndim else 1))


def _classes(target: Any, samples: int, classes: int) -> list[int]:
    """Read a class index, or one per sample."""
    try:
        given = np.asarray(target.tolist() if isinstance(target, Tensor) else target)
    except (TypeError, ValueError):
        given = np.empty(0, dtype=object)
    if given.dtype.kind not in "iu" or given.ndim > 1:
        raise TypeError(f"target must be {_ACCEPTED}; got {said(target)}.")
    if given.ndim and len(given) != samples:
        raise ValueError(f"target has {len(given)} classes for {samples} samples; give one each.")
    chosen = [int(index) for index in given] if given.ndim else [int(given)] * samples
    for index in chosen:
        _check_class(index, classes)
    return chosen


def _check_class(index: int, classes: int) -> None:
    if not 0 <= index < classes:
        raise ValueError(f"target must be a class from 0 to {classes - 1}, got {index}.")


def _required_logits(output: Any) -> Tensor:
    logits = logits_of(output)
    if logits is None:
        raise ValueError(f"This target needs outputs (N, K); the model's is {_described(output)}.")
    return logits


def _pixel_scores(output: Any) -> Tensor | None:
    """Find the class scores per pixel (N, K, H, W) of a segmentation."""
    for path, tensor in leaves(output):
        if path in ("", "out", "logits", "0") and tensor.ndim == 4 and tensor.is_floating_point():
            return tensor
    return None


def _detections(output: Any) -> list[dict[str, Tensor]] | None:
    if not isinstance(output, list) or not output:
        return None
    keys = {"boxes", "labels", "scores"}
    return output if all(isinstance(d, dict) and keys <= d.keys() for d in output) else None


def _one_box(found: dict[str, Tensor], box: Sequence[float] | None, label: int | None) -> Tensor:
    usable = torch.ones_like(found["labels"], dtype=torch.bool)
    if label is not None:
        usable = found["labels"] == label
    if not bool(usable.any()):
        of = "" if label is None else f" of class {label}"
        raise ValueError(
            f"The model detects nothing{of} in this image, so there is no score to explain. "
            "Lower its score threshold, or give a callable as target."
        )
    ranks = found["scores"].detach()
    if box is not None:
        ranks = _overlap(found["boxes"].detach(), torch.tensor(box, device=ranks.device))
    return found["scores"][torch.where(usable, ranks, ranks.new_tensor(-1.0)).argmax()]


def _overlap(boxes: Tensor, box: Tensor) -> Tensor:
    """Intersection over union of boxes (D, 4) with one."""
    low, high = torch.maximum(boxes[:, :2], box[:2]), torch.minimum(boxes[:, 2:], box[2:])
    common = (high - low).clamp(min=0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
    return common / (areas - common).clamp(min=1e-9)


def _described(output: Any) -> str:
    found = leaves(output)
    if not found:
        return said(output)
    shapes = ", ".join(f"{p + ' ' if p else ''}{tuple(t.shape)}" for p, t in found[:4])
    return f"{type(output).__name__} ({shapes})"
