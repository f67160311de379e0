"""Statistics and histograms of many tensors: arrays, read as sequences of one object per tensor.

Making an object per layer at every step takes longer than computing the numbers in it, and most
steps are only written into a history. Objects are made when somebody asks for one.
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeVar, cast, overload

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.measures import EXPONENTS, Histogram, Statistics

NUMBERS = ("minimum", "maximum", "mean", "std", "zero_share")
"""Columns of ``StatisticsTable.numbers``."""
WIDTH = 2 * EXPONENTS + 4
"""Columns of ``HistogramTable.lines``: negative, positive, zeros, NaN, +Inf, -Inf."""

T = TypeVar("T")
N = TypeVar("N", bound=np.generic)


class _Table(Sequence[T]):
    """A sequence that is made on first use; None where a tensor was not read."""

    def __init__(self, known: NDArray[np.bool_]) -> None:
        self.known = known
        """Shape (N,): False where there is None."""
        self._made: tuple[T, ...] | None = None

    def __len__(self) -> int:
        return len(self.known)

    @overload
    def __getitem__(self, at: int) -> T: ...

    @overload
    def __getitem__(self, at: slice) -> tuple[T, ...]: ...

    def __getitem__(self, at: int | slice) -> T | tuple[T, ...]:
        if self._made is None and isinstance(at, int) and 0 <= at < len(self):
            return cast(T, next(self._make(at, at + 1)))
        return self._all()[at]

    def __iter__(self) -> Iterator[T]:
        return iter(self._all())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._all() == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._all())

    def _all(self) -> tuple[T, ...]:
        if self._made is None:  # made twice by two threads at once: both are right
            self._made = tuple(self._make(0, len(self)))
        return self._made

    @abstractmethod
    def _make(self, begin: int, end: int) -> Iterator[Any]:
        """Make the objects of some rows."""


class StatisticsTable(_Table[Statistics]):
    """Statistics of N tensors.

    Args:
        counts: elements of each tensor, shape (N,).
        sampled: elements that were read, shape (N,).
        numbers: shape (N, 5), in the order of ``NUMBERS``, all finite where ``odd`` has no row.
        odd: rows of which more is to be said: non-finite values, a note, or no numbers.
        known: shape (N,), False where there is None; None: everywhere.
    """

    def __init__(
        self,
        counts: NDArray[np.int64],
        sampled: NDArray[np.int64],
        numbers: NDArray[np.float64],
        odd: Mapping[int, Statistics],
        known: NDArray[np.bool_] | None = None,
    ) -> None:
        super().__init__(np.ones(len(counts), np.bool_) if known is None else known)
        self.counts, self.sampled, self.numbers, self.odd = counts, sampled, numbers, odd

    def select(self, rows: NDArray[np.int64]) -> Sequence[Statistics | None]:
        """Return the table of these rows; -1 gives None."""
        places = {row: at for at, row in enumerate(rows.tolist())}
        odd = {places[row]: found for row, found in self.odd.items() if row in places}
        counts, sampled = _taken(self.counts, rows), _taken(self.sampled, rows)
        return StatisticsTable(counts, sampled, _taken(self.numbers, rows), odd, rows >= 0)

    def first(self, rows: int) -> "StatisticsTable":
        """Return the table of the first ``rows`` tensors."""
        odd = {at: found for at, found in self.odd.items() if at < rows}
        counts, sampled, numbers = self.counts[:rows], self.sampled[:rows], self.numbers[:rows]
        return StatisticsTable(counts, sampled, numbers, odd, self.known[:rows])

    def nonfinite(self) -> NDArray[np.int64]:
        """Count the non-finite values read of each tensor, shape (N,)."""
        counts = np.zeros(len(self), np.int64)
        for at, found in self.odd.items():
            counts[at] = found.nan + found.posinf + found.neginf
        return counts

    def _make(self, begin: int, end: int) -> Iterator[Statistics | None]:
        columns = (self.known, self.counts, self.sampled, self.numbers)
        rows = zip(*(column[begin:end].tolist() for column in columns), strict=True)
        for at, (known, count, sampled, numbers) in enumerate(rows, begin):
            if not known:
                yield None
            elif at in self.odd:
                yield self.odd[at]
            else:
                low, high, mean, std, zeros = numbers
                yield Statistics(
                    count=count, sampled=sampled, minimum=low, maximum=high, mean=mean, std=std,
                    zero_share=zeros,
                )  # fmt: skip


class HistogramTable(_Table[Histogram]):
    """Histograms of N tensors.

    Args:
        lines: shape (N, WIDTH).
        known: shape (N,), False where there is None; None: everywhere. Lines there are 0.
    """

    def __init__(self, lines: NDArray[np.int32], known: NDArray[np.bool_] | None = None) -> None:
        super().__init__(np.ones(len(lines), np.bool_) if known is None else known)
        self.lines = lines

    def select(self, rows: NDArray[np.int64]) -> Sequence[Histogram | None]:
        """Return the table of these rows; -1 gives None."""
        return HistogramTable(_taken(self.lines, rows), rows >= 0)

    def first(self, rows: int) -> "HistogramTable":
        """Return the table of the first ``rows`` tensors."""
        return HistogramTable(self.lines[:rows], self.known[:rows])

    def _make(self, begin: int, end: int) -> Iterator[Histogram | None]:
        for at in range(begin, end):
            line = self.lines[at]
            if not self.known[at]:
                yield None
                continue
            zeros, nan, posinf, neginf = line[-4:].tolist()
            yield Histogram(
                counts_negative=line[:EXPONENTS].copy(),
                counts_positive=line[EXPONENTS : 2 * EXPONENTS].copy(),
                zeros=zeros,
                nan=nan,
                posinf=posinf,
                neginf=neginf,
                count=int(line.sum()),
            )


def _taken(values: NDArray[N], rows: NDArray[np.int64]) -> NDArray[N]:
    """Rows of an array; 0 where the row is -1."""
    taken, known = np.zeros((len(rows), *values.shape[1:]), values.dtype), rows >= 0
    taken[known] = values[rows[known]]
    return taken


def lines_of(histograms: Sequence[Histogram | None]) -> NDArray[np.int32]:
    """Return histograms as rows of numbers, shape (N, WIDTH); 0 where there is None."""
    if isinstance(histograms, HistogramTable):
        return histograms.lines
    lines = np.zeros((len(histograms), WIDTH), np.int32)
    for line, found in zip(lines, histograms, strict=True):
        if found is not None:
            line[:EXPONENTS] = found.counts_negative
            line[EXPONENTS : 2 * EXPONENTS] = found.counts_positive
            line[-4:] = found.zeros, found.nan, found.posinf, found.neginf
    return lines


def enumerate_odd(statistics: Sequence[Statistics]) -> Iterable[tuple[int, Statistics]]:
    """Enumerate, in order, at least all of those that hold non-finite values."""
    if isinstance(statistics, StatisticsTable):
        return sorted(statistics.odd.items(), key=itemgetter(0))
    return enumerate(statistics)
