"""Compute the maps that a viewer shows: every layer, some classes, one forward."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from nbtorchviz.analysis.cam_frame import NONE, OWN, CamFrame, CamLayer, cam_layer
from nbtorchviz.analysis.gradcam import LINEAR
from nbtorchviz.attribution.passes import CamPass
from nbtorchviz.attribution.result import CamResult
from nbtorchviz.attribution.targets import Scores, classes_of, logits_of
from nbtorchviz.capture.layers import split_key
from nbtorchviz.session.cam_images import CamImages

TOP = 5
"""So many of the most probable classes of each image have a map."""
ALL_CLASSES = 10
"""Where there is time, all of them, if they are no more than this."""
MOST_LAYERS = 40
ONE_SCORE = "the score"
"""Name of what is explained where a model puts out one number per image."""
_OF_ONE = (
    "This model puts out one score per image, which is explained: leave out target and contrast."
)
SECOND = "second"
"""Held against the next probable class of each image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CamRequest:
    """What a viewer wants to be computed."""

    method: str = "gradcam"
    target: int | None = None
    """A class for all images; None: the predicted one of each."""
    contrast: int | str | None = None
    """A class it is held against, or ``"second"``."""
    layer: str = ""
    """Must be among those computed."""
    own: Callable[[Any], Tensor] | Sequence[int] | None = None
    """A target that is no single class: a callable, or one class per image."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CamShot:
    """What one forward gave."""

    frame: CamFrame
    passes: tuple[dict[str, CamResult], ...]
    """Raw maps by layer for each slot of the frame, as they were computed."""
    keys: tuple[str, ...]
    others: tuple[str, ...]
    """Layers that have maps too, but were not computed."""
    own: str = ""
    """Name of a target that is no single class."""
    images: CamImages
    """What the maps are of."""
    p: NDArray[np.float64]
    """Probabilities (N, K) of all classes; K 0: nothing known."""
    unedited: dict[int, NDArray[np.float64]]
    """Of rows that were painted on: probabilities (K,) before, by the same weights."""
    edit: int = 0
    """Counts the changes to the images; 0: they are as they were given."""


@dataclass(slots=True)
class _Slot:
    scores: Scores
    classes: list[int]
    against: list[int]


def compute(
    model: nn.Module,
    images: CamImages,
    request: CamRequest,
    *,
    step: int = 0,
    before: CamShot | None = None,
    ranks: int = TOP,
) -> CamShot:
    """Run ``model`` once on ``images`` and make all maps; the model is left as it was.

    Args:
        model: the watched model.
        images: what it is run on.
        request: what is to be explained, and how.
        step: written on the result.
        before: an earlier result for the same model: the same layers are computed again, unless
            the maps of its default layer were zero, as those of a head that begins at zero are.
        ranks: so many of the most probable classes of each image, at least 1.

    Raises:
        NoMapError, RunRefusedError, TypeError, ValueError: as ``nbtorchviz.gradcam``.
    """
    again = before is not None and request.layer in ("", *before.keys) and _explains(before)
    names = {split_key(key)[0] for key in before.keys} if before is not None and again else None
    with CamPass(model, images.inputs, layers=names) as done:
        slots = _slots(done, images, request, ranks)
        if before is not None and again and all(key in done.taps for key in before.keys):
            keys, others, default = before.keys, before.others, before.frame.layer
        else:
            default = done.default_key(slots[0].scores)
            keys, others = _chosen(done, (default, request.layer))
        count = len(images)
        passes = tuple(
            _shown(
                done.maps(slot.scores, keys=keys, method=request.method, last=slot is slots[-1]),
                count,
            )
            for slot in slots
        )
        logits, known = done.logits, classes_of(done.output)
        infos = {key: (done.taps[key].record.type, _shape(done, key)) for key in keys}
        frame_notes = [*done.notes, *([images.note] if images.note else [])]
    p = probabilities(logits, done.samples)
    unedited = dict(zip(images.unedited, p[count:], strict=True))
    p = p[:count]
    classes = np.array([slot.classes for slot in slots], np.int32).T[:count]
    return CamShot(
        frame=CamFrame(
            step=step,
            method=request.method,
            linear=request.method in LINEAR,
            layers=tuple(_layer(key, passes, *infos[key]) for key in keys),
            layer=default,
            classes=classes,
            against=np.array([slot.against for slot in slots], np.int32).T[:count],
            p=picked(p, classes),
            explained=tuple(slots[0].classes[:count]),
            tops=tops_of(p),
            names=images.names,
            labels=images.labels,
            classes_known=known,
            captured_at_s=time.time(),
            notes=tuple(frame_notes),
        ),
        passes=passes,
        keys=keys,
        others=others,
        own=_own_name(slots[0], request),
        images=images,
        p=p,
        unedited=unedited,
    )


def _explains(shot: CamShot) -> bool:
    return any(maps[shot.frame.layer].maps.any() for maps in shot.passes)


def _shown(maps: dict[str, CamResult], count: int) -> dict[str, CamResult]:
    """Leave out what an edited image was before: only its probabilities are wanted."""
    return {
        key: each
        if len(each.maps) == count
        else replace(
            each,
            maps=each.maps[:count],
            targets=each.targets[:count],
            logits=None if each.logits is None else each.logits[:count],
        )
        for key, each in maps.items()
    }


def _slots(done: CamPass, images: CamImages, request: CamRequest, ranks: int) -> list[_Slot]:
    """What is explained: the user's own target first, then classes by rank, then those asked."""
    count, logits = done.samples, done.logits
    nothing = [NONE] * count
    own = request.own
    if callable(own) or logits is None or logits.shape[1] == 1:
        return _unranked(done, request)
    order = np.argsort(-logits, axis=1, kind="stable")
    columns = [order[:, rank].tolist() for rank in range(min(ranks, logits.shape[1]))]
    if own is not None:
        columns.insert(0, [*own, *(own[row] for row in images.unedited)])
    columns += [[each] * count for each in (request.target, request.contrast) if type(each) is int]
    slots, seen = [], [set[int]() for _ in range(count)]
    for column in columns:
        fresh = [NONE if cls in seen[row] else cls for row, cls in enumerate(column)]
        if all(cls == NONE for cls in fresh):
            continue
        slots.append(_Slot(done.scores(column), fresh, nothing))
        for row, cls in enumerate(column):
            seen[row].add(cls)
    if request.contrast is not None and request.method not in LINEAR:
        slots.append(_contrasted(done, request, order))
    return slots


