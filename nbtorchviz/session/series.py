"""One metric of one run: growing columns, their extremes, and what to say about them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.decimation import Blocks
from nbtorchviz.analysis.smoothing import Smoother

LIMIT = 1_000_000
"""Values that are kept exactly."""
MOST_SPANS = 32
"""Stretches of NaN or infinity told apart; beyond it the nearest two become one."""
_GROUP = 4


Row = tuple[int, float, float | None, float]
"""Step, value, epoch and elapsed seconds of one logged number."""


class Point(NamedTuple):
    """One logged number."""

    step: int
    value: float


class Batch(NamedTuple):
    """Numbers of one metric, finite and in the order of their steps, as columns of (N,)."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    epochs: NDArray[np.float64]
    elapsed_s: NDArray[np.float64]


def as_batch(rows: Sequence[Row]) -> Batch | None:
    """Return the columns of ``rows``; None where each needs care: a step back, NaN, infinity."""
    columns = zip(*rows, strict=True)
    steps, values = np.array(next(columns), np.int64), np.array(next(columns), np.float64)
    if (steps[1:] < steps[:-1]).any() or not np.isfinite(values).all():
        return None
    epochs = np.array(next(columns), np.float64)  # None becomes NaN
    return Batch(steps, values, epochs, np.array(next(columns), np.float64))


class Span(NamedTuple):
    """A stretch of values that are not finite."""

    first: int
    """Step of the first of them."""
    last: int
    kind: str
    """``"NaN"`` or ``"Inf"``."""


@dataclass(frozen=True, slots=True, eq=False)
class SeriesView:
    """A series as it was at one moment; its arrays are never written again."""

    steps: NDArray[np.int64]
    """Rising, shape (N,)."""
    values: NDArray[np.float64]
    epochs: NDArray[np.float32]
    """NaN where no epoch was given."""
    elapsed_s: NDArray[np.float32]
    blocks: Blocks
    latest: Point
    smallest: Point | None
    """None while no value is finite."""
    largest: Point | None
    spans: tuple[Span, ...]
    not_finite: int
    """How many values are NaN or infinite."""
    not_positive: int
    """How many finite values a log axis cannot draw."""
    logged: int
    """Values logged in all."""
    thinned: int
    """1, or how many logged values stand behind each old kept one."""
    limit: int
    """Values that are kept exactly."""
    generation: object
    """Another object once kept values were thinned or moved, so that sums over them are void."""

    @property
    def note(self) -> str:
        """What was left out, in words; empty when nothing was."""
        if self.thinned == 1:
            return ""
        return (
            f"{self.logged:,} values were logged, {len(self.values):,} are kept: beyond "
            f"{self.limit:,} the older ones are thinned, the smallest and the largest "
            "of every stretch stay"
        )


class KeptSums:
    """Smoothing sums kept between redraws, one per curve. Not thread-safe: one owner each."""

    def __init__(self) -> None:
        self._kept: dict[object, tuple[object, int, Smoother]] = {}

    def smoother(self, key: object, view: SeriesView, weight: float) -> Smoother:
        """Return the sums of ``view`` for ``weight``, kept ones where they still hold."""
        generation, seen, smoother = self._kept.get(key, (None, 0, None))
        count = len(view.values)
        if smoother is None or smoother.weight != weight or generation is not view.generation:
            smoother = Smoother(weight)
        elif count < seen:  # an older view than the last one
            return Smoother(weight)
        self._kept[key] = (view.generation, count, smoother)
        return smoother


