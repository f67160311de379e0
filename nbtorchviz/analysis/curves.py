"""What the numbers of a training run mean when they are drawn: names, limits, epochs, clocks.

Pure functions of arrays, used by the live view's packet and by the static picture alike.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.smoothing import Smoother, smooth

Floats = NDArray[np.float64]
Steps = NDArray[np.int64]

_VAL = ("val", "valid", "validation", "eval", "test")
_RISING = {
    *("acc", "accuracy", "auc", "auroc", "bleu", "dice", "f1", "fscore", "iou", "jaccard", "map"),
    *("miou", "precision", "psnr", "r2", "recall", "return", "reward", "rouge", "score", "ssim"),
    *("top1", "top5", "correct", "hits"),
}
SPIKE_SHARE = 0.995
"""Share of the current run's values that the y axis shows without clipping."""
_LARGEST = 1e307
_READ = 20_000
"""Values read for the limits of an axis; more are thinned evenly."""
EXACT_SMOOTHING = 16_384
"""Up to so many points a curve is smoothed as a whole, beyond it at every 64th point."""


def split_name(name: str) -> tuple[str, str]:
    """Return (metric, role): ``val_loss``, ``loss/val`` and ``val/loss`` are ("loss", "val").

    The role of a plain name is ``""``; ``train_loss`` and ``loss/train`` have ``"train"``.
    """
    for mark in ("/", "_", ".", "-"):
        head, found, tail = name.partition(mark)
        if found and tail and _role(head):
            return tail, _role(head)
        head, found, tail = name.rpartition(mark)
        if found and head and _role(tail):
            return head, _role(tail)
    return name, ""


def eval_name(name: str, phase: str) -> str:
    """Name under which a metric logged in ``phase`` is kept: eval ``loss`` is ``"loss/eval"``."""
    return f"{name}/eval" if phase == "eval" and split_name(name)[1] != "val" else name


def line_looks(lines: Sequence[Mapping[str, Any]]) -> list[tuple[str, tuple[float, ...]]]:
    """Return (name, dash) of each line of one metric: no two lines of a run are alike.

    A run's only training line and its only validation line are called ``"train"`` and ``"val"``
    where the metric has both. The live view has the same rule in ``loss_scene.js``.

    Args:
        lines: with ``run``, ``name`` and ``role``.
    """
    sides = [(line["run"], line["role"] == "val") for line in lines]
    paired = len({val for _, val in sides}) == 2
    looks: list[tuple[str, tuple[float, ...]]] = []
    for index, (line, side) in enumerate(zip(lines, sides, strict=True)):
        val, nth = side[1], sides[:index].count(side)
        alone = paired and sides.count(side) == 1
        name = ("val" if val else "train") if alone else line["name"]
        dash = (6 if val else 12, 3, *(2, 3) * nth) if nth else (6, 3) if val else ()
        looks.append((name, dash))
    return looks


def _role(word: str) -> str:
    word = word.lower()
    return "val" if word in _VAL else "train" if word in ("train", "training") else ""


def rising_is_better(metric: str) -> bool:
    """Whether the best value of ``metric`` is its largest, judged by its name."""
    words = "".join(c if c.isalnum() else " " for c in metric.lower()).split()
    return not _RISING.isdisjoint(words)


