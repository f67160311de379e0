"""Build the frame that an ActivationBrowser's view paints, and nothing else: no traits, no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.feature_maps import Display, describe
from nbtorchviz.analysis.images import picture_of
from nbtorchviz.analysis.packets import pack
from nbtorchviz.analysis.receptive import Receptive
from nbtorchviz.events import GradientCaptured, InputCaptured, LayerCaptured, LayerInfo, Statistics
from nbtorchviz.session.silence import WINDOW
from nbtorchviz.widgets.selection import Selection

OVERHEAD_BYTES = 24_000
"""Room in a frame for the header, the per-channel numbers and the input picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """Everything that one frame is made of."""

    event: LayerCaptured | None
    """None: there is nothing to show, and ``message`` says why."""
    info: LayerInfo | None
    selection: Selection
    input: InputCaptured | None = None
    dead: Mapping[int, int] | None = None
    receptive: Receptive | None = None
    class_names: Sequence[str] | None = None
    preview: bool = False
    """A kept frame, shown until a fresh one comes."""
    live: bool = True
    """The newest there is, not an earlier step."""
    message: str | None = None


def frame_packet(shot: Shot, seq: int, limit_bytes: int) -> bytes:
    """Return the packet of one frame, at most ``limit_bytes`` long.

    The fields are described in the docstring of ``static/src/frame.js``.
    """
    header, arrays = frame_parts(shot, seq, limit_bytes)
    return pack(header, arrays)


def frame_parts(
    shot: Shot, seq: int, limit_bytes: int = 260_000
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return header and arrays of one frame; the static picture is drawn from the same."""
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
    display = describe(
        event.values,
        event.axes,
        channel=selection.channel,
        slice_index=selection.slice,
        image_hw=image_size(shot.input),
        limit=max(1000, limit_bytes - OVERHEAD_BYTES),
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
        "stats": statistics_json(event.statistics),
        "notes": [*event.notes, *display.notes],
        "dead": {str(channel): step for channel, step in (shot.dead or {}).items()},
        "quiet": [c for c in display.quiet() if c not in (shot.dead or {})],
        "dead_window": WINDOW,
        "names": _names(shot.class_names, display),
        "receptive": _receptive(shot.receptive, event.pooled * display.pooled),
        **display.header(),
    }
    arrays = display.arrays()
    header["input"], picture = input_json(shot.input, shot.class_names)
    if picture is not None:
        arrays["input"] = picture
    return header, arrays


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


def input_json(
    item: InputCaptured | None, class_names: Sequence[str] | None
) -> tuple[dict[str, Any] | None, NDArray[np.uint8] | None]:
    """Return what is known of the input sample, and its picture."""
    if item is None:
        return None, None

    def name(index: int | None) -> str | None:
        if index is None:
            return None
        known = class_names is not None and 0 <= index < len(class_names)
        return class_names[index] if known and class_names else str(index)

    picture = None if item.values is None else picture_of(item.values, item.axes)
    of_batch = item.source in ("batch", "twin")
    text = f"{item.sample_word} {item.sample}, new each step" if of_batch else "pinned input"
    found = {
        "label": name(item.label),
        "prediction": name(item.prediction),
        "probability": item.probability,
        "text": text,
        "shape": list(item.shape[1:] if item.batch_size else item.shape),
        "layout": picture.layout if picture else "none",
        "range": list(picture.range) if picture and picture.range else None,
        "note": picture.note if picture else "",
    }
    return found, None if picture is None else picture.pixels


def image_size(item: InputCaptured | None) -> tuple[int, int] | None:
    """Return height and width of the input when it is an image."""
    if item is None or item.values is None:
        return None
    sizes = dict(zip(item.axes, item.values.shape, strict=False))
    return (sizes["H"], sizes["W"]) if {"H", "W"} <= sizes.keys() else None


def _without_batch(event: LayerCaptured) -> tuple[int, ...]:
    if len(event.shape) == len(event.axes):
        return event.shape
    return event.shape[1:] if event.batch_size == event.shape[0] else tuple(event.values.shape)


def _names(class_names: Sequence[str] | None, display: Display) -> list[str] | None:
    fits = class_names is not None and display.view == "strip" and display.total == len(class_names)
    return list(class_names) if fits and class_names else None


def _receptive(field: Receptive | None, pooled: int) -> dict[str, Any] | None:
    if field is None or pooled > 1:
        return None
    return {"size": list(field.size), "stride": list(field.stride), "start": list(field.start)}
