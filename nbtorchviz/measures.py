"""Numbers of one tensor, as events carry them: statistics and a histogram."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EXPONENTS = 40
"""Bins of a ``Histogram``, per sign."""
LOWEST_EXPONENT = -30
"""Exponent of a ``Histogram``'s first bin: 2**-30 is about 1e-9; the last ends at 2**10."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Numbers of one tensor, taken before any pooling; NaN and Inf are left out and counted."""

    count: int
    """Elements of the tensor."""
    sampled: int
    """Elements that were read; equal to ``count`` when the statistics are exact."""
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    std: float | None = None
    """Population standard deviation."""
    zero_share: float | None = None
    """Share of read elements that are exactly 0, from 0 to 1."""
    nan: int = 0
    posinf: int = 0
    neginf: int = 0
    note: str = ""
    """Why numbers are missing or what was done first: ``"empty"``, ``"|z| of complex"``."""

    @property
    def exact(self) -> bool:
        """True when every element was read."""
        return self.sampled == self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """How many read values lie in each power of two, counted apart by sign.

    Bin ``i`` holds ``2**(lowest_exponent + i) <= |x| < 2**(lowest_exponent + i + 1)``. Smaller
    values go into the first bin, larger ones into the last.
    """

    lowest_exponent: int = LOWEST_EXPONENT
    counts_negative: NDArray[np.int32]
    """Shape (EXPONENTS,)."""
    counts_positive: NDArray[np.int32]
    """Shape (EXPONENTS,)."""
    zeros: int = 0
    """Values that are exactly 0; in no bin."""
    nan: int = 0
    posinf: int = 0
    neginf: int = 0
    count: int = 0
    """Values read, the zeros and the non-finite ones included."""
