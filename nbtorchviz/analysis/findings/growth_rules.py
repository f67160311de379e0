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
"""Leap of the gradient norm against its own median. Measured on 30 healthy trainings: at most 29
(a hard batch after the loss had fallen). A recurrent net on its way to NaN: 131, then 2 million."""
OVER_START = 3.0
"""It must also exceed the largest norm of the first observations: near convergence the median is
tiny, and a hard batch brings the norm back to what it was at the start, which is no explosion."""
START = 20
"""Observations that count as the start."""
RECENT = 100
"""Observations the median is taken over."""
FEWEST_NORMS = 5
LEAPS = 2
"""Leaps among the last ``MEMORY`` observations that make an explosion. They need not follow each
other: one leap often throws the weights to where gradients are small again."""
MEMORY = 50
AT_ONCE = 3
"""Observations after a leap within which NaN or infinity is its second one. Most explosions of
recurrent nets look like this: 1.9, 490, inf."""


@dataclass(frozen=True, slots=True)
class Growth:
    """One gradient norm against those before it."""

    norm: float
    """L2 over all parameters; NaN when there was no gradient."""
    median: float
    start: float
    """Largest norm of the first observations."""
    weights: float
    """Norm of all weights; NaN when not known."""
    seen: int
    """Norms before this one."""
    largest: str = ""
    """Parameter with the largest gradient norm."""
    finite: bool = True
    """False when a gradient held NaN or infinity."""


@dataclass(slots=True)
class NormHistory:
    """Gradient norms of the whole model."""

    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    leaps: deque[bool] = field(default_factory=lambda: deque(maxlen=MEMORY))
    start: float = 0.0
    """Largest of the first ``START``, leaps left out."""
    seen: int = 0
    leap: Growth | None = None
    """The last leap, for as long as it is ``AT_ONCE``."""
    _age: int = 0

    def add(self, growth: Growth) -> None:
        """Take in one observation."""
        leap = leapt(growth)
        self._age += 1
        if leap:
            self.leap, self._age = growth, 0
        elif self._age > AT_ONCE:
            self.leap = None
        if not (growth.finite and math.isfinite(growth.norm)):
            return
        if self.seen < START and not leap:
            self.start = max(self.start, growth.norm)
        self.seen += 1
        self.recent.append(growth.norm)
        self.leaps.append(leap)


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
        finite=not any(row.nonfinite > 0 or math.isinf(row.gradient) for row in rows),
    )


def leapt(growth: Growth) -> bool:
    """Tell whether one gradient norm is out of all proportion.

    A norm smaller than that of the weights is not, however much it grew: a model that leaves a
    plateau has gradients orders of magnitude above those on it.
    """
    if growth.seen < FEWEST_NORMS or not (math.isfinite(growth.norm) and growth.median > 0):
        return False
    if not growth.finite:
        return False
    if growth.norm < growth.weights:
        return False
    return growth.norm >= max(EXPLODED * growth.median, OVER_START * growth.start)


def exploding(growth: Growth, leaps: int, before: Growth | None = None) -> Verdict:
    """Find gradient norms that leap more than once; the limits are measured.

    Args:
        growth: of this observation.
        leaps: of the last ``MEMORY`` observations, this one included.
        before: a leap within the last ``AT_ONCE`` observations.
    """
    if not growth.finite:  # without a leap before it, nonfinite_gradients alone tells
        return _explosion(before, ", then beyond all numbers") if before else UNSURE
    if math.isnan(growth.norm):
        return UNSURE
    if not leaps:
        return HEALTHY
    return _explosion(growth, "") if leaps >= LEAPS and leapt(growth) else UNSURE


def _explosion(growth: Growth, then: str) -> Verdict:
    return sick(
        f"Gradients explode: their norm leaps to {times(growth.norm / growth.median)} times its "
        f"usual{then}",
        f"norm {number(growth.norm)} against a median of {number(growth.median)} before; the "
        f"largest part is in {growth.largest}",
        layer=growth.largest.rpartition(".")[0],
    )
