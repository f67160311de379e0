"""History of the statistics of all layers and parameters, bounded however long the run.

Norms keep up to ``MOST_COLUMNS`` sampled steps, histograms fewer; beyond that every second column
of the past is dropped, so that the time resolution halves and the newest is always there.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.events import (
    EXPONENTS,
    Histogram,
    LayerStatisticsCaptured,
    ParameterStatisticsCaptured,
    Statistics,
)
from nbtorchviz.measure_tables import NUMBERS, WIDTH, StatisticsTable, lines_of

MOST_COLUMNS = 2_048
HISTOGRAM_BYTES = 16_000_000
"""For all histograms of one kind of event."""
LAYER_FIELDS = ("mean", "std", "minimum", "maximum", "zero_share", "nonfinite")
"""Statistics of activations that are kept over time."""
_PLACES = [NUMBERS.index(name) for name in LAYER_FIELDS[:-1]]
GAP_S, GAP_DISTANCES, MOST_GAPS = 5.0, 8, 64
"""A stretch without samples is a gap where it lasted longer than this and took more than so many
times the usual number of steps; so many gaps are told apart."""
PARAMETER_FIELDS = (
    "nonfinite",
    "gradient_norms",
    "raw_gradient_norms",
    "norms",
    "update_norms",
    "learning_rates",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """R rows (layers or parameters) at C sampled steps; arrays are copies."""

    rows: tuple[str, ...]
    steps: NDArray[np.int64]
    """Shape (C,), rising."""
    columns: dict[str, NDArray[np.float32]]
    """By name, shape (R, C); NaN: not measured."""
    states: NDArray[np.str_] | None = None
    """Words such as ``"frozen"``, shape (R, C); None for layers."""


class Columns:
    """A growing table that halves its past when it is full.

    Args:
        depth: numbers per column, such as (fields, rows).
        dtype: of the numbers.
        most: columns that are kept.
    """

    def __init__(self, depth: tuple[int, ...], dtype: type[np.generic], most: int) -> None:
        self.most = max(2, most)
        self._values = np.empty((16, *depth), dtype)
        self._steps = np.empty(16, np.int64)
        self.count = 0

    def append(self, step: int, column: NDArray[np.generic]) -> None:
        """Add the column of ``step``."""
        if self.count >= self.most:
            # From the newest backwards, so that the newest stays.
            kept = np.arange(self.count - 1, -1, -2)[::-1]
            self._values[: len(kept)] = self._values[kept]
            self._steps[: len(kept)] = self._steps[kept]
            self.count = len(kept)
        if self.count == len(self._steps):
            size = min(2 * self.count, self.most)
            self._values = np.resize(self._values, (size, *self._values.shape[1:]))
            self._steps = np.resize(self._steps, size)
        self._values[self.count], self._steps[self.count] = column, step
        self.count += 1

    @property
    def steps(self) -> NDArray[np.int64]:
        """Shape (C,)."""
        return self._steps[: self.count]

    @property
    def values(self) -> NDArray[np.generic]:
        """Shape (C, *depth)."""
        return self._values[: self.count]


class _Table:
    """One kind of event: numbers and histograms of the same rows."""

    def __init__(self, rows: tuple[str, ...], fields: int, quantities: int) -> None:
        self.rows = rows
        self.numbers = Columns((fields, len(rows)), np.float32, MOST_COLUMNS)
        self.words: list[tuple[int, tuple[str, ...]]] = []
        """States from the event of this number on; not from a step on: a skipped one has the
        number of the step before."""
        self.events = Columns((), np.int64, MOST_COLUMNS)
        """Number of the event behind each column of ``numbers``."""
        self.seen = 0
        bytes_each = max(1, quantities * len(rows)) * (WIDTH) * 2
        most = max(32, min(MOST_COLUMNS, HISTOGRAM_BYTES // bytes_each))
        depth = (quantities, len(rows), WIDTH)
        self.histograms = Columns(depth, np.uint16, most)
        self.gaps: list[tuple[int, int]] = []
        self._distances: list[int] = []
        self._seen: tuple[int, float] | None = None

    def note_gap(self, step: int, elapsed_s: float) -> None:
        """Note whether nobody sampled for long before ``step``."""
        if self._seen is not None:
            distance, silent_s = step - self._seen[0], elapsed_s - self._seen[1]
            if silent_s > GAP_S and distance > GAP_DISTANCES * self._usual_distance():
                self.gaps = [*self.gaps, (self._seen[0], step)][-MOST_GAPS:]
            else:
                self._distances = [*self._distances[-15:], distance]
        self._seen = (step, elapsed_s)

    def _usual_distance(self) -> float:
        return max(1.0, float(np.median(self._distances))) if self._distances else 1.0


class StatisticsLog:
    """Takes ``LayerStatisticsCaptured`` and ``ParameterStatisticsCaptured``; any thread may read.

    A step that goes back, or other layers, begin a new history.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._layers: _Table | None = None
        self._parameters: _Table | None = None
        self._elements: dict[str, int] = {}
        self._listeners: tuple[Callable[[], None], ...] = ()
        self.newest_layers: LayerStatisticsCaptured | None = None
        self.newest_parameters: ParameterStatisticsCaptured | None = None
        self.version = 0
        """Grows with every event."""

    def listen(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call ``changed`` (cheap) after every event; the result stops that."""
        self._listeners = (*self._listeners, changed)

        def stop() -> None:
            self._listeners = tuple(known for known in self._listeners if known is not changed)

        return stop

    def observe(self, event: object) -> None:
        """Keep the numbers of one event; others are passed over."""
        if isinstance(event, LayerStatisticsCaptured):
            with self._lock, np.errstate(over="ignore"):  # beyond float32: infinite
                self._observe_layers(event)
        elif isinstance(event, ParameterStatisticsCaptured) and event.parameters:
            with self._lock, np.errstate(over="ignore"):
                self._observe_parameters(event)
        else:
            return
        self.version += 1
        for changed in self._listeners:
            changed()

    def layers(self) -> History | None:
        """Return the history of the layers; None while there is none.

        Columns: those of ``LAYER_FIELDS``, of the activation, and ``gradient`` (L2 of the
        gradient of the loss with respect to it).
        """
        with self._lock:
            return _history(self._layers, (*LAYER_FIELDS, "gradient"))

    def parameters(self) -> History | None:
        """Return the history of the parameters (``PARAMETER_FIELDS``); None: there is none."""
        with self._lock:
            table = self._parameters
            history = _history(table, PARAMETER_FIELDS)
            if table is None or history is None:
                return None
            words = np.full((len(table.rows), len(history.steps)), "", "<U13")
            begun = [number for number, _ in table.words]
            at = np.searchsorted(begun, table.events.values, side="right")
            for column, index in enumerate(at):
                words[:, column] = table.words[index - 1][1]
            return History(
                rows=history.rows, steps=history.steps, columns=history.columns, states=words
            )

    def gaps(self) -> tuple[tuple[int, int], ...]:
        """Return stretches of steps without samples: (last sample before, first one after)."""
        with self._lock:
            return () if self._layers is None else tuple(self._layers.gaps)

    def histograms(self, row: str, of: str) -> tuple[NDArray[np.int64], list[Histogram]]:
        """Return (steps, histograms) of one row.

        Args:
            row: layer key, or parameter name for ``of="parameter"``.
            of: ``"activation"``, ``"gradient"`` (of the activation) or ``"parameter"`` (the
                gradient of that parameter).
        """
        with self._lock:
            table = self._parameters if of == "parameter" else self._layers
            if table is None or row not in table.rows:
                return np.empty(0, np.int64), []
            quantity = 1 if of == "gradient" else 0
            counts = table.histograms.values[:, quantity, table.rows.index(row)]
            known = counts.any(axis=1)
            steps = table.histograms.steps[known].copy()
            return steps, [_unpacked(line) for line in counts[known]]

    def elements(self, row: str) -> int:
        """Return how many numbers a layer's output or a parameter holds; 0 when not known."""
        return self._elements.get(row, 0)

    def _observe_layers(self, event: LayerStatisticsCaptured) -> None:
        table = self._layers
        if table is None or table.rows != event.layers or _back(table, event.step):
            table = self._layers = _Table(event.layers, len(LAYER_FIELDS) + 1, 2)
        gradients = event.gradient_norms
        column = np.full((len(LAYER_FIELDS) + 1, len(event.layers)), np.nan, np.float32)
        known = event.statistics
        if isinstance(known, StatisticsTable):
            column[:-2] = known.numbers.T[_PLACES]
            column[-2] = known.nonfinite()
            self._elements.update(zip(event.layers, known.counts.tolist(), strict=True))
        else:
            for at, numbers in enumerate(known):
                column[:-1, at] = _numbers(numbers)
                self._elements[event.layers[at]] = numbers.count
        if len(gradients) == len(event.layers):
            column[-1] = gradients
        table.numbers.append(event.step, column)
        table.note_gap(event.step, event.elapsed_s)
        packed = [_packed(found, len(event.layers)) for found in (
            event.histograms, event.gradient_histograms)]  # fmt: skip
        table.histograms.append(event.step, np.stack(packed))
        self.newest_layers = event

    def _observe_parameters(self, event: ParameterStatisticsCaptured) -> None:
        table, rows = self._parameters, event.parameters
        if table is None or table.rows != rows or _back(table, event.step):
            table = self._parameters = _Table(rows, len(PARAMETER_FIELDS), 1)
        column = np.full((len(PARAMETER_FIELDS), len(rows)), np.nan, np.float32)
        for at, name in enumerate(PARAMETER_FIELDS):
            values = getattr(event, name)
            if len(values) == len(rows):
                column[at] = values
        table.numbers.append(event.step, column)
        table.events.append(event.step, np.asarray(table.seen))
        states = event.states or ("",) * len(rows)
        if not table.words or table.words[-1][1] != states:
            table.words.append((table.seen, states))
            del table.words[1:-MOST_COLUMNS]
        table.seen += 1
        table.histograms.append(event.step, _packed(event.histograms, len(rows))[None])
        self._elements.update(zip(rows, map(int, event.counts), strict=False))
        self.newest_parameters = event


def _back(table: _Table, step: int) -> bool:
    return bool(table.numbers.count) and step < int(table.numbers.steps[-1])


def _history(table: _Table | None, names: Sequence[str]) -> History | None:
    if table is None:
        return None
    values = table.numbers.values
    return History(
        rows=table.rows,
        steps=table.numbers.steps.copy(),
        columns={name: values[:, at].T.astype(np.float32) for at, name in enumerate(names)},
    )


def _numbers(numbers: Statistics) -> list[float]:
    known = [getattr(numbers, name) for name in LAYER_FIELDS[:-1]]
    nonfinite = numbers.nan + numbers.posinf + numbers.neginf
    return [np.nan if value is None else value for value in known] + [float(nonfinite)]


def _packed(histograms: Sequence[Histogram | None], rows: int) -> NDArray[np.uint16]:
    packed = np.zeros((rows, WIDTH), np.uint16)
    packed[: len(histograms)] = lines_of(histograms)
    return packed


def _unpacked(line: NDArray[np.uint16]) -> Histogram:
    counts = line.astype(np.int32)
    return Histogram(
        counts_negative=counts[:EXPONENTS],
        counts_positive=counts[EXPONENTS : 2 * EXPONENTS],
        zeros=int(counts[-4]),
        nan=int(counts[-3]),
        posinf=int(counts[-2]),
        neginf=int(counts[-1]),
        count=int(counts.sum()),
    )
