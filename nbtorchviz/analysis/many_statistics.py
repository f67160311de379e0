"""Statistics and histograms of many small samples at once, as a window on all layers needs them.

Eighty samples of 512 float32 values: see ``python -m benchmarks statistics``.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.statistics import summarise
from nbtorchviz.events import EXPONENTS, LOWEST_EXPONENT, Statistics
from nbtorchviz.measure_tables import NUMBERS, WIDTH, HistogramTable, StatisticsTable

_BIAS = 127
"""Of the exponent of a float32."""
_FIRST = LOWEST_EXPONENT + _BIAS
_LAST = _FIRST + EXPONENTS - 1
_CODES = 512
"""Signs and exponents of a float32: its nine highest bits."""
_NARROW = frozenset(np.dtype(name) for name in ("float16", "float32", "int8", "uint8", "bool"))
"""What float32 holds without loss."""


def summarise_many(
    samples: Sequence[NDArray[np.generic]], counts: Sequence[int]
) -> tuple[StatisticsTable, HistogramTable]:
    """Summarise vectors of real numbers.

    Args:
        samples: what was read of each tensor, any real dtype, shape (N,); may be empty.
        counts: elements of each tensor.

    Returns:
        Statistics over the finite values (sums in float64) and histograms by power of two, one
        per sample. Histograms see values as float32.
    """
    sizes = np.array([sample.size for sample in samples], np.int64)
    full = np.flatnonzero(sizes)
    numbers, lines = np.full((len(samples), 5), np.nan), np.zeros((len(samples), WIDTH), np.int32)
    odd = {
        at: Statistics(count=int(counts[at]), sampled=0, note="empty")
        for at in np.flatnonzero(sizes == 0).tolist()
    }
    if full.size:
        with np.errstate(over="ignore", invalid="ignore"):
            # A float64 beyond float32's range becomes infinite.
            values = np.concatenate(
                [samples[at].reshape(-1) for at in full.tolist()],
                dtype=np.float32,
                casting="unsafe",
            )
            starts = np.cumsum(sizes[full]) - sizes[full]
            zeros = np.add.reduceat(values == 0, starts, dtype=np.int64)
            lines[full] = _lines(values, starts, sizes[full], zeros)
            numbers[full] = _numbers(values, starts, sizes[full], zeros)
    strange = set(np.flatnonzero(lines[:, -3:].any(axis=1)).tolist())
    for at in full.tolist():
        if at in strange or samples[at].dtype not in _NARROW:
            odd[at] = _counted(summarise(samples[at]), int(counts[at]))
            numbers[at] = [
                np.nan if (value := getattr(odd[at], name)) is None else value for name in NUMBERS
            ]
    return StatisticsTable(np.array(counts, np.int64), sizes, numbers, odd), HistogramTable(lines)


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


def _numbers(
    values: NDArray[np.float32],
    starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
    zeros: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Columns ``NUMBERS`` of samples that lie one after the other; right where all are finite."""
    numbers = np.empty((len(starts), len(NUMBERS)))
    numbers[:, 0] = np.minimum.reduceat(values, starts)
    numbers[:, 1] = np.maximum.reduceat(values, starts)
    centred = values.astype(np.float64)
    mean = np.add.reduceat(centred, starts) / sizes
    centred -= np.repeat(mean, sizes)
    numbers[:, 2] = mean
    numbers[:, 3] = np.sqrt(np.add.reduceat(np.square(centred, out=centred), starts) / sizes)
    numbers[:, 4] = zeros / sizes
    return numbers


def _lines(
    values: NDArray[np.float32],
    starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
    zeros: NDArray[np.int64],
) -> NDArray[np.int32]:
    """Lines of a ``HistogramTable``: count by power of two, which the bits of a float32 hold."""
    bits, rows = values.view(np.uint32), len(starts)
    codes = np.repeat(np.arange(rows) * _CODES, sizes)
    codes += bits >> 23
    counts = np.bincount(codes, minlength=rows * _CODES).reshape(rows, 2, _CODES // 2)
    lines = np.zeros((rows, WIDTH), np.int32)
    # Zeros of both signs have the exponent of the smallest numbers.
    negative = np.zeros(rows, np.int64)
    if counts[:, 1, 0].any():
        negative = np.add.reduceat(bits == 0x80000000, starts, dtype=np.int64)
    for sign, first, zero in ((1, 0, negative), (0, EXPONENTS, zeros - negative)):
        bins = lines[:, first : first + EXPONENTS]
        bins[:] = counts[:, sign, _FIRST : _LAST + 1]
        bins[:, 0] += counts[:, sign, :_FIRST].sum(axis=1) - zero
        bins[:, -1] += counts[:, sign, _LAST + 1 : -1].sum(axis=1)
    lines[:, -4] = zeros
    if (strange := counts[:, :, -1]).any():
        infinite = np.isinf(values)
        for column, positive in ((-2, True), (-1, False)):
            found = infinite & ((values > 0) == positive)
            lines[:, column] = np.add.reduceat(found, starts, dtype=np.int64)
        lines[:, -3] = strange.sum(axis=1) - lines[:, -2] - lines[:, -1]
    return lines
