"""Statistics and histograms of many small samples at once, as a window on all layers needs them.

Sixty layers of 2,048 float32 values: see ``python -m benchmarks statistics``.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.statistics import summarise
from nbtorchviz.events import EXPONENTS, LOWEST_EXPONENT, Histogram, Statistics

_BIAS = 127
"""Of the exponent of a float32."""
_FIRST = LOWEST_EXPONENT + _BIAS
_NARROW = frozenset(np.dtype(name) for name in ("float16", "float32", "int8", "uint8", "bool"))
"""What float32 holds without loss."""


def summarise_many(
    samples: Sequence[NDArray[np.generic]], counts: Sequence[int]
) -> tuple[list[Statistics], list[Histogram]]:
    """Summarise vectors of real numbers.

    Args:
        samples: what was read of each tensor, any real dtype, shape (N,); may be empty.
        counts: elements of each tensor.

    Returns:
        Statistics over the finite values (sums in float64) and histograms by power of two, one
        per sample. Histograms see values as float32.
    """
    narrow = [at for at, sample in enumerate(samples) if sample.size and sample.dtype in _NARROW]
    statistics = [Statistics(count=int(count), sampled=0, note="empty") for count in counts]
    flat, rows = _concatenated([samples[at] for at in narrow])
    for at, sample in enumerate(samples):
        if sample.size and sample.dtype not in _NARROW:
            found = summarise(sample)
            statistics[at] = _counted(found, int(counts[at]))
    if narrow and bool(np.isfinite(flat).all()):
        totals = [int(counts[at]) for at in narrow]
        for at, found in zip(narrow, _of_finite(flat, rows, totals), strict=True):
            statistics[at] = found
    else:
        for at in narrow:
            statistics[at] = _counted(summarise(samples[at]), int(counts[at]))
    return statistics, _histograms(samples)


def _counted(found: Statistics, count: int) -> Statistics:
    return Statistics(
        count=count,
        sampled=found.sampled,
        minimum=found.minimum,
        maximum=found.maximum,
        mean=found.mean,
        std=found.std,
        zero_share=found.zero_share,
        nan=found.nan,
        posinf=found.posinf,
        neginf=found.neginf,
        note=found.note,
    )


def _concatenated(
    samples: Sequence[NDArray[np.generic]],
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All values in one vector, and the length of each sample."""
    sizes = np.array([sample.size for sample in samples], np.int64)
    with np.errstate(over="ignore"):  # a float64 beyond float32's range becomes infinite
        parts = [np.asarray(sample, np.float32).reshape(-1) for sample in samples]
    return np.concatenate(parts) if parts else np.empty(0, np.float32), sizes


def _of_finite(
    values: NDArray[np.float32], sizes: NDArray[np.int64], counts: Sequence[int]
) -> list[Statistics]:
    starts = np.cumsum(sizes) - sizes
    low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    mean = np.add.reduceat(values, starts, dtype=np.float64) / sizes
    centred = values - np.repeat(mean, sizes)
    std = np.sqrt(np.add.reduceat(np.square(centred, out=centred), starts) / sizes)
    zero_share = np.add.reduceat(values == 0, starts, dtype=np.int64) / sizes
    columns = zip(
        counts, sizes.tolist(), low.tolist(), high.tolist(), mean.tolist(), std.tolist(),
        zero_share.tolist(), strict=True,
    )  # fmt: skip
    return [
        Statistics(
            count=count,
            sampled=size,
            minimum=smallest,
            maximum=largest,
            mean=middle,
            std=width,
            zero_share=zeros,
        )
        for count, size, smallest, largest, middle, width, zeros in columns
    ]


def _histograms(samples: Sequence[NDArray[np.generic]]) -> list[Histogram]:
    """Count by power of two, which the bits of a float32 hold."""
    values, sizes = _concatenated(samples)
    bits = values.view(np.int32)
    exponent = (bits >> 23) & 0xFF
    place = np.clip(exponent, _FIRST, _FIRST + EXPONENTS - 1) - _FIRST
    place += np.where(bits < 0, 0, EXPONENTS).astype(np.int32)
    special = (exponent == 0xFF) | ((bits & 0x7FFFFFFF) == 0)
    width = 2 * EXPONENTS + 4
    if special.any():
        nan, zero = np.isnan(values), values == 0
        kinds = np.where(zero, 0, np.where(nan, 1, np.where(bits > 0, 2, 3)))
        place = np.where(special, 2 * EXPONENTS + kinds, place)
    row = np.repeat(np.arange(len(samples)) * width, sizes)
    counts = np.bincount(place + row, minlength=len(samples) * width).astype(np.int32)
    return [
        Histogram(
            counts_negative=line[:EXPONENTS].copy(),
            counts_positive=line[EXPONENTS : 2 * EXPONENTS].copy(),
            zeros=int(line[-4]),
            nan=int(line[-3]),
            posinf=int(line[-2]),
            neginf=int(line[-1]),
            count=int(size),
        )
        for line, size in zip(counts.reshape(len(samples), width), sizes, strict=True)
    ]
