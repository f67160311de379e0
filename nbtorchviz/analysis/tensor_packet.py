"""What a view of one tensor paints: pictures of all samples, and the planes of some of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.feature_maps import describe
from nbtorchviz.analysis.statistics import summarise
from nbtorchviz.analysis.tensor_batch import TensorBatch

MOST_PICTURES = 256
"""Samples whose pictures are sent; of more the first ones."""
PICTURES_BYTES = 1_000_000
PLANES_BYTES = 1_500_000
"""Of the planes that are sent at a time: those of one sample at least, pooled if need be."""
LARGEST_PX, SMALLEST_PX = 160, 24


def tensor_parts(
    batch: TensorBatch,
    *,
    sample: int = 0,
    slice_index: int = 0,
    title: str = "",
    labels: Sequence[str] | None = None,
    seq: int = 1,
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return header and arrays of the packet.

    Args:
        batch: the tensor.
        sample: whose planes must be there; those after it follow as far as there is room.
        slice_index: along the depth of volumes.
        title: name of the tensor.
        labels: one for each sample.
        seq: number of the packet.

    Returns:
        Header: ``shape dtype layout samples stats notes labels``, ``display`` (the fields of one
        sample's frame) and ``held`` (first sample with planes, and how many). Arrays: ``pictures``
        (n, h, w) or (n, h, w, 3) uint8, ``planes`` (m, C, h, w) uint8 with ``lo hi mean std zero
        nonfinite`` (m, C), ``values`` (m, F) for strips.
    """
    count = len(batch.values)
    statistics = summarise(batch.values)
    header: dict[str, Any] = {
        "seq": seq,
        "title": title,
        "shape": list(batch.shape),
        "dtype": batch.dtype,
        "layout": batch.layout,
        "samples": count if batch.batched else 1,
        "batched": batch.batched,
        "labels": None if labels is None else list(labels)[:MOST_PICTURES],
        "notes": list(batch.notes),
        "stats": {
            name: _finite(getattr(statistics, name))
            for name in ("minimum", "maximum", "mean", "std", "zero_share")
        }
        | {name: getattr(statistics, name) for name in ("nan", "posinf", "neginf", "count")},
    }
    if not count or batch.values[0].size == 0:
        return header | {"display": None, "held": [0, 0]}, {}
    arrays: dict[str, NDArray[Any]] = {}
    header |= _pictures(batch, arrays)
    header |= _planes(batch, arrays, min(max(sample, 0), count - 1), slice_index)
    return header, arrays


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def _pictures(batch: TensorBatch, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Add pictures of the samples, all of one size and kind."""
    count = min(len(batch.values), MOST_PICTURES)
    channels = batch.values.shape[1 + batch.axes.index("C")] if "C" in batch.axes else 1
    side, deep = LARGEST_PX, 3 if channels in (3, 4) else 1
    while side > SMALLEST_PX and side * side * deep * count > PICTURES_BYTES:
        side = side * 3 // 4
    found = [batch.picture(index, side) for index in range(count)]
    drawn = [each for each in found if each.pixels is not None]
    if not drawn:
        return {"picture": {"layout": "none", "note": found[0].note}}
    nothing = np.zeros_like(drawn[0].pixels)
    pixels = [each.pixels for each in found]
    arrays["pictures"] = np.stack([nothing if each is None else each for each in pixels])
    rules = list(dict.fromkeys(each.note for each in found if each.note))
    note = "; ".join(dict.fromkeys(part for rule in rules for part in rule.split("; ")))
    note += " (not the same for all)" if len(rules) > 1 else ""
    unseen = [index for index, each in enumerate(pixels) if each is None]
    return {"picture": {"layout": drawn[0].layout, "note": note, "blank": unseen}}


def _planes(
    batch: TensorBatch, arrays: dict[str, NDArray[Any]], sample: int, slice_index: int
) -> dict[str, Any]:
    """Add the planes of ``sample`` and of those after it, as many as there is room for."""
    shown = describe(
        _floats(batch.values[sample]), batch.axes, slice_index=slice_index, limit=PLANES_BYTES
    )
    fitting = max(1, PLANES_BYTES // max(1, shown.planes.size))
    last = min(len(batch.values), sample + fitting)
    first = max(0, last - fitting)
    parts: list[dict[str, NDArray[Any]]] = []
    ranges, signed, quiet = [], [], []
    for index in range(first, last):
        display = describe(
            _floats(batch.values[index]), batch.axes, slice_index=slice_index, limit=PLANES_BYTES
        )
        parts.append(display.arrays())
        ranges.append(None if display.range is None else list(display.range))
        signed.append(display.signed)
        quiet.append(display.quiet())
    for name in parts[0]:
        arrays[name] = np.stack([part[name] for part in parts])
    facts = shown.header() | {"pooled": shown.pooled, "notes": list(shown.notes)}
    facts |= {"axes": list(batch.axes), "ranges": ranges, "signed": any(signed), "quiet": quiet}
    return {"display": facts, "held": [first, last - first]}


def _floats(values: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)