def _unranked(done: CamPass, request: CamRequest) -> list[_Slot]:
    """What is explained where no classes compete: a callable, one score, pixels, a detection."""
    count, own, contrast = done.samples, request.own, request.contrast
    asked = [] if callable(own) else [c for c in (request.target, contrast) if c is not None]
    if asked and done.logits is not None:
        raise ValueError(_OF_ONE)
    if asked and (contrast == SECOND or (contrast is not None and request.method not in LINEAR)):
        raise ValueError("This contrast needs class scores of shape (N, K); leave it out.")
    scores = done.scores(own)
    names = [name for name in scores.names if isinstance(name, int)]
    first = names if done.logits is None and len(names) == count else [OWN] * count
    slots = [_Slot(scores, first, [NONE] * count)]
    classes = dict.fromkeys(int(c) for c in asked)
    slots += [_Slot(done.scores(cls), [cls] * count, [NONE] * count) for cls in classes]
    return slots


def _own_name(first: _Slot, request: CamRequest) -> str:
    if first.classes[0] == OWN:
        name = first.scores.names[0]
        return ONE_SCORE if isinstance(name, int) else name
    return "" if request.own is None else "as given"


def _contrasted(done: CamPass, request: CamRequest, order: NDArray[np.intp]) -> _Slot:
    """One backward of the difference, for methods whose maps are not linear in the score."""
    chosen, other = [], []
    for ranked in order.tolist():
        cls = ranked[0] if request.target is None else request.target
        second = next((each for each in ranked if each != cls), cls)
        chosen.append(cls)
        other.append(second if request.contrast == SECOND else int(request.contrast or 0))
    rows = list(range(done.samples))

    def difference(output: Any) -> Tensor:
        logits = logits_of(output)
        if logits is None:
            raise ValueError("A contrast needs class scores of shape (N, K).")
        result: Tensor = logits[rows, chosen] - logits[rows, other]
        return result

    return _Slot(done.scores(difference), chosen, other)


