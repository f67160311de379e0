"""Smooth a curve on both sides, so that it has no lag and no bias at its ends.

``s(t) = sum_i w**|t - t_i| * v_i / sum_i w**|t - t_i|`` over the real points ``(t_i, v_i)``, ``t``
in steps: one rule for a value at every step and for one an epoch, so train and val compare. The
usual one-sided average lags and makes training look worse than validation. Our choice; the
measurement is in the documentation of LiveLossPlot.
"""

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.arguments import real

BLOCK = 64
Floats = NDArray[np.float64]


def smooth(steps: NDArray[np.int64], values: Floats, weight: float) -> Floats:
    """Return the two-sided average at every step, shape (N,).

    Args:
        steps: rising, shape (N,); equal neighbours are allowed.
        values: shape (N,). NaN and infinity are skipped, and stay NaN in the result.
        weight: of a point one step away, 0 (nothing is smoothed) to below 1.

    Raises:
        ValueError: ``weight`` is out of range.
    """
    check_weight(weight)
    finite = np.isfinite(values)
    if weight == 0.0 or len(values) == 0:
        return np.where(finite, values, np.nan)
    decay = weight ** np.diff(steps, prepend=steps[:1]).astype(np.float64)
    back = np.append(decay[1:], 0.0)[::-1]
    value, one = np.where(finite, values, 0.0), finite.astype(np.float64)
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        above = _scan(decay, value) + _scan(back, value[::-1])[::-1] - value
        below = _scan(decay, one) + _scan(back, one[::-1])[::-1] - one
        return np.where(finite, above / below, np.nan)


def check_weight(weight: float) -> float:
    """Return ``weight`` as a float.

    Raises:
        TypeError: it is no number.
        ValueError: it is not from 0 to below 1.
    """
    accepted = "a number from 0 (none) to below 1 (0.9 is common)"
    return real("smoothing", weight, accepted, lambda share: 0 <= share < 1)


