"""Sub-samples of what every called layer put out in one forward, and of the gradients it got."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nbtorchviz.capture.hooks import SpreadHook
from nbtorchviz.capture.leaves import refusal
from nbtorchviz.capture.tensors import HostCopy, readable, spread_any, stride_of
from nbtorchviz.events import Histogram, Statistics

SummariseMany = Callable[
    [Sequence[NDArray[Any]], Sequence[int]], tuple[list[Statistics], list[Histogram]]
]
LIMIT = 512
"""Values read of each tensor."""
_SAMPLES, _PLACES = 8, 64
"""Samples and positions that are compared to tell whether an output depends on its input."""


@dataclass(slots=True)
class LayerStatistics:
    """Numbers of all called layers of one forward; lists as long as ``layers``."""

    layers: tuple[str, ...]
    statistics: tuple[Statistics, ...]
    histograms: tuple[Histogram, ...]
    gradients: tuple[Statistics | None, ...]
    gradient_histograms: tuple[Histogram | None, ...]
    gradient_norms: NDArray[np.float32]
    """L2 of d loss / d activation, estimated from what was read; NaN: none came."""
    training: tuple[bool, ...]
    batch_spreads: NDArray[np.float32]


_Copy = HostCopy | NDArray[Any]
"""Values that were copied: at once by numpy where that can read them, which takes two thirds of
the time that torch takes for a few hundred values, else by torch."""


@dataclass(slots=True)
class _Read:
    key: str
    count: int
    training: bool
    copy: _Copy
    batch: _Copy | None = None
    gradient: _Copy | None = None


class Spreads:
    """Collects during one window; developed at its boundary."""

    def __init__(self) -> None:
        self._read: dict[str, _Read] = {}
        self._open, self._hooked = True, False

    def take(self, key: str, tensor: Tensor, *, training: bool) -> None:
        """Read some values of one call's output, and its gradient when that comes."""
        if key in self._read:
            return
        values = _as_numpy(tensor)
        copy = _copied(tensor, values)
        if copy is None:
            return
        batch = _rows_of(tensor) if values is None else _rows_in(values)
        self._read[key] = _Read(key, tensor.numel(), training, copy, batch)
        if tensor.requires_grad and not tensor.is_nested:
            tensor.register_hook(SpreadHook(self, key))  # type: ignore[no-untyped-call]
            self._hooked = True

    def gradient_came(self, key: str, gradient: Tensor) -> None:
        """Read some values of a gradient; several of one forward add up."""
        read = self._read.get(key)
        if read is None or not self._open or gradient.requires_grad:
            return
        if read.gradient is None:
            read.gradient = _copied(gradient, _as_numpy(gradient))
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
        return all(
            not isinstance(copy, HostCopy) or copy.ready
            for read in self._read.values()
            for copy in (read.copy, read.batch, read.gradient)
        )

    def develop(self, summarise_many: SummariseMany, scale: float | None) -> LayerStatistics:
        """Turn the copies into numbers.

        Args:
            summarise_many: ``analysis.many_statistics.summarise_many``.
            scale: factor by which a ``GradScaler`` multiplied the loss, taken out of gradients.
        """
        reads = list(self._read.values())
        came = [read for read in reads if read.gradient is not None]
        vectors = [_vector(read.copy) for read in reads]
        for read in came:
            assert read.gradient is not None
            vector = _vector(read.gradient)
            vectors.append(vector if scale in (None, 1.0) else vector / np.float32(scale or 1.0))
        counts = [read.count for read in reads] + [read.count for read in came]
        statistics, histograms = summarise_many(vectors, counts)
        total = len(reads)
        found = {
            read.key: (statistics[total + at], histograms[total + at], vectors[total + at])
            for at, read in enumerate(came)
        }
        gradients = [found.get(read.key) for read in reads]
        norms = np.full(total, math.nan)
        norms[[at for at, g in enumerate(gradients) if g is not None]] = _norms(
            vectors[total:], counts[total:]
        )
        spreads = _spreads_over_batch([read.batch for read in reads])
        with np.errstate(over="ignore"):  # beyond float32: infinite
            gradient_norms, batch_spreads = norms.astype(np.float32), spreads.astype(np.float32)
        return LayerStatistics(
            layers=tuple(read.key for read in reads),
            statistics=tuple(statistics[:total]),
            histograms=tuple(histograms[:total]),
            gradients=tuple(None if g is None else g[0] for g in gradients),
            gradient_histograms=tuple(None if g is None else g[1] for g in gradients),
            gradient_norms=gradient_norms,
            training=tuple(read.training for read in reads),
            batch_spreads=batch_spreads,
        )


