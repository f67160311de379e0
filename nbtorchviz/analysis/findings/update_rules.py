"""The size of updates as a share of the weights."""

import math
from collections import deque
from dataclasses import dataclass, field
from statistics import median

from nbtorchviz.analysis.findings.finding import HEALTHY, UNSURE, Verdict, sick
from nbtorchviz.analysis.findings.rows import BARELY_BEGUN, ParameterRow
from nbtorchviz.analysis.findings.words import number, times

USUAL = 1e-3
"""Karpathy's rule of thumb (CS231n notes, "Ratio of weights:updates"; "Neural Networks: Zero to
Hero", part 4): about 1e-3 per step."""
TOO_LARGE = 0.1
"""Two decades above. Measured medians after 20 steps: 6e-5 to 0.07 in 23 trainings that learn, 0.11
to 0.13 in three whose loss rose to several times its start (ResNet, MobileNet, DenseNet)."""
TOO_LARGE_NO_MORE = 0.05
TOO_SMALL = 1e-6
"""Three decades below, in a layer that never had more than ``NEVER_MORE``: a converged or cooled
down training has small updates too, but it had larger ones before."""
TOO_SMALL_NO_MORE = 1e-5
NEVER_MORE = 1e-5
SETTLED_AFTER = 20
"""Observations before a layer is judged. Adam's first steps are several times its later ones, and
a weight that begins at zero has an endless ratio until it has grown: after n equal steps from zero
the ratio is 1/n, 0.05 after 20. Steps that grow or do not agree take longer: ``BARELY_BEGUN``."""
RECENT = 10
FEWEST_RATIOS = 3
"""Ratios whose median is not at the mercy of one of them."""
STEADY = 1.01
"""A learning rate that rose by no more than this factor is no warm-up, in which steps are small."""


@dataclass(slots=True)
class RatioHistory:
    """Ratios of one layer's weight, the last ``RECENT`` of them."""

    ratios: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    rates: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    seen: int = 0
    usual: float = math.nan
    """Median of ``ratios``; NaN before the first."""
    peak: float = 0.0
    """Largest median of the last ``RECENT`` ever, the first ``SETTLED_AFTER`` included."""

    def add(self, row: ParameterRow) -> None:
        """Take in one step in which the update was measured."""
        self.seen += 1
        self.ratios.append(row.ratio)
        self.rates.append(row.rate)
        self.usual = median(self.ratios)
        if len(self.ratios) >= FEWEST_RATIOS:
            self.peak = max(self.peak, self.usual)


@dataclass(frozen=True, slots=True)
class Ratio:
    """The update-to-weight ratio of one layer's weight."""

    parameter: str
    usual: float
    """Median of the last few."""
    peak: float
    """Largest such median."""
    seen: int
    rate: float = math.nan
    """Learning rate now."""
    warming_up: bool = False
    """The learning rate rises, or is not known."""
    size: float = 1.0
    """The weight against the usual one of the model; NaN when not known."""


def ratio_of(parameter: str, history: RatioHistory, *, size: float = 1.0) -> Ratio:
    """Sum up a history that holds at least one ratio."""
    first, now = history.rates[0], history.rates[-1]
    return Ratio(
        parameter=parameter,
        usual=history.usual,
        peak=history.peak,
        seen=history.seen,
        rate=now,
        warming_up=not now <= first * STEADY,
        size=size,
    )


def update_too_large(ratio: Ratio) -> Verdict:
    """Find weights of which each step changes a large share."""
    if ratio.seen <= SETTLED_AFTER:
        return UNSURE
    if ratio.usual < TOO_LARGE:
        return HEALTHY if ratio.usual < TOO_LARGE_NO_MORE else UNSURE
    if ratio.size < BARELY_BEGUN:
        return UNSURE
    return sick(
        f"Steps are too large in {{who}}: each changes the weights by {times(100 * ratio.usual)} %",
        f"{ratio.parameter}: update norm / weight norm {number(ratio.usual)} (median of {RECENT}; "
        f"about {USUAL:g} is usual){_rate(ratio)}",
        remedy=_other_rate(ratio.rate / 10, "lower"),
    )


def update_too_small(ratio: Ratio) -> Verdict:
    """Find weights that no step has moved by more than a hundred-thousandth."""
    if ratio.peak >= NEVER_MORE or ratio.usual >= TOO_SMALL_NO_MORE:
        return HEALTHY
    if ratio.seen <= SETTLED_AFTER or ratio.warming_up or ratio.usual > TOO_SMALL:
        return UNSURE
    if ratio.usual == 0:
        return UNSURE  # no_update tells
    return sick(
        "Steps are too small in {who}: each changes the weights "
        f"{times(USUAL / ratio.usual)} times less than usual",
        f"{ratio.parameter}: update norm / weight norm {number(ratio.usual)} (median of {RECENT}; "
        f"about {USUAL:g} is usual), never above {number(ratio.peak)}{_rate(ratio)}",
        remedy=_other_rate(ratio.rate * 10, "higher"),
    )


def _rate(ratio: Ratio) -> str:
    return f", learning rate {number(ratio.rate)}" if math.isfinite(ratio.rate) else ""


def _other_rate(rate: float, word: str) -> str:
    if not (math.isfinite(rate) and rate > 0):
        return ""
    return f"Try a learning rate ten times {word}, {number(rate)}."