def _scan(decay: Floats, value: Floats) -> Floats:
    """Solve ``y[i] = value[i] + decay[i] * y[i - 1]`` without a Python loop over the points.

    64 rows at a time: all blocks advance together, then each gets what the one before carries
    over, by the same rule one level up. A plain recursion, so large weights cannot overflow as
    they would in a scaled cumulative sum.
    """
    count = len(value)
    if count <= BLOCK:
        out, carry = np.empty(count), 0.0
        for index, (keep, add) in enumerate(zip(decay.tolist(), value.tolist(), strict=True)):
            out[index] = carry = add + keep * carry
        return out
    rows = -(-count // BLOCK)
    padded = np.zeros((2, rows * BLOCK))
    padded[0, :count], padded[1, :count] = decay, value
    keep, total = (np.ascontiguousarray(part.reshape(rows, BLOCK).T) for part in padded)
    for row in range(1, BLOCK):
        total[row] += keep[row] * total[row - 1]
        keep[row] *= keep[row - 1]
    ends = _scan(keep[-1], total[-1])
    total[:, 1:] += keep[:, 1:] * ends[:-1]
    return np.ascontiguousarray(total.T).reshape(-1)[:count]


class Smoother:
    """The same average for a curve that grows, at every 64th point and the last.

    What 64 points add up to is kept, and so is what all earlier ones carry over. A new point
    changes only the sums that look forward to it, so an update reads few numbers however many
    there are. The results are those of ``smooth``.

    Args:
        weight: as for ``smooth``, above 0.
    """

    def __init__(self, weight: float) -> None:
        self.weight = check_weight(weight)
        self._ends: Floats = np.empty((0, 2))  # all up to a block's end: values, weights
        self._own: Floats = np.empty((0, 2))  # a block seen from its start
        self._starts: Floats = np.empty((0, 2))  # all from a block's start on

    def sample(
        self,
        steps: NDArray[np.int64],
        values: Floats,
        most: int,
        window: tuple[int, int] | None = None,
    ) -> tuple[NDArray[np.int64], Floats]:
        """Return indices of at most ``most`` points and their averages.

        Args:
            steps: of the whole curve so far, 64 points or more; only ever appended to.
            values: as ``steps``.
            most: points to return; the last of the curve is among them (of the window: the last
                that is a multiple of 64).
            window: indices ``[first, stop)`` to choose from; None = all.
        """
        whole = len(values) // BLOCK
        self._extend(steps, values, whole)
        tail = slice(whole * BLOCK, len(values))
        first, last = steps[0 : whole * BLOCK : BLOCK], steps[BLOCK - 1 : whole * BLOCK : BLOCK]
        pairs = _pairs(values[tail])
        tail_seen = self._decay(steps[tail] - steps[tail][:1]) @ pairs
        self._look_forward(first, steps[tail][:1], tail_seen)
        ahead = np.vstack([self._starts[1:], tail_seen])
        following = np.append(first[1:], steps[tail][:1] if len(pairs) else last[-1:])
        sums = self._ends + self._decay(following - last)[:, None] * ahead
        indices = np.arange(1, whole + 1) * BLOCK - 1
        if len(pairs):
            end = self._decay(steps[-1] - steps[tail]) @ pairs
            end = end + self._decay(steps[-1:] - last[-1]) * self._ends[-1]
            sums, indices = np.vstack([sums, end]), np.append(indices, len(values) - 1)
        begin, end = np.searchsorted(indices, window or (0, len(values)))
        begin, end = min(begin, len(indices) - 1), max(end, begin + 1)
        spread = np.linspace(begin, end - 1, min(most, end - begin))
        chosen = np.unique(spread.astype(int))
        with np.errstate(invalid="ignore", divide="ignore"):
            result = sums[chosen, 0] / sums[chosen, 1]
        indices = indices[chosen]
        return indices, np.where(np.isfinite(values[indices]), result, np.nan)

    def _decay(self, distance: NDArray[np.int64]) -> Floats:
        with np.errstate(under="ignore"):
            return np.asarray(self.weight ** distance.astype(np.float64))

    def _extend(self, steps: NDArray[np.int64], values: Floats, whole: int) -> None:
        known = len(self._ends)
        if whole == known:
            return
        part = slice(known * BLOCK, whole * BLOCK)
        step = steps[part].reshape(-1, BLOCK)
        pairs = _pairs(values[part]).reshape(-1, BLOCK, 2)
        seen_back = np.einsum("bk,bkc->bc", self._decay(step[:, -1:] - step), pairs)
        seen_ahead = np.einsum("bk,bkc->bc", self._decay(step - step[:, :1]), pairs)
        before = steps[part.start - 1] if known else step[0, -1]
        decay = self._decay(np.diff(step[:, -1], prepend=before))
        if known:
            seen_back[0] += decay[0] * self._ends[-1]
        ends = np.stack([_scan(decay, seen_back[:, column]) for column in (0, 1)], axis=1)
        self._ends = np.vstack([self._ends, ends])
        self._own = np.vstack([self._own, seen_ahead])
        self._starts = np.vstack([self._starts, np.full_like(seen_ahead, np.nan)])

    def _look_forward(
        self, first: NDArray[np.int64], tail_first: NDArray[np.int64], tail_seen: Floats
    ) -> None:
        """Carry the newest sums back until they change nothing any more."""
        below = tail_seen if len(tail_first) else np.zeros(2)
        following = np.append(first[1:], tail_first if len(tail_first) else first[-1:])
        gap = self._decay(following - first)
        for block in range(len(first) - 1, -1, -1):
            below = self._own[block] + gap[block] * below
            if below[0] == self._starts[block, 0] and below[1] == self._starts[block, 1]:
                break
            self._starts[block] = below


def _pairs(values: Floats) -> Floats:
    """Value and weight of each point, both 0 where it is not finite."""
    finite = np.isfinite(values)
    return np.stack([np.where(finite, values, 0.0), finite.astype(np.float64)], axis=-1)
