"""Turn one sample of a layer's output into what a browser can show: maps, matrix, strip, scalar.

The values keep the layer's own order; only the display is rearranged: channels first, tokens on
the patch grid of the image, one slice of a 3-d volume at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.layouts import Axes
from nbtorchviz.analysis.quantise import Floats, finite_range, pool, pool_factor, quantise
from nbtorchviz.analysis.tokens import patch_grid

View = Literal["maps", "matrix", "strip", "scalar", "none"]
F4 = NDArray[np.float32]

PLANE_LIMIT = 250_000
"""Most plane values of one frame; more are paged by channel or pooled."""
STRIP_LIMIT = 50_000
"""Most values of a strip: each also travels as an exact float32."""
SMALLEST_SIDE = 14
"""Channels are pooled down to so many pixels before they are paged."""
_ORDERS = ("index", "mean", "zero")


@dataclass(frozen=True, slots=True, eq=False)
class ChannelStatistics:
    """Numbers of each plane, over its finite values, before pooling; arrays of shape (C,)."""

    mean: F4
    """NaN where no value is finite."""
    std: F4
    zero: F4
    """Share of exact zeros, 0 to 1."""
    nonfinite: NDArray[np.uint32]
    """How many NaN and Inf."""


@dataclass(frozen=True, slots=True, eq=False)
class Display:
    """One layer's output, arranged for showing."""

    view: View
    planes: F4
    """Shape (count, h, w): channels ``first`` to ``first + count``; (1, rows, columns) for a
    matrix, (1, 1, count) for a strip. A view of the values where nothing had to be moved."""
    statistics: ChannelStatistics
    """Of the planes shown."""
    range: tuple[float, float] | None
    """Smallest and largest finite value of the whole sample; None when none is finite."""
    signed: bool
    """Some value is below zero."""
    total: int
    """Channels (maps), rows (matrix) or values (strip) of the layer."""
    first: int
    slice: tuple[int, int, str] | None
    """Index, count and name of the axis of which one slice is shown."""
    rows: str
    columns: str
    grid: tuple[int, int] | None
    """Patch grid on which tokens were laid out."""
    pooled: int
    """Factor by which planes were pooled here, beyond any pooling of the capture."""
    notes: tuple[str, ...]

    def header(self) -> dict[str, Any]:
        """Return the fields of the frame packet that this display decides."""
        return {
            "view": self.view,
            "total": self.total,
            "first": self.first,
            "slice": None
            if self.slice is None
            else dict(zip(("index", "count", "name"), self.slice, strict=True)),
            "rows": self.rows,
            "cols": self.columns,
            "grid": None if self.grid is None else list(self.grid),
            "signed": self.signed,
            "range": None if self.range is None else list(self.range),
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the frame packet: planes as bytes, scales, statistics."""
        codes, lo, hi = quantise(self.planes)
        found: dict[str, NDArray[Any]] = {
            "planes": codes,
            "lo": lo,
            "hi": hi,
            "mean": self.statistics.mean,
            "std": self.statistics.std,
            "zero": self.statistics.zero,
            "nonfinite": self.statistics.nonfinite,
        }
        if self.view in ("strip", "scalar"):
            found["values"] = self.planes.reshape(-1)
        return found

    def quiet(self) -> list[int]:
        """Channels that are exactly zero in this sample (which does not make them dead)."""
        shown = np.flatnonzero(self.statistics.zero == 1)
        return [self.first + int(index) for index in shown] if self.view == "maps" else []


def describe(
    values: Floats,
    axes: Axes,
    *,
    channel: int = 0,
    slice_index: int = 0,
    image_hw: tuple[int, int] | None = None,
    words: tuple[str, str] = ("token", "feature"),
    limit: int = PLANE_LIMIT,
) -> Display:
    """Arrange one sample for showing.

    Args:
        values: float16 or float32 in the layer's own order, without the batch axis; shape (0,)
            where there was nothing to read.
        axes: meaning of each axis, from ``layouts.infer_layout``.
        channel: must be among the planes when they are paged; clipped.
        slice_index: along the depth of a 3-d output; clipped.
        image_hw: height and width of the input image, for tokens.
        words: what a row and a column of the axes (T, D) are; from ``tokens.row_words``.
        limit: most plane values.

    Raises:
        ValueError: ``values`` does not have the axes named.
    """
    array = np.asarray(values)
    if axes == ("F",):
        array = array.reshape(-1)
    if array.shape == (0,) and len(axes) != 1:  # nothing was read: the event's notes say why
        return _display("none", np.zeros((0, 0, 0), np.float32))
    if array.ndim != len(axes):
        raise ValueError(f"values of shape {array.shape} do not have the axes {axes}")
    if array.size == 0:
        size = ", ".join(map(str, array.shape))
        return _display("none", np.zeros((0, 0, 0), np.float32), notes=(f"empty ({size})",))
    if axes == ("H", "W", "C"):
        array, axes = np.moveaxis(array, -1, 0), ("C", "H", "W")
    if axes == ("C", "D", "H", "W"):
        count = array.shape[1]
        index = min(max(slice_index, 0), count - 1)
        cut = (index, count, "depth")
        return _maps(array[:, index], channel, limit, whole=array, cut=cut)
    if axes == ("C", "H", "W"):
        return _maps(array, channel, limit)
    if axes == ("T", "D"):
        if words[0] == "token" and (found := patch_grid(array.shape[0], image_hw)):
            return _tokens(array, found, channel, limit)
        return _matrix(array, words, limit)
    if axes == ("C", "L"):
        return _matrix(array, ("channel", "position"), limit)
    return _strip(array.reshape(-1), channel, min(limit, STRIP_LIMIT), scalar=not axes)


def channel_statistics(planes: Floats) -> ChannelStatistics:
    """Compute mean, standard deviation, zero share and non-finite count along the first axis."""
    flat = np.asarray(planes).reshape(len(planes), int(np.prod(np.shape(planes)[1:])))
    if flat.dtype != np.float32:
        flat = flat.astype(np.float32)
    size = max(1, flat.shape[1])
    finite = np.isfinite(flat)
    nonfinite = flat.shape[1] - np.count_nonzero(finite, axis=1)
    clean = flat if not nonfinite.any() else np.where(finite, flat, np.float32(0))
    good = flat.shape[1] - nonfinite
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        mean = clean.sum(axis=1, dtype=np.float64) / good
        centred = clean - mean.astype(np.float32)[:, None]
        if nonfinite.any():
            centred[~finite] = 0
        squares = np.einsum("ij,ij->i", centred, centred, dtype=np.float64)
        std = np.sqrt(squares / good)
        return ChannelStatistics(
            mean.astype(np.float32),
            std.astype(np.float32),
            (np.count_nonzero(flat == 0, axis=1) / size).astype(np.float32),
            nonfinite.astype(np.uint32),
        )


def channel_order(statistics: ChannelStatistics, by: str = "index") -> NDArray[np.intp]:
    """Return positions in the order to show: by index, highest mean, or highest zero share.

    Raises:
        ValueError: ``by`` is none of ``index``, ``mean``, ``zero``.
    """
    if by not in _ORDERS:
        raise ValueError(f"order must be one of {_ORDERS}, got {by!r}")
    if by == "index":
        return np.arange(len(statistics.mean))
    keys = statistics.mean if by == "mean" else statistics.zero
    return np.argsort(-np.nan_to_num(keys, nan=-np.inf), kind="stable")


def _maps(
    planes: Floats,
    channel: int,
    limit: int,
    *,
    whole: Floats | None = None,
    cut: tuple[int, int, str] | None = None,
    grid: tuple[int, int] | None = None,
    notes: tuple[str, ...] = (),
) -> Display:
    total, height, width = planes.shape
    factor = pool_factor((1, height, width), limit)
    together = pool_factor((1, height, width), max(1, limit // total))
    if min(height, width) >= SMALLEST_SIDE * together:
        factor = together  # coarser, but every channel is seen
    area = -(-height // factor) * -(-width // factor)
    count = min(total, max(1, limit // area))
    first = min(max(channel, 0), total - 1) // count * count
    page = planes[first : first + count].astype(np.float32, copy=False)
    if count < total:
        notes += (f"channels {first} to {first + len(page) - 1} of {total}",)
    if factor > 1:
        notes += (f"each pixel shows the mean of {factor}×{factor}",)
    return _display(
        "maps",
        pool(page, factor),
        statistics=channel_statistics(page),
        whole=planes if whole is None else whole,
        total=total,
        first=first,
        slice=cut,
        rows="row",
        columns="col",
        grid=grid,
        pooled=factor,
        notes=notes,
    )


def _tokens(array: Floats, found: tuple[int, int, int], channel: int, limit: int) -> Display:
    prefix, height, width = found
    planes = array[prefix:].T.reshape(array.shape[1], height, width)
    note = f"{height * width} tokens as a {height}×{width} patch grid"
    if prefix:
        left_out = "1 class token" if prefix == 1 else f"{prefix} extra tokens"
        note += f"; {left_out} left out"
    return _maps(planes, channel, limit, whole=array, grid=(height, width), notes=(note,))


def _matrix(array: Floats, names: tuple[str, str], limit: int) -> Display:
    factor = pool_factor(array.shape, limit)
    plane = array[None].astype(np.float32, copy=False)
    notes = (f"each pixel shows the mean of {factor}×{factor}",) if factor > 1 else ()
    return _display(
        "matrix",
        pool(plane, factor),
        statistics=channel_statistics(plane),
        whole=array,
        total=len(array),
        rows=names[0],
        columns=names[1],
        pooled=factor,
        notes=notes,
    )


def _strip(array: Floats, channel: int, limit: int, *, scalar: bool) -> Display:
    first = min(max(channel, 0), array.size - 1) // limit * limit
    part = array[first : first + limit].astype(np.float32, copy=False)
    paged = part.size < array.size
    notes = (f"values {first} to {first + part.size - 1} of {array.size}",) if paged else ()
    return _display(
        "scalar" if scalar else "strip",
        part.reshape(1, 1, -1),
        statistics=channel_statistics(part[None]),
        whole=array,
        total=array.size,
        first=first,
        columns="feature",
        notes=notes,
    )


def _display(
    view: View,
    planes: F4,
    *,
    statistics: ChannelStatistics | None = None,
    whole: Floats | None = None,
    total: int = 0,
    first: int = 0,
    slice: tuple[int, int, str] | None = None,
    rows: str = "row",
    columns: str = "col",
    grid: tuple[int, int] | None = None,
    pooled: int = 1,
    notes: Sequence[str] = (),
) -> Display:
    span = None
    if whole is not None and np.isfinite(whole).any():
        lo, hi = finite_range(np.asarray(whole)[None])
        span = (float(lo[0]), float(hi[0]))
    return Display(
        view=view,
        planes=planes,
        statistics=statistics or channel_statistics(planes),
        range=span,
        signed=span is not None and span[0] < 0,
        total=total,
        first=first,
        slice=slice,
        rows=rows,
        columns=columns,
        grid=grid,
        pooled=pooled,
        notes=tuple(notes),
    )
