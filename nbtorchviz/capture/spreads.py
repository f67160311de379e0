"""Sub-samples of what every called layer put out in one forward, and of the gradients it got."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nbtorchviz.capture.hooks import SpreadHook
from nbtorchviz.capture.leaves import refusal
from nbtorchviz.capture.tensors import HostCopy, readable, spread_any
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


@dataclass(slots=True)
class _Read:
    key: str
    count: int
    training: bool
    copy: HostCopy
    batch: HostCopy | None = None
    gradient: HostCopy | None = field(default=None)


class Spreads:
    """Collects during one window; developed at its boundary."""

    def __init__(self) -> None:
        self._read: dict[str, _Read] = {}
        self._open, self._hooked = True, False

    def take(self, key: str, tensor: Tensor, *, training: bool) -> None:
        """Read some values of one call's output, and its gradient when that comes."""
        part = spread_any(tensor, LIMIT)
        if part is None or key in self._read:
            return
        batch = _of_batch(tensor)
        self._read[key] = _Read(
            key,
            tensor.numel(),
            training,
            HostCopy(part),
            None if batch is None else HostCopy(batch),
        )
        if tensor.requires_grad and not tensor.is_nested:
            tensor.register_hook(SpreadHook(self, key))  # type: ignore[no-untyped-call]
            self._hooked = True

    def gradient_came(self, key: str, gradient: Tensor) -> None:
        """Read some values of a gradient; several of one forward add up."""
        read = self._read.get(key)
        if read is None or not self._open or gradient.requires_grad:
            return
        part = spread_any(gradient, LIMIT)
        if part is None:
            return
        if read.gradient is None:
            read.gradient = HostCopy(part)
        elif read.gradient.shape == part.shape:
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
            copy is None or copy.ready
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
        norms = [
            math.nan if g is None else _norm(g[2], read.count)
            for g, read in zip(gradients, reads, strict=True)
        ]
        spreads = [_spread_over_batch(read.batch) for read in reads]
        with np.errstate(over="ignore"):  # beyond float32: infinite
            gradient_norms, batch_spreads = (
                np.array(norms, np.float32),
                np.array(spreads, np.float32),
            )
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


def _of_batch(tensor: Tensor) -> Tensor | None:
    """Return some positions of the first samples; None where there is no batch of numbers."""
    dense = not tensor.is_nested and tensor.layout is torch.strided and not tensor.is_quantized
    if not dense or refusal(tensor) or tensor.ndim < 2 or tensor.shape[0] < 2:
        return None
    if not tensor.is_floating_point():
        return None
    rows = tensor.detach()[:_SAMPLES]
    while rows.ndim > 2:  # a thin view: nothing is copied but what is read
        longest = max(range(1, rows.ndim), key=lambda axis: rows.shape[axis])
        rows = rows.select(longest, rows.shape[longest] // 2)
    return rows[:, :: max(1, rows.shape[1] // _PLACES)][:, :_PLACES]


def _vector(copy: HostCopy) -> NDArray[Any]:
    tensor = copy.host()
    if tensor.dtype in (torch.bfloat16, torch.float16) or "float8" in str(tensor.dtype):
        tensor = tensor.float()
    if tensor.is_complex():
        tensor = tensor.abs()
    return tensor.resolve_neg().numpy().reshape(-1)


def _norm(values: NDArray[Any], count: int) -> float:
    if not values.size:
        return math.nan
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.square(values.astype(np.float64))
        return float(math.sqrt(squares.mean() * count)) if np.isfinite(squares).all() else math.inf


def _spread_over_batch(copy: HostCopy | None) -> float:
    if copy is None:
        return math.nan
    rows = readable(copy.host()).numpy().astype(np.float64)  # float32 overflows when training does
    return float(rows.std(axis=0).max()) if rows.size and np.isfinite(rows).all() else math.nan
