"""Build the frame that an ActivationBrowser's view paints, and nothing else: no traits, no I/O."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.feature_maps import Display, describe
from nbtorchviz.analysis.images import MAX_SIDE_PX, InputImage, input_image
from nbtorchviz.analysis.receptive import ReceptiveField
from nbtorchviz.analysis.tokens import row_words
from nbtorchviz.events import GradientCaptured, InputCaptured, LayerCaptured, LayerInfo, Statistics
from nbtorchviz.session.frame import statistics_of
from nbtorchviz.session.kept_frames import picture_notes
from nbtorchviz.session.silence import WINDOW
from nbtorchviz.widgets.selection import Selection

OVERHEAD_BYTES = 24_000
"""Room in a frame for the header, the per-channel numbers and the input picture."""
INPUT_SHARE = 0.2
"""Of a frame, for the picture of the input, at three bytes a pixel: 131 pixels of 260 kB."""
LEAST_VALUES = 200
"""A page holds at least so many values, however small the limit."""
MOST_TRIES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """Everything that one frame is made of."""

    event: LayerCaptured | None
    """None: there is nothing to show, and ``message`` says why."""
    info: LayerInfo | None
    selection: Selection
    input: InputCaptured | None = None
    image_hw: tuple[int, int] | None = None
    """Height and width of the model's input images, for tokens of a frame whose input is gone."""
    dead: Mapping[int, int] | None = None
    receptive: ReceptiveField | None = None
    class_names: Sequence[str] | None = None
    preview: bool = False
    """A kept frame, shown until a fresh one comes."""
    live: bool = True
    """The newest there is, not an earlier step."""
    step: int | None = None
    """The step that is held; the frame of another layer may be of one nearby."""
    message: str | None = None


