"""Choose the few points of a long curve that look like all of them.

Every column of pixels keeps its smallest and its largest value, each a real logged point at its
own step, so no spike is lost and a read-out never invents a number. Extremes of every 64 values
are kept (``Blocks``), so that a redraw of a million values reads some ten thousand.
"""

import numpy as np
import numpy.ma  # else the first np.unique loads it: 130 ms in the middle of training
from numpy.typing import NDArray

BLOCK = 64
"""Values per kept extreme. Smaller costs memory, larger reads more at the edge of a column."""

MOST_POINTS = 2000
"""Points of one drawn line, at most."""

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]


class Blocks:
    """Where the smallest and largest finite value of every 64 lie; grows with the series."""

    def __init__(self) -> None:
        self.low_at: Indices = np.empty(0, np.int64)
        """Index of the smallest finite value of each whole block (its first index if none is)."""
        self.high_at: Indices = np.empty(0, np.int64)

    def extend(self, values: Floats) -> None:
        """Take in the values that came since the last call; ``values`` holds all of them."""
        known, whole = len(self.low_at), len(values) // BLOCK
        if whole == known:
            return
        new = values[known * BLOCK : whole * BLOCK].reshape(-1, BLOCK)
        finite = np.isfinite(new)
        first = np.arange(known, whole, dtype=np.int64) * BLOCK
        low = first + np.where(finite, new, np.inf).argmin(axis=1)
        high = first + np.where(finite, new, -np.inf).argmax(axis=1)
        self.low_at = np.concatenate([self.low_at, low])  # never in place: frozen() shares it
        self.high_at = np.concatenate([self.high_at, high])

    def frozen(self) -> "Blocks":
        """Return the present state; it does not grow with this one."""
        copy = Blocks()
        copy.low_at, copy.high_at = self.low_at, self.high_at
        return copy


def decimate(
    steps: NDArray[np.int64],
    values: Floats,
    *,
    columns: int = MOST_POINTS // 2 - 1,
    blocks: Blocks | None = None,
    window: tuple[int, int] | None = None,
) -> Indices:
    """Return indices of the points to draw, in order.

    Args:
        steps: x of each value, rising, shape (N,).
        values: shape (N,); NaN and infinity are never chosen, unless first or last.
        columns: how many equal stretches of steps to keep two points of.
        blocks: kept extremes of exactly these values; without them all values are read.
        window: indices ``[first, stop)`` to choose from; None = all.

    Returns:
        Into ``steps`` and ``values``: all indices when there are at most ``2 * columns + 2``, else
        the smallest and the largest
        finite value of every column, the first and the last: at most that many.
    """
    begin, end = window or (0, len(values))
    if end - begin <= 2 * columns + 2:
        return np.arange(begin, end, dtype=np.int64)
    marks = np.linspace(float(steps[begin]), float(steps[end - 1]), columns + 1)[1:-1]
    # As integers: numpy would otherwise convert the whole column to compare.
    inner = begin + np.searchsorted(steps[begin:end], np.ceil(marks).astype(steps.dtype))
    edges = np.unique(np.concatenate([[begin], inner, [end]]))
    starts, stops = edges[:-1].astype(np.int64), edges[1:].astype(np.int64)
    low = _extreme_at(values, starts, stops, blocks.low_at if blocks else None, largest=False)
    high = _extreme_at(values, starts, stops, blocks.high_at if blocks else None, largest=True)
    chosen = np.unique(np.concatenate([low, high]))
    chosen = chosen[np.isfinite(values[chosen])]
    return np.unique(np.concatenate([[begin], chosen, [end - 1]]))


def _extreme_at(
    values: Floats, starts: Indices, stops: Indices, block_at: Indices | None, *, largest: bool
) -> Indices:
    """Index of the first largest (or smallest) finite value of each stretch."""
    candidates, owner = _candidates(starts, stops, block_at)
    worth = values[candidates]
    worth = np.where(np.isfinite(worth), worth if largest else -worth, -np.inf)
    first = np.searchsorted(owner, np.arange(len(starts)))
    best = np.maximum.reduceat(worth, first)
    hits = np.flatnonzero(worth == best[owner])
    return candidates[hits[np.searchsorted(hits, first)]]


def _candidates(
    starts: Indices, stops: Indices, block_at: Indices | None
) -> tuple[Indices, Indices]:
    """Indices that can hold the extreme of each stretch, in order, and which stretch they are of.

    A stretch over whole blocks offers the extreme of each and the single values before and after.
    """
    if block_at is None:
        return _ranges(starts, stops), np.repeat(np.arange(len(starts)), stops - starts)
    first = -(-starts // BLOCK)
    last = np.maximum(np.minimum(stops // BLOCK, len(block_at)), first)
    inside = last > first
    first, last = np.where(inside, first, 0), np.where(inside, last, 0)
    head_stop = np.where(inside, first * BLOCK, stops)
    tail_start = np.where(inside, last * BLOCK, stops)
    parts = [
        (_ranges(starts, head_stop), head_stop - starts),
        (block_at[_ranges(first, last)], last - first),
        (_ranges(tail_start, stops), stops - tail_start),
    ]
    owner = np.concatenate([np.repeat(np.arange(len(starts)), counts) for _, counts in parts])
    order = np.argsort(owner, kind="stable")
    return np.concatenate([indices for indices, _ in parts])[order], owner[order]


def _ranges(starts: Indices, stops: Indices) -> Indices:
    """All integers of the ranges ``start:stop``, one range after the other."""
    counts = stops - starts
    offsets = np.repeat(starts - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
    return offsets + np.arange(int(counts.sum()), dtype=np.int64)
