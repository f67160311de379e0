"""Planes of float values as bytes: a value costs one byte, its error is known, NaN stays visible.

Codes 0 to 252 are linear between a plane's finite minimum and maximum; 253 is -Inf, 254 +Inf,
255 NaN. A read-out ``lo + code * (hi - lo) / 252`` is off by at most ``(hi - lo) / 504``.
The JavaScript twin is in ``static/src/colormaps.js``.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS = 252
NEG_INF, POS_INF, NAN = 253, 254, 255

Floats = NDArray[np.floating[Any]]
_HUGE = float(np.finfo(np.float32).max) / 4


def quantise(
    planes: Floats, lo: Floats | None = None, hi: Floats | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Write each plane on its own scale, or on the given one.

    Args:
        planes: shape (C, h, w), or (C, n) with any number of trailing axes; float16, 32 or 64.
        lo: shape (C,), finite; by default each plane's finite minimum. Values below are clipped.
        hi: likewise, maximum.

    Returns:
        Codes of the same shape, ``lo`` and ``hi`` of shape (C,); both 0 for a plane without
        finite values. ``lo == hi`` gives code 0 throughout.
    """
    values = np.asarray(planes)
    count = values.shape[0]
    flat = _rows(values)
    if flat.dtype != np.float32:
        with np.errstate(over="ignore"):
            flat = flat.astype(np.float32)
    if flat.size == 0:
        zeros = np.zeros(count, np.float32)
        return np.zeros(values.shape, np.uint8), zeros, zeros.copy()
    lowest, highest = flat.min(axis=1), flat.max(axis=1)
    clean = bool(np.isfinite(lowest).all() and np.isfinite(highest).all())
    if not clean:
        lowest, highest = finite_range(flat)
    low = lowest if lo is None else np.asarray(lo, np.float32)
    high = highest if hi is None else np.asarray(hi, np.float32)
    given = lo is not None or hi is not None
    source = flat
    if not clean:
        source = np.where(np.isfinite(flat), flat, low[:, None])
    # Half-way rounding by adding 0.5 and truncating; float32 keeps the error below half a code
    # plus a rounding of the value itself.
    if max(float(np.abs(edge).max()) for edge in (low, high, lowest, highest)) > _HUGE:
        source, scaled_low, scaled_high = source / 4, low / 4, high / 4
    else:
        scaled_low, scaled_high = low, high
    span = scaled_high - scaled_low
    with np.errstate(divide="ignore", over="ignore"):
        factor = np.where(span > 0, np.float32(LEVELS) / span, np.float32(0))
    if not np.isfinite(factor).all():  # a span of denormals
        return _quantise_wide(flat, low, high).reshape(values.shape), low, high
    work = np.subtract(source, scaled_low[:, None])
    np.multiply(work, factor[:, None], out=work)
    np.add(work, np.float32(0.5), out=work)
    if given:
        np.clip(work, 0, LEVELS + 0.5, out=work)
    codes = work.astype(np.uint8)
    if not clean:
        _mark(flat, codes)
    return codes.reshape(values.shape), low, high


def dequantise(codes: NDArray[np.uint8], lo: Floats, hi: Floats) -> NDArray[np.float32]:
    """Read codes back as float32: the middle of each code's interval, NaN and Inf as themselves."""
    shape = (-1,) + (1,) * (codes.ndim - 1)
    low = np.asarray(lo, np.float64).reshape(shape)
    high = np.asarray(hi, np.float64).reshape(shape)
    values = (low + codes * ((high - low) / LEVELS)).astype(np.float32)
    values[codes == NEG_INF] = -np.inf
    values[codes == POS_INF] = np.inf
    values[codes == NAN] = np.nan
    return values


def rescale(
    codes: NDArray[np.uint8], lo: float, hi: float, new_lo: float, new_hi: float
) -> NDArray[np.uint8]:
    """Move codes from the scale [lo, hi] to another, such as one for all channels; clips."""
    wide = np.array([lo, hi, new_lo, new_hi], np.float64)
    span = wide[3] - wide[2]
    values = wide[0] + np.arange(LEVELS + 1) * ((wide[1] - wide[0]) / LEVELS)
    lookup = np.arange(256)
    lookup[: LEVELS + 1] = np.rint((values - wide[2]) * (LEVELS / span)) if span > 0 else 0
    lookup[: LEVELS + 1] = lookup[: LEVELS + 1].clip(0, LEVELS)
    return lookup.astype(np.uint8)[codes]


def finite_range(planes: Floats) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return minimum and maximum of the finite values along all axes but the first; 0 if none."""
    flat = _rows(np.asarray(planes, np.float32))
    finite = np.isfinite(flat)
    lo = np.where(finite, flat, np.inf).min(axis=1, initial=np.inf)
    hi = np.where(finite, flat, -np.inf).max(axis=1, initial=-np.inf)
    none = ~finite.any(axis=1)
    lo[none] = hi[none] = 0
    return lo.astype(np.float32), hi.astype(np.float32)


def pool(planes: Floats, factor: int) -> NDArray[np.float32]:
    """Average blocks of ``factor`` by ``factor`` of the last two axes; edges average what is left.

    NaN stays visible: a block that holds one becomes NaN. So does Inf (both signs: NaN).
    """
    values = np.asarray(planes, np.float32)
    if factor <= 1 or values.size == 0:
        return values
    height, width = values.shape[-2:]
    rows, columns = np.arange(0, height, factor), np.arange(0, width, factor)
    with np.errstate(invalid="ignore", over="ignore"):
        sums = np.add.reduceat(np.add.reduceat(values, rows, axis=-2), columns, axis=-1)
    tall, wide = np.diff(rows, append=height), np.diff(columns, append=width)
    return np.asarray(sums / (tall[:, None] * wide[None, :]), np.float32)


def pool_factor(shape: tuple[int, ...], limit: int) -> int:
    """Return the smallest factor that pools (..., h, w) to at most ``limit`` values."""
    *leading, height, width = shape
    planes = int(np.prod(leading))
    factor = 1
    while planes * -(-height // factor) * -(-width // factor) > limit:
        if factor >= max(height, width):
            break
        factor += 1
    return factor


def _rows(planes: NDArray[Any]) -> NDArray[Any]:
    return planes.reshape(len(planes), int(np.prod(planes.shape[1:])))  # -1 fails for size 0


def _mark(flat: NDArray[np.float32], codes: NDArray[np.uint8]) -> None:
    codes[np.isnan(flat)] = NAN
    codes[flat == np.inf] = POS_INF
    codes[flat == -np.inf] = NEG_INF


def _quantise_wide(
    flat: NDArray[np.float32], lo: NDArray[np.float32], hi: NDArray[np.float32]
) -> NDArray[np.uint8]:
    low, high = lo.astype(np.float64)[:, None], hi.astype(np.float64)[:, None]
    values = np.where(np.isfinite(flat), flat, low)
    span = np.where(high > low, high - low, 1.0)
    codes = np.clip(np.rint((values - low) / span * LEVELS), 0, LEVELS)
    codes = np.where(high > low, codes, 0).astype(np.uint8)
    _mark(flat, codes)
    return codes