def frame_parts(
    shot: Shot, seq: int, limit_bytes: int = 260_000
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return header and arrays of one frame; the static picture is drawn from the same.

    Args:
        shot: what to show.
        seq: number that views ack.
        limit_bytes: most bytes of the packet, 16,000 or more; channels are paged or pooled to
            fit. Names of classes are left out where they would take a quarter of it.
    """
    room = limit_bytes - min(OVERHEAD_BYTES, limit_bytes // 2)
    parts = _parts(shot, seq, room, limit_bytes)
    for _ in range(MOST_TRIES):
        # Beside its values a channel costs numbers of its own, a value of a strip an exact copy.
        size = _size_bytes(*parts)
        if size <= limit_bytes or room <= LEAST_VALUES:
            break
        shown = min(room, parts[1]["planes"].size) if parts[1] else 0
        room = max(LEAST_VALUES, int(0.95 * shown * limit_bytes / size))
        parts = _parts(shot, seq, room, limit_bytes)
    return parts


def _size_bytes(header: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> int:
    """Bytes of the packet: JSON, a description of each array, and the arrays."""
    text = len(json.dumps(header, ensure_ascii=False).encode())
    return text + sum(array.nbytes + 120 for array in arrays.values())


def _parts(
    shot: Shot, seq: int, room: int, limit_bytes: int
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    selection, event = shot.selection, shot.event
    header: dict[str, Any] = {
        "seq": seq,
        "layer": selection.layer,
        "show": selection.show,
        "type": shot.info.type if shot.info else "",
        "detail": shot.info.detail if shot.info else "",
        "preview": shot.preview,
        "live": shot.live,
        "held": selection.hold,
        "message": shot.message,
    }
    if event is None:
        header |= {"view": "none", "step": 0, "call": selection.call, "path": selection.path}
        return header, {}
    item = shot.input
    image = None
    if item is not None and item.values is not None:
        side_px = min(MAX_SIDE_PX, math.isqrt(int(INPUT_SHARE * limit_bytes / 3)))
        image = input_image(item.values, item.axes, max_side_px=side_px)
    display = describe(
        event.values,
        event.axes,
        channel=selection.channel,
        slice_index=selection.slice,
        image_hw=shot.image_hw if image is None else image.image_hw,
        words=row_words(event.notes),
        limit=room,
    )
    header |= {
        "layer": event.layer,
        "show": "gradient" if isinstance(event, GradientCaptured) else "activation",
        "call": event.call,
        "path": event.path,
        "step": event.step,
        "forward": event.forward,
        "phase": event.phase,
        "captured_at_s": event.captured_at_s,
        "sample": event.sample,
        "batch_size": event.batch_size,
        "sample_word": event.sample_word,
        "axes": list(event.axes),
        "shape": list(_without_batch(event)),
        "full_shape": list(event.shape),
        "dtype": event.dtype,
        "pooled": event.pooled * display.pooled,
        "source": "pinned" if event.source in ("pinned", "probe") else event.source,
        "stats": statistics_json(statistics_of(event)),
        "notes": [*_near(shot, event), *picture_notes(event), *display.notes],
        "dead": {str(channel): step for channel, step in (shot.dead or {}).items()},
        "quiet": [c for c in display.quiet() if c not in (shot.dead or {})],
        "dead_window": WINDOW,
        "names": _names(shot.class_names, display, limit_bytes // 4),
        "receptive": _receptive(shot.receptive, event.pooled * display.pooled),
        **display.header(),
    }
    if display.view == "none":
        header["message"] = "; ".join(header["notes"]) or None
    arrays = display.arrays()
    header["input"] = None if item is None else input_json(item, image, shot.class_names)
    if image is not None and image.pixels is not None:
        arrays["input"] = image.pixels
    return header, arrays


def _near(shot: Shot, event: LayerCaptured) -> list[str]:
    """Say that the frame is not of what is asked for: of a layer that went, of another step."""
    if shot.info is None:
        return [f"{event.layer} is no longer part of the model: its last picture"]
    if shot.step is None or shot.step == event.step:
        return []
    return [f"step {event.step}: the nearest to step {shot.step} that is kept of {event.layer}"]


def statistics_json(statistics: Statistics) -> dict[str, Any]:
    """Return the numbers as JSON; what is not finite or not known is None."""
    names = ("minimum", "maximum", "mean", "std", "zero_share")
    found: dict[str, Any] = {}
    for name in names:
        value = getattr(statistics, name)
        found[name] = value if value is not None and np.isfinite(value) else None
    for name in ("nan", "posinf", "neginf", "count", "sampled", "note"):
        found[name] = getattr(statistics, name)
    return found


_ALMOST = 1 - 1e-9
"""No softmax is 1; its float32 is rounded to it, and would be written as 100 %."""


def input_json(
    item: InputCaptured, image: InputImage | None, class_names: Sequence[str] | None
) -> dict[str, Any]:
    """Return what is known of the input sample."""

    def name(index: int | None) -> str | None:
        if index is None:
            return None
        if class_names is not None and 0 <= index < len(class_names):
            return class_names[index]
        return str(index)

    of_batch = item.source in ("batch", "twin")
    text = f"{item.sample_word} {item.sample}, new each step" if of_batch else "pinned input"
    return {
        "label": name(item.label),
        "prediction": name(item.prediction),
        "probability": None if item.probability is None else min(item.probability, _ALMOST),
        "text": text,
        "shape": list(item.shape),
        "layout": "none" if image is None else image.layout,
        "range": None if image is None or image.range is None else list(image.range),
        "note": "" if image is None else image.note,
    }


def _without_batch(event: LayerCaptured) -> tuple[int, ...]:
    if len(event.shape) == len(event.axes):
        return event.shape
    return event.shape[1:] if event.batch_size == event.shape[0] else tuple(event.values.shape)


def _names(
    class_names: Sequence[str] | None, display: Display, most_bytes: int
) -> list[str] | None:
    if not class_names or display.view != "strip" or display.total != len(class_names):
        return None
    fits = sum(len(name.encode()) + 4 for name in class_names) <= most_bytes
    return list(class_names) if fits else None


def _receptive(field: ReceptiveField | None, pooled: int) -> dict[str, Any] | None:
    return None if field is None or pooled > 1 else field.header()