class Series:
    """The values of one metric in one run. Not thread-safe: ``MetricHistory`` holds the lock."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = max(limit, 2 * _GROUP)
        self._count = 0
        self.last_step = -(2**62)
        """Largest step so far."""
        self._steps: NDArray[np.int64] = np.empty(64, np.int64)
        self._values: NDArray[np.float64] = np.empty(64, np.float64)
        self._epochs: NDArray[np.float32] = np.empty(64, np.float32)
        self._elapsed_s: NDArray[np.float32] = np.empty(64, np.float32)
        self._blocks = Blocks()
        self._generation = object()
        self._spans: list[Span] = []
        self._span_open = False
        self.latest = Point(0, math.nan)
        self.smallest: Point | None = None
        self.largest: Point | None = None
        self.logged = 0
        self.thinned = 1
        self._not_finite = 0
        self._not_positive = 0

    def append(self, step: int, value: float, epoch: float | None, elapsed_s: float) -> None:
        """Add one value; one of an earlier step is put in its place."""
        step, value = int(step), float(value)
        epoch = math.nan if epoch is None else epoch
        if step < self.last_step:
            self._insert((step, value, epoch, elapsed_s))
        else:
            at = self._count
            if at == len(self._steps):
                self._resize(2 * at)
            self._steps[at], self._values[at] = step, value
            self._epochs[at], self._elapsed_s[at] = epoch, elapsed_s
            self._count = at + 1
            self.last_step = step
        self.logged += 1
        self._note(Point(step, value))
        if self._count > self.limit:
            self._thin()

    def takes(self, batch: "Batch") -> bool:
        """Whether ``batch`` follows what is kept, with nothing to be thinned."""
        whole = self._count + len(batch.values) <= self.limit
        return whole and int(batch.steps[0]) >= self.last_step

    def extend(self, batch: "Batch") -> None:
        """Add many values at once, of a batch that this series takes."""
        count = self._count + len(batch.values)
        while count > len(self._steps):
            self._resize(2 * len(self._steps))
        for column, new in zip(self._columns(), batch, strict=True):
            column[self._count : count] = new
        self._count, self.last_step = count, int(batch.steps[-1])
        self.logged += len(batch.values)
        self._not_positive += int((batch.values <= 0).sum())
        self._span_open = False
        low, high = int(batch.values.argmin()), int(batch.values.argmax())
        for at in (low, high, -1):
            self._extremes(Point(int(batch.steps[at]), float(batch.values[at])))

    def view(self) -> SeriesView:
        """Return the present state without copying values."""
        steps, values, epochs, elapsed_s = (column[: self._count] for column in self._columns())
        self._blocks.extend(values)
        return SeriesView(
            steps=steps,
            values=values,
            epochs=epochs,
            elapsed_s=elapsed_s,
            blocks=self._blocks.frozen(),
            latest=self.latest,
            smallest=self.smallest,
            largest=self.largest,
            spans=tuple(self._spans),
            not_finite=self._not_finite,
            not_positive=self._not_positive,
            logged=self.logged,
            thinned=self.thinned,
            limit=self.limit,
            generation=self._generation,
        )

    def _columns(self) -> tuple[NDArray[Any], ...]:
        return self._steps, self._values, self._epochs, self._elapsed_s

    def _replace(self, columns: list[NDArray[Any]]) -> None:
        """Take new arrays; views keep the old ones, which nobody writes any more."""
        self._steps, self._values, self._epochs, self._elapsed_s = columns

    def _resize(self, size: int) -> None:
        grown = [np.empty(size, column.dtype) for column in self._columns()]
        for new, old in zip(grown, self._columns(), strict=True):
            new[: self._count] = old[: self._count]
        self._replace(grown)

    def _insert(self, row: tuple[Any, ...]) -> None:
        at = int(np.searchsorted(self._steps[: self._count], row[0], side="right"))
        self._replace(
            [
                np.insert(column[: self._count], at, item)
                for column, item in zip(self._columns(), row, strict=True)
            ]
        )
        self._count += 1
        self._forget_sums()

    def _thin(self) -> None:
        """Keep the smallest and largest of every four, and the first value that is not finite."""
        whole = self._count // _GROUP * _GROUP
        groups = self._values[:whole].reshape(-1, _GROUP)
        finite = np.isfinite(groups)
        low = np.where(finite, groups, np.inf).argmin(axis=1)
        high = np.where(finite, groups, -np.inf).argmax(axis=1)
        broken = ~finite.all(axis=1)
        low = np.where(broken, (~finite).argmax(axis=1), low)
        high = np.where(high == low, (low + 1) % _GROUP, high)
        first = np.arange(len(groups)) * _GROUP
        kept = np.sort(np.stack([first + low, first + high], axis=1), axis=1).reshape(-1)
        kept = np.unique(np.concatenate([[0], kept, np.arange(whole, self._count)]))
        count = len(kept)
        self._replace([column[kept] for column in self._columns()])
        self._count = count
        self._resize(max(2 * count, 64))
        self.thinned *= 2
        self._forget_sums()

    def _forget_sums(self) -> None:
        self._blocks = Blocks()
        self._generation = object()

    def _extremes(self, point: Point) -> None:
        self.latest = point
        if self.smallest is None or point.value < self.smallest.value:
            self.smallest = point
        if self.largest is None or point.value > self.largest.value:
            self.largest = point

    def _note(self, point: Point) -> None:
        step, value = point
        self.latest = point
        if math.isfinite(value):
            self._span_open = False
            self._not_positive += value <= 0
            self._extremes(point)
            return
        self._not_finite += 1
        kind = "NaN" if math.isnan(value) else "Inf"
        if self._span_open and self._spans[-1].kind == kind:
            self._spans[-1] = self._spans[-1]._replace(last=step)
            return
        self._span_open = True
        self._spans.append(Span(step, step, kind))
        if len(self._spans) > MOST_SPANS:
            gaps = [b.first - a.last for a, b in zip(self._spans, self._spans[1:], strict=False)]
            near = min(range(len(gaps)), key=gaps.__getitem__)
            merged = self._spans[near]._replace(last=self._spans[near + 1].last)
            self._spans[near : near + 2] = [merged]