def y_limits(values: Floats, *, log: bool) -> tuple[float, float] | None:
    """Return the range of the y axis: 99.5 % of the values, spikes left out.

    A largest value that is no spike, little above the rest, is kept in view. A linear axis over
    values that come near zero begins at zero. None when nothing can be drawn.

    Args:
        values: of the current run, NaN and infinity allowed; more than 20,000 are thinned evenly.
        log: values <= 0 do not count, and nearness is in decades.
    """
    values = values[:: max(1, len(values) // _READ)]
    values = values[np.isfinite(values)]
    values = np.clip(values, -_LARGEST, _LARGEST)  # differences stay finite
    if log:
        values = np.log10(values[values > 0])
    if len(values) == 0:
        return None
    ordered = np.sort(values)
    last = len(ordered) - 1
    inner = last >= 8  # fewer values tell no spike from the rest
    low = ordered[math.ceil(last * (1 - SPIKE_SHARE)) if inner else 0]
    high = ordered[int(last * SPIKE_SHARE) if inner else last]
    slack = max(
        (3.0 if last < 50 else 1.5 if last < 200 else 0.25) * (high - low), 1.0 if log else 0.0
    )
    high = ordered[-1] if ordered[-1] <= high + slack else high
    low = ordered[0] if ordered[0] >= low - slack else low
    if log:
        # 0.02 decades: a constant curve still gets an axis
        return float(10 ** max(low - 0.02, -307.0)), float(10 ** min(high + 0.02, 307.0))
    if 0 <= low < 0.4 * high:
        low = 0.0
    if low == high:
        margin = abs(low) * 0.05 or 1.0
        low, high = low - margin, high + margin
    return float(low), float(high)


def fractional_epochs(steps: Steps, epochs: Floats) -> Floats:
    """Spread whole epoch numbers evenly over their steps, so that an epoch axis can be drawn.

    Loops log ``epoch=3`` for every batch of epoch 3; as an x axis that would be one vertical
    line. Numbers with fractions are taken as they are. Loops that log ``epoch=1`` when the first
    epoch has ended leave its steps without a number: they come before it. NaN where no epoch was
    logged.
    """
    known = np.flatnonzero(np.isfinite(epochs))
    result = np.asarray(epochs, np.float64).copy()
    if len(known) == 0 or np.any(epochs[known] != np.round(epochs[known])):
        return result
    if epochs[known[0]] >= 1:
        result[: known[0]] = epochs[known[0]] - 1
        epochs = result.copy()
        known = np.flatnonzero(np.isfinite(epochs))
    begins = known[np.flatnonzero(np.diff(epochs[known], prepend=np.nan) != 0)]
    if len(begins) == len(known):  # one value an epoch
        return result
    first = steps[begins].astype(np.float64)
    lengths = np.diff(first)
    usual = float(np.median(lengths)) if len(lengths) else float(steps[known[-1]] - first[0] + 1)
    ends = np.append(first[1:], first[-1] + max(usual, float(steps[known[-1]] - first[-1])))
    part = np.searchsorted(begins, known, side="right") - 1
    share = (steps[known] - first[part]) / np.maximum(ends[part] - first[part], 1.0)
    result[known] = epochs[known] + np.minimum(share, 1.0)
    return result


def epoch_marks(steps: Steps, epochs: Floats, most: int = 60) -> list[tuple[float, int]]:
    """Return (step, epochs finished there) where fractional ``epochs`` pass a whole number."""
    known = np.isfinite(epochs)
    steps, epochs = steps[known], epochs[known]
    if len(steps) < 2 or np.any(np.diff(epochs) < 0) or epochs[-1] == epochs[0]:
        return []
    first, last = math.floor(epochs[0]) + 1, math.floor(epochs[-1])
    every = 1
    while (last - first) // every >= most:
        every = 5 * every // 2 if str(every)[0] == "2" else 2 * every  # 1, 2, 5, 10, 20 ...
    whole = np.arange(-(-first // every) * every, last + 1, every)
    places = np.interp(whole, epochs, steps)
    return [(round(float(p), 2), int(n)) for p, n in zip(places, whole, strict=True)]


def knots(steps: Steps, elapsed: NDArray[Any], most: int) -> NDArray[np.int64]:
    """Choose ``most`` indices between which steps and seconds advance evenly, pauses included."""
    if len(steps) <= most:
        return np.arange(len(steps))
    part = (most - 2) // 3
    even = np.linspace(steps[0], steps[-1], part).astype(steps.dtype)
    by_step = np.searchsorted(steps, even)
    by_time = np.searchsorted(
        elapsed, np.linspace(elapsed[0], elapsed[-1], part).astype(elapsed.dtype)
    )
    chosen = np.concatenate([by_step, by_time, by_time - 1, [0, len(steps) - 1]])
    return np.unique(np.clip(chosen, 0, len(steps) - 1))


def smooth_line(
    steps: Steps,
    values: Floats,
    weight: float,
    most: int,
    *,
    smoother: Smoother | None = None,
    window: tuple[int, int] | None = None,
) -> tuple[NDArray[np.int64], Floats]:
    """Return indices of at most ``most`` points and the two-sided average there.

    Args:
        steps: rising, shape (N,).
        values: shape (N,).
        weight: above 0, below 1.
        most: points to return, the last of the window among them where it is short.
        smoother: kept sums for long curves; they are read instead of all points.
        window: indices ``[first, stop)`` to return points of; points beyond it count as usual.
    """
    begin, end = window or (0, len(values))
    reach = math.ceil(math.log(1e-17) / math.log(weight))
    first = int(np.searchsorted(steps, steps[begin] - reach))
    stop = int(np.searchsorted(steps, steps[end - 1] + reach, side="right"))
    if smoother is not None and stop - first > EXACT_SMOOTHING:
        return smoother.sample(steps, values, most, (begin, end))
    chosen = np.unique(np.linspace(begin, end - 1, min(most, end - begin)).astype(np.int64))
    return chosen, smooth(steps[first:stop], values[first:stop], weight)[chosen - first]


def share_points(wanted: Sequence[int], budget: int) -> list[int]:
    """Divide ``budget`` points among lines: small ones get all they want, the rest equal parts."""
    shares = [0] * len(wanted)
    rest = budget
    for place, index in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        shares[index] = min(wanted[index], max(0, rest) // (len(wanted) - place))
        rest -= shares[index]
    return shares
