"""Pack what a GradCAMViewer's view paints; ``static/src/cam_packet.js`` reads it."""

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nbtorchviz.analysis.cam_frame import NONE, CamFrame
from nbtorchviz.analysis.images import InputImage
from nbtorchviz.analysis.packets import pack

HEADER_BYTES = 12_000
"""Room left for names, shapes and probabilities."""
IMAGES_BYTES = 240_000
"""Most bytes of all images together, so that they fit into one message."""
PIXELS_UP_TO = 64
"""Images with larger sides go to a view as JPEG."""


def frame_packet(
    frame: CamFrame, *, seq: int, limit_bytes: int, first: Sequence[int] = (), **about: Any
) -> bytes:
    """Return one packet with the maps of ``frame``.

    Args:
        frame: all that was computed.
        seq: number that views ack.
        limit_bytes: maps are averaged over blocks, then classes left out, until they fit.
        first: slots that stay longest: those that are looked at.
        about: more fields of the header.
    """
    kept = frame.within(max(4_000, limit_bytes - HEADER_BYTES), first)
    header = {
        "version": 1,
        "seq": seq,
        "step": kept.step,
        "method": kept.method,
        "linear": kept.linear,
        "layer": kept.layer,
        "captured_at_s": kept.captured_at_s,
        "classes_known": kept.classes_known,
        "notes": list(kept.notes),
        "rows": [
            {"name": name, "label": label, "cls": cls, "top": [[c, _number(p)] for c, p in top]}
            for name, label, cls, top in zip(
                kept.names, kept.labels, kept.explained, kept.tops, strict=True
            )
        ],
        "layers": [
            {
                "key": layer.key,
                "type": layer.type,
                "shape": list(layer.shape),
                "pooled": layer.pooled,
                "note": layer.note,
            }
            for layer in kept.layers
        ],
        **about,
    }
    arrays: dict[str, NDArray[Any]] = {
        "classes": kept.classes,
        "against": kept.against,
        "p": kept.p,
    }
    for at, layer in enumerate(kept.layers):
        arrays |= {f"maps{at}": layer.codes, f"range{at}": layer.ranges}
    return pack(header, arrays)


def images_packet(images: Sequence[InputImage], names: Sequence[str]) -> bytes:
    """Return one packet with the images as they are shown, and by which rule.

    Small ones as pixels; photographs as JPEG, some 20 kB each: the browser only shows them.
    """
    arrays: dict[str, NDArray[Any]] = {}
    rows = []
    for at, (image, name) in enumerate(zip(images, names, strict=True)):
        row: dict[str, Any] = {"name": name, "note": image.note}
        if image.pixels is not None:
            height, width = image.pixels.shape[:2]
            row |= {"h": height, "w": width}
            packed = max(height, width) > PIXELS_UP_TO
            arrays[f"{'jpeg' if packed else 'image'}{at}"] = (
                _jpeg(image.pixels, IMAGES_BYTES // len(images)) if packed else image.pixels
            )
        rows.append(row)
    return pack({"version": 1, "rows": rows}, arrays)


def _jpeg(pixels: NDArray[np.uint8], limit_bytes: int) -> NDArray[np.uint8]:
    """Compress a picture as well as fits."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    data = b""
    for quality in (90, 75, 50, 25):
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=quality)
        data = stream.getvalue()
        if len(data) <= limit_bytes:
            break
    return np.frombuffer(data, np.uint8)


def looked_at(frame: CamFrame, target: int | None, contrast: int | str | None) -> list[int]:
    """Return the slots that a view needs for its choice, for ``frame_packet(first=...)``."""
    found: list[int] = []
    for row, top in enumerate(frame.tops):
        ranked = [cls for cls, _ in top]
        cls = frame.explained[row] if target is None else target
        wanted = [(cls, NONE)]
        if contrast is not None:
            other = (
                next((c for c in ranked if c != cls), NONE) if contrast == "second" else contrast
            )
            wanted += [(int(other), NONE), (cls, int(other))]
        slots = (frame.slot(row, each, against) for each, against in wanted)
        found += [slot for slot in slots if slot is not None]
    return list(dict.fromkeys(found))


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
