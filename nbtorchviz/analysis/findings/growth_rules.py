"""Gradients that explode: their norm leaps by orders of magnitude."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from nbtorchviz.analysis.findings.finding import HEALTHY, UNSURE, Verdict, sick
from nbtorchviz.analysis.findings.rows import ParameterRow
from nbtorchviz.analysis.findings.words import number, times

EXPLODED = 100.0
"""Leap of the gradient norm against its own median. Measured on 29 healthy trainings: at most 29
(a hard batch after the loss had fallen). A recurrent net on its way to NaN: 131, then 2 million."""
OVER_START = 3.0
"""It must also exceed the largest norm of the first observations: near convergence the median is
tiny, and a hard batch brings the norm back to what it was at the start, which is no explosion."""
START = 20
"""Observations that count as the start."""
RECENT = 100
"""Observations the median is taken over."""
FEWEST_NORMS = 10
LEAPS = 2
"""Leaps among the last ``MEMORY`` observations that make an explosion. They need not follow each
other: one leap often throws the weights to where gradients are small again."""
MEMORY = 50


@dataclass(slots=True)
class NormHistory:
    """Gradient norms of the whole model."""

    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    leaps: deque[bool] = field(default_factory=lambda: deque(maxlen=MEMORY))
    start: float = 0.0
    """Largest of the first ``START``, leaps left out."""
    seen: int = 0

    def add(self, norm: float, *, leapt: bool) -> None:
        """Take in one finite norm."""
        if self.seen < START and not leapt:
            self.start = max(self.start, norm)
        self.seen += 1
        self.recent.append(norm)
        self.leaps.append(leapt)


@dataclass(frozen=True, slots=True)
class Growth:
    """One gradient norm against those before it."""

    norm: float
    """L2 over all parameters; NaN when there was no gradient, infinite when one was."""
    median: float
    start: float
    """Largest norm of the first observations."""
    weights: float
    """Norm of all weights; NaN when not known."""
    seen: int
    """Norms before this one."""
    largest: str = ""
    """Parameter with the largest gradient norm."""


def growth_of(history: NormHistory, rows: Sequence[ParameterRow]) -> Growth:
    """Compare this step with ``history``, without adding it."""
    known = [row for row in rows if not math.isnan(row.gradient)]
    weights = [row.weight for row in rows if math.isfinite(row.weight)]
    return Growth(
        norm=math.hypot(*(row.gradient for row in known)) if known else math.nan,
        median=median(history.recent) if history.recent else math.nan,
        start=history.start,
        weights=math.hypot(*weights) if weights else math.nan,
        seen=history.seen,
        largest=max(known, key=lambda row: row.gradient).name if known else "",
    )


def leapt(growth: Growth) -> bool:
    """Tell whether one gradient norm is out of all proportion.

    A norm smaller than that of the weights is not, however much it grew: a model that leaves a
    plateau has gradients orders of magnitude above those on it.
    """
    if growth.seen < FEWEST_NORMS or not (math.isfinite(growth.norm) and growth.median > 0):
        return False
    if growth.norm < growth.weights:
        return False
    return growth.norm >= max(EXPLODED * growth.median, OVER_START * growth.start)


def exploding(growth: Growth, leaps: int) -> Verdict:
    """Find gradient norms that leap more than once; the limits are measured.

    Args:
        growth: of this observation.
        leaps: of the last ``MEMORY`` observations, this one included.
    """
    if not math.isfinite(growth.norm):
        return UNSURE  # nonfinite_gradients tells
    if not leaps:
        return HEALTHY
    if leaps < LEAPS or not leapt(growth):
        return UNSURE
    return sick(
        f"Gradients explode: their norm leaps to {times(growth.norm / growth.median)} times its "
        "usual",
        f"norm {number(growth.norm)} against a median of {number(growth.median)} before; the "
        f"largest part is in {growth.largest}",
        layer=growth.largest.rpartition(".")[0],
    )
