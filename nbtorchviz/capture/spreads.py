"""Sub-samples of what every called layer put out in one forward, and of the gradients it got."""

import math
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nbtorchviz.capture.hooks import SpreadHook
from nbtorchviz.capture.reductions import spread_any
from nbtorchviz.capture.samples import LIMIT, Copy, as_numpy, copied, rows_in, rows_of, vector_of
from nbtorchviz.capture.tensors import HostCopy, readable
from nbtorchviz.events import Histogram, Statistics
from nbtorchviz.measure_tables import HistogramTable, StatisticsTable

SummariseMany = Callable[
    [Sequence[NDArray[Any]], Sequence[int]], tuple[StatisticsTable, HistogramTable]
]
ROWS_S = 0.25
"""They are read no more often than this while the output does depend on the input: each of these
values lies in a cache line of its own, and fetching those is most of what a large layer costs."""
DEPENDS = 1e-3
"""Spread over the batch, as a share of the largest value, from which on that is plain. Our choice,
a thousand times what the finding asks for."""


@dataclass(slots=True)
class LayerStatistics:
    """Numbers of all called layers of one forward; lists as long as ``layers``."""

    layers: tuple[str, ...]
    statistics: Sequence[Statistics]
    histograms: Sequence[Histogram]
    gradients: Sequence[Statistics | None]
    gradient_histograms: Sequence[Histogram | None]
    gradient_norms: NDArray[np.float32]
    """L2 of d loss / d activation, estimated from what was read; NaN: none came."""
    training: tuple[bool, ...]
    batch_spreads: NDArray[np.float32]


@dataclass(slots=True)
class _Read:
    key: str
    count: int
    training: bool
    copy: Copy
    batch: Copy | None = None
    gradient: Copy | None = None
    same: "_Read | None" = None
    """Of the layer that put out this very tensor before: the gradient that comes is of both."""

    def came(self) -> Copy | None:
        """What was read of the gradient."""
        return self.gradient if self.same is None else self.same.came()


class RowsClock:
    """When rows are read next; one for all windows of a model."""

    def __init__(self) -> None:
        self.due_at = float("-inf")
        """Reading of the clock from which on rows are read."""


