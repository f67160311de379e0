"""Lines of equal value, by marching squares; ``static/src/cam_math.js`` has the twin."""

import numpy as np
from numpy.typing import NDArray

_SEGMENTS = {
    1: "lt", 14: "lt", 2: "tr", 13: "tr", 3: "lr", 12: "lr", 4: "rb", 11: "rb",
    6: "tb", 9: "tb", 7: "lb", 8: "lb",
}  # fmt: skip
"""Corners at or above the level (bits: top left, top right, bottom right, bottom left) -> edges."""


def contour(field: NDArray[np.float32], level: float) -> NDArray[np.float64]:
    """Return where ``field`` crosses ``level``.

    Args:
        field: shape (H, W); values lie at pixel centres.
        level: of the line. Beyond the border nothing reaches it, so that every line is closed.

    Returns:
        Line segments (n, 2, 2): two ends with x and y, in pixels of the field.
    """
    height, width = field.shape
    padded = np.full((height + 2, width + 2), -np.inf)
    padded[1:-1, 1:-1] = np.nan_to_num(field, nan=-np.inf)
    a, b = padded[:-1, :-1], padded[:-1, 1:]
    d, c = padded[1:, :-1], padded[1:, 1:]
    kinds = (a >= level) + 2 * (b >= level) + 4 * (c >= level) + 8 * (d >= level)
    y, x = np.nonzero((kinds > 0) & (kinds < 15))
    kind, ends = kinds[y, x], {}
    corner = {name: values[y, x] for name, values in zip("abcd", (a, b, c, d), strict=True)}
    left, top = x - 0.5, y - 0.5
    ends["t"] = np.stack([left + _cut(corner["a"], corner["b"], level), top], 1)
    ends["r"] = np.stack([left + 1, top + _cut(corner["b"], corner["c"], level)], 1)
    ends["b"] = np.stack([left + _cut(corner["d"], corner["c"], level), top + 1], 1)
    ends["l"] = np.stack([left, top + _cut(corner["a"], corner["d"], level)], 1)
    found = [
        np.stack([ends[pair[0]][kind == each], ends[pair[1]][kind == each]], 1)
        for each, pair in _SEGMENTS.items()
    ]
    with np.errstate(invalid="ignore"):
        high = (corner["a"] + corner["b"] + corner["c"] + corner["d"]) / 4 >= level
    for each, joined in ((5, ("tr", "lb")), (10, ("lt", "rb"))):
        parted = ("lt", "rb") if each == 5 else ("tr", "lb")
        for pairs, chosen in ((joined, high), (parted, ~high)):
            at = (kind == each) & chosen
            found += [np.stack([ends[p[0]][at], ends[p[1]][at]], 1) for p in pairs]
    return np.concatenate(found)


def _cut(one: NDArray[np.float64], other: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Share of the way from one value to the other; half of it at the border."""
    inside = np.isfinite(one) & np.isfinite(other) & (one != other)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(inside, (level - one) / (other - one), 0.5)
