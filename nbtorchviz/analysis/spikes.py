"""Where a loss jumps up: single values far above those before them."""

import numpy as np
from numpy.typing import NDArray

WINDOW = 32
"""Values before, whose median is the level."""
SPREADS = 10.0
"""A spike lies above the level by more than so many median distances from it. Our choice."""
RISE = 0.5
"""And by more than this share of the level."""
NOTED = 0.25
"""And of where the loss began: near its end a good training jumps between tiny numbers."""
FIRST = 3
"""Values whose median is where it began."""


def spikes(values: NDArray[np.float64], first: int = 0) -> list[int]:
    """Return the places of spikes and of values that are not finite, from ``first`` on.

    Args:
        values: a loss from its beginning, oldest first, shape (N,).
        first: spikes before it are not returned.

    Returns:
        Rising indices. Of a stretch of spikes only its first value.
    """
    start = max(1, first - 2 * WINDOW)
    if start >= len(values):
        return []
    finite = np.isfinite(values)
    began = values[:FIRST][finite[:FIRST]]
    least = NOTED * abs(float(np.median(began))) if len(began) else 0.0
    near = values[max(0, start - WINDOW) :]
    if (
        finite[start:].all()
        and np.nanmax(values[first:], initial=-np.inf) - np.nanmin(near) <= least
    ):
        return []  # no level is below the smallest value: nearly always so, and quickly known
    suspects = start + np.flatnonzero(_high(values, start, least) | ~finite[start:])
    found: list[int] = []
    for at in map(int, suspects):
        if not finite[at - 1] or (found and at - found[-1] <= WINDOW):
            continue
        if not finite[at]:
            found.append(at)
            continue
        part = slice(max(0, at - WINDOW), at)
        before = values[part][finite[part]]
        level = float(np.median(before))
        if values[at] - level > SPREADS * float(np.median(np.abs(before - level))):
            found.append(at)
    return [at for at in found if at >= first]


def _high(values: NDArray[np.float64], start: int, least: float) -> NDArray[np.bool_]:
    """Which of ``values[start:]`` lie above the level of a whole window by what is noted."""
    high = np.zeros(len(values) - start, np.bool_)
    whole = max(start, WINDOW)
    if whole < len(values):
        windows = np.lib.stride_tricks.sliding_window_view(values[whole - WINDOW : -1], WINDOW)
        with np.errstate(invalid="ignore"):
            level = np.median(windows, axis=1)
            rise = values[whole:] - level
            high[whole - start :] = rise > np.maximum(RISE * np.abs(level), least)
    return high