class Spreads:
    """Collects during one window; developed at its boundary.

    Args:
        fault: called with (where, exception).
        rows: when rows are due; None: in each window.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        fault: Callable[[str, BaseException], None],
        rows: RowsClock | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fault = fault
        self._read: dict[str, _Read] = {}
        self._open, self._hooked = True, False
        self._last: tuple[weakref.ref[Tensor], int, _Read] | None = None
        """The tensor that was read last, its version, and what was read."""
        self._by_torch = False
        """Whether any copy may still be on its way; those of numpy never are."""
        self._rows, self._clock = rows or RowsClock(), clock
        self._with_rows = clock() >= self._rows.due_at
        self.cost_s = 0.0
        """Seconds that reading gradients took."""

    def take(self, key: str, tensor: Tensor, *, training: bool) -> None:
        """Read some values of one call's output, and its gradient when that comes."""
        if key in self._read:
            return
        values = as_numpy(tensor)
        copy = copied(tensor, values)
        if copy is None:
            return
        batch = None
        if self._with_rows:
            batch = rows_of(tensor) if values is None else rows_in(values)
        self._by_torch = self._by_torch or isinstance(copy, HostCopy)
        count = tensor.numel() if values is None else values.size
        read = self._read[key] = _Read(key, count, training, copy, batch)
        version = _version(tensor)
        if self._last is not None and self._last[0]() is tensor and self._last[1] == version:
            # A block puts out what its last layer did, a dropout of 0 what it was given. The values
            # are read again all the same: what writes them through ``.data`` raises no version.
            read.same = self._last[2]
            return
        self._last = None if version is None else (weakref.ref(tensor), version, read)
        if tensor.requires_grad and not tensor.is_nested:
            tensor.register_hook(SpreadHook(self, key))  # type: ignore[no-untyped-call]
            self._hooked = True

    def gradient_came(self, key: str, gradient: Tensor) -> None:
        """Read some values of a gradient; several of one forward add up."""
        read = self._read.get(key)
        if read is None or not self._open or gradient.requires_grad:
            return
        began = self._clock()
        try:
            self._add(read, gradient)
        except Exception as error:  # raised into the backward it would end the training
            del self._read[key]
            self._fault(f"gradient of {key}", error)
        self.cost_s += self._clock() - began

    def _add(self, read: _Read, gradient: Tensor) -> None:
        if read.gradient is None:
            read.gradient = copied(gradient, as_numpy(gradient))
            return
        part = spread_any(gradient, LIMIT)
        if part is not None and read.gradient.shape == part.shape:
            if not isinstance(read.gradient, HostCopy):
                read.gradient = HostCopy(torch.from_numpy(read.gradient))
            read.gradient.add(part)

    @property
    def wants_gradient(self) -> bool:
        """True when a gradient may still come."""
        return self._hooked

    def close(self) -> None:
        """Ignore what comes later."""
        self._open = False

    @property
    def ready(self) -> bool:
        """True when no copy is still on its way from the device."""
        if not self._by_torch:
            return True
        copies = (c for read in self._read.values() for c in (read.copy, read.batch, read.gradient))
        return all(copy.ready for copy in copies if isinstance(copy, HostCopy))

    def develop(self, summarise_many: SummariseMany, scale: float | None) -> LayerStatistics:
        """Turn the copies into numbers.

        Args:
            summarise_many: ``analysis.many_statistics.summarise_many``.
            scale: factor by which a ``GradScaler`` multiplied the loss, taken out of gradients.
        """
        reads = list(self._read.values())
        gradients = [read.came() for read in reads]
        came = [at for at, gradient in enumerate(gradients) if gradient is not None]
        vectors = [vector_of(read.copy) for read in reads]
        for gradient in gradients:
            if gradient is None:
                continue
            vector = vector_of(gradient)
            vectors.append(vector if scale in (None, 1.0) else vector / np.float32(scale or 1.0))
        counts = [read.count for read in reads] + [reads[at].count for at in came]
        statistics, histograms = summarise_many(vectors, counts)
        total, places = len(reads), np.full(len(reads), -1)
        places[came] = np.arange(total, len(vectors))
        norms = np.where(places < 0, math.nan, _norms(statistics, vectors)[places])
        spreads = _spreads_over_batch([read.batch for read in reads])
        if self._with_rows and total:
            largest = np.abs(statistics.numbers[total - 1, :2]).max()
            if spreads[-1] > DEPENDS * largest:
                self._rows.due_at = self._clock() + ROWS_S
        with np.errstate(over="ignore"):  # beyond float32: infinite
            gradient_norms, batch_spreads = norms.astype(np.float32), spreads.astype(np.float32)
        return LayerStatistics(
            layers=tuple(self._read),
            statistics=statistics.first(total),
            histograms=histograms.first(total),
            gradients=statistics.select(places),
            gradient_histograms=histograms.select(places),
            gradient_norms=gradient_norms,
            training=tuple([read.training for read in reads]),
            batch_spreads=batch_spreads,
        )


def _version(tensor: Tensor) -> int | None:
    """How often it was written in place; None where torch does not count that."""
    try:
        return tensor._version
    except RuntimeError:  # made in inference mode
        return None


def _norms(table: StatisticsTable, vectors: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """L2 of the tensors, from what was read; infinite if that is not finite, NaN if nothing was."""
    mean, std = table.numbers[:, 2], table.numbers[:, 3]
    with np.errstate(over="ignore", invalid="ignore"):
        norms: NDArray[np.float64] = np.sqrt((mean * mean + std * std) * table.counts)
        for at in table.odd:
            if len(vector := vectors[at]):
                square = np.square(vector, dtype=np.float64).mean() * table.counts[at]
                norms[at] = math.sqrt(square) if math.isfinite(square) else math.inf
    return norms


def _spreads_over_batch(copies: Sequence[Copy | None]) -> NDArray[np.float64]:
    """Largest standard deviation over samples at any position; NaN where that has no meaning."""
    spreads = np.full(len(copies), math.nan)
    alike: dict[tuple[int, ...], list[tuple[int, NDArray[Any]]]] = {}
    for at, copy in enumerate(copies):
        if copy is not None:
            rows = readable(copy.host()).numpy() if isinstance(copy, HostCopy) else copy
            alike.setdefault(rows.shape, []).append((at, rows))
    for shape, group in alike.items():
        if 0 in shape:
            continue
        # In float64: float32 overflows when training does.
        rows = np.stack([rows for _, rows in group], dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            found = rows.std(axis=1).max(axis=1)
        spreads[[at for at, _ in group]] = np.where(np.isfinite(found), found, math.nan)
    return spreads
