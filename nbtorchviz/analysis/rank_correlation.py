"""Spearman's rank correlation, ties averaged."""

import numpy as np
from numpy.typing import NDArray


def spearman(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the rank correlation of two maps of one shape; NaN where one is constant."""
    a, b = _ranks(one.ravel()), _ranks(other.ravel())
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / scale) if scale else float("nan")


def _ranks(values: NDArray[np.float32]) -> NDArray[np.float64]:
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    ranks: NDArray[np.float64] = middle[where]
    return ranks