def _as_numpy(tensor: Tensor) -> NDArray[Any] | None:
    """Return a view of the values; None where numpy cannot read them as they are."""
    if type(tensor) is not Tensor or not tensor.is_cpu or tensor.is_complex():
        return None
    try:
        return tensor.detach().numpy()
    except (RuntimeError, TypeError):  # bfloat16, sparse, nested, quantised, under vmap ...
        return None


def _copied(tensor: Tensor, values: NDArray[Any] | None) -> _Copy | None:
    """Copy some values at a fixed stride; None when there are none to read."""
    if values is not None:
        if values.size <= LIMIT:
            return values.flatten()
        if not values.flags.c_contiguous:
            strides = values.strides
            order = sorted(range(values.ndim), key=lambda axis: (-strides[axis], axis))
            values = values.transpose(order)  # channels_last becomes contiguous, at no cost
        if values.flags.c_contiguous:
            return values.reshape(-1)[:: stride_of(values.size, LIMIT)].copy()
    part = spread_any(tensor, LIMIT)
    return None if part is None else HostCopy(part)


def _rows_in(values: NDArray[Any]) -> NDArray[Any] | None:
    """Return some positions of the first samples; None where there is no batch of numbers."""
    if values.ndim < 2 or len(values) < 2 or values.dtype.kind != "f":
        return None
    rows = values[:_SAMPLES]
    while rows.ndim > 2:
        longest = rows.shape.index(max(rows.shape[1:]), 1)
        rows = rows[(slice(None),) * longest + (rows.shape[longest] // 2,)]
    return rows[:, :: max(1, rows.shape[1] // _PLACES)][:, :_PLACES].copy()


def _rows_of(tensor: Tensor) -> HostCopy | None:
    """Do the same for what numpy cannot read."""
    dense = not tensor.is_nested and tensor.layout is torch.strided and not tensor.is_quantized
    if not dense or refusal(tensor) or tensor.ndim < 2 or tensor.shape[0] < 2:
        return None
    if not tensor.is_floating_point():
        return None
    rows = tensor.detach()[:_SAMPLES]
    while rows.ndim > 2:  # a thin view: nothing is copied but what is read
        longest = max(range(1, rows.ndim), key=lambda axis: rows.shape[axis])
        rows = rows.select(longest, rows.shape[longest] // 2)
    return HostCopy(rows[:, :: max(1, rows.shape[1] // _PLACES)][:, :_PLACES])


def _vector(copy: _Copy) -> NDArray[Any]:
    if not isinstance(copy, HostCopy):
        return copy.astype(np.float32) if copy.dtype == np.float16 else copy
    tensor = copy.host()
    if tensor.dtype in (torch.bfloat16, torch.float16) or "float8" in str(tensor.dtype):
        tensor = tensor.float()
    if tensor.is_complex():
        tensor = tensor.abs()
    return tensor.resolve_neg().numpy().reshape(-1)


def _norms(vectors: Sequence[NDArray[Any]], counts: Sequence[int]) -> NDArray[np.float64]:
    """L2 of tensors of ``counts`` elements, from what was read; infinite if that is not finite."""
    sizes = np.array([vector.size for vector in vectors], np.int64)
    norms = np.full(len(vectors), math.nan)
    full = np.flatnonzero(sizes).tolist()
    if full:
        with np.errstate(over="ignore", invalid="ignore"):
            squares = np.square(np.concatenate([vectors[at] for at in full], dtype=np.float64))
            starts = np.cumsum(sizes[full]) - sizes[full]
            means = np.add.reduceat(squares, starts) / sizes[full]
            norms[full] = np.sqrt(means * np.asarray(counts, np.float64)[full])
        norms[full] = np.where(np.isfinite(norms[full]), norms[full], math.inf)
    return norms


def _spreads_over_batch(copies: Sequence[_Copy | None]) -> NDArray[np.float64]:
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