def _chosen(done: CamPass, needed: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Layers to compute, and the others: whole levels of names, the outermost first.

    Of layers that hand on the same tensor the first is taken.
    """
    levels: dict[int, list[str]] = {}
    for key in done.taps:
        levels.setdefault(key.count("."), []).append(key)
    kept: set[str] = set()
    for depth in sorted(levels):
        wider = _distinct(done, kept | set(levels[depth]), needed)
        if len(wider) > MOST_LAYERS:
            break
        kept = wider
    if not kept:
        outer = levels[min(levels)]
        places = np.linspace(0, len(outer) - 1, MOST_LAYERS).round().astype(int)
        kept = {outer[at] for at in places}
    kept |= {key for key in needed if key}
    keys = tuple(key for key in done.taps if key in kept)
    return keys, tuple(key for key in done.taps if key not in kept)


def _distinct(done: CamPass, keys: set[str], needed: Sequence[str]) -> set[str]:
    return {key for key in keys if key in needed or done.taps[key].same_as not in keys}


def _shape(done: CamPass, key: str) -> tuple[int, ...]:
    sizes, axis = tuple(done.taps[key].value.shape), done.axes[key].batch_axis
    return tuple(size for at, size in enumerate(sizes) if at != axis)


def _layer(
    key: str, passes: Sequence[dict[str, CamResult]], type: str, shape: tuple[int, ...]
) -> CamLayer:
    maps = np.stack([done[key].maps for done in passes], axis=1)
    notes = [note for note in passes[0][key].notes if _stays(note)]
    if maps.ndim == 3:  # along one axis
        maps = maps[:, :, None]
    elif maps.ndim == 5:
        notes.append(f"mean over {maps.shape[2]} slices")
        maps = maps.mean(axis=2)
    return cam_layer(key, maps, type=type, shape=shape, note="; ".join(notes))


def _stays(note: str) -> bool:
    """Whether a note is about the layer; the rest concerns one target or all layers."""
    return any(word in note for word in ("tokens arranged", "meant for activations", "of its out"))


def probabilities(logits: NDArray[np.float32] | None, count: int) -> NDArray[np.float64]:
    """Softmax of class scores (N, K), unless they are probabilities; (N, 0): nothing known."""
    if logits is None or logits.shape[1] < 2:
        return np.full((count, 0), np.nan)
    values = logits.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        if (values >= 0).all() and np.allclose(values.sum(1), 1, atol=1e-3):
            return values
        shifted = np.exp(values - values.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def tops_of(p: NDArray[np.float64]) -> tuple[tuple[tuple[int, float], ...], ...]:
    """Return the most probable classes of each image with their probabilities."""
    order = np.argsort(-p, axis=1, kind="stable")[:, :TOP]
    return tuple(
        tuple((int(cls), float(row[cls])) for cls in ranked)
        for row, ranked in zip(p, order, strict=True)
    )


def picked(p: NDArray[np.float64], classes: NDArray[np.int32]) -> NDArray[np.float32]:
    """Probability of each slot's class; NaN for none."""
    if not p.shape[1]:
        return np.full(classes.shape, np.nan, np.float32)
    found = np.take_along_axis(p, np.clip(classes, 0, p.shape[1] - 1), axis=1)
    return np.where(classes >= 0, found, np.nan).astype(np.float32)
