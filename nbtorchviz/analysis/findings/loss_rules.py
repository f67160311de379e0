"""A logged loss that is no number, that rises, or that falls without end."""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from nbtorchviz.analysis.curves import split_name
from nbtorchviz.analysis.findings.finding import HEALTHY, UNSURE, Verdict, sick
from nbtorchviz.analysis.findings.words import number, times

LOSS_WORDS = frozenset({"loss", "losses", "nll", "cost", "objective", "mse", "bce"})
OPPOSED_WORDS = frozenset(
    {
        *("g", "d", "gen", "disc", "generator", "discriminator", "adv", "adversarial", "critic"),
        *("actor", "policy", "value", "reward", "entropy", "kl", "kld", "commit", "aux", "gan"),
        *("reg", "regularization", "regularizer", "l1", "l2", "sparsity", "decay", "penalty"),
    }
)
"""Losses that rise in a healthy training, because something works against them or they are one
term of a sum. Whether they are numbers is judged, whether they rise is not."""

MEASURES = frozenset({"scale", "weight", "std", "var", "lr", "rate", "coef", "factor", "hour"})
"""In ``loss_scale`` or ``cost_per_hour`` the loss only says of what."""
HELD_OUT = frozenset({"dev", "holdout", "heldout"})
"""Beside the words that ``split_name`` knows."""

WINDOW = 10
"""Logged values whose median is one level."""
FIRST = 3
"""Values whose median is the first level: a diverging loss has left it after ten."""
DIVERGED = 2.0
"""Rise above the first level, as a multiple of that level (and of what had been gained): three
times the loss of an untrained model. No healthy training measured rose above its first level for
``WINDOW`` values."""
DIVERGED_NO_MORE = 0.5
GAINED = 0.5
"""Share of the first level by which the loss must have fallen before "fell back" can be said."""
FELL_BACK = 0.9
"""Share of what was gained that is lost again."""
FELL_BACK_NO_MORE = 0.5
CLEAR = 6.0
"""Times its scatter that a loss of both signs must have gained before "fell back" can be said: the
level of a policy's loss, or of noise, says nothing by itself. Our choice."""
BOTTOMLESS = 10_000.0
"""A loss so many times its first level (its scatter, one) below zero has no least value. Negative
likelihoods of pixels begin in the thousands themselves; a return is rarely lost so often. Our
choice."""
BOTTOMLESS_NO_MORE = 1_000.0


def is_loss(name: str) -> bool:
    """Tell whether a metric is something that training makes smaller, judged by its name."""
    words = _words(name)
    said = not LOSS_WORDS.isdisjoint(words) or any(w.endswith("loss") for w in words)
    return said and MEASURES.isdisjoint(words)


def may_rise(name: str, phase: str) -> bool:
    """Tell whether a loss may rise in a healthy training (held-out data, adversaries, terms)."""
    held_out = phase == "eval" or split_name(name)[1] == "val"
    return held_out or not (OPPOSED_WORDS | HELD_OUT).isdisjoint(_words(name))


def _words(name: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in name.lower()).split()


@dataclass(slots=True)
class LossHistory:
    """Levels of one logged loss: medians of ``WINDOW`` values, the first one of ``FIRST``."""

    recent: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    first: float = math.nan
    """The first level."""
    best: float = math.nan
    """The lowest."""
    now: float = math.nan
    scatter: float = 0.0
    """Median step from one value to the next, up or down, of the first ``WINDOW``."""
    widest: float = 0.0
    """The largest that this ever was for ``WINDOW`` values; followed where the loss is signed."""
    signed: bool = False
    """Whether it was ever negative: then its level is no measure of how wrong the model is."""

    def add(self, value: float) -> None:
        """Take in one finite value."""
        self.recent.append(value)
        self.signed |= value < 0
        if len(self.recent) == FIRST and math.isnan(self.first):
            self.first = self.best = median(self.recent)
        if len(self.recent) == WINDOW:
            if math.isnan(self.now) or self.signed:
                self.widest = max(self.widest, _scatter(self.recent))
            if math.isnan(self.now):
                self.scatter = self.widest
            self.now = median(self.recent)
            self.best = min(self.best, self.now)


def nonfinite_loss(name: str, value: float) -> Verdict:
    """Find a loss that is NaN or infinite."""
    if math.isfinite(value):
        return HEALTHY
    word = "NaN" if math.isnan(value) else "infinite"
    return sick(f"The {_called(name)} is {word}", f"{name} = {value}")


def diverging_loss(name: str, history: LossHistory) -> Verdict:
    """Find a loss far above its start, or back at it after it had fallen."""
    first, best, now = history.first, history.best, history.now
    if not (math.isfinite(first) and math.isfinite(best) and math.isfinite(now)):
        return UNSURE
    gained = first - best
    scatter, widest = (history.scatter, history.widest) if history.signed else (0.0, 0.0)
    unit = max(abs(first), gained, CLEAR * scatter / 2)
    levels = f"medians of {WINDOW} values: {number(first)} at first, {number(best)} at best, " + (
        f"{number(now)} now"
    )
    if now - first > DIVERGED * unit > 0:
        size = f"{times(now / first)} times what it was at first" if first > 0 else "far above it"
        return sick(f"The {_called(name)} diverges: it is {size}", levels)
    learned = gained >= GAINED * abs(first) > 0 and gained >= CLEAR * widest
    if learned and first - now <= (1 - FELL_BACK) * gained:
        return sick(f"The {_called(name)} has fallen back to where it began", levels)
    if now - first > DIVERGED_NO_MORE * unit or (
        learned and first - now < (1 - FELL_BACK_NO_MORE) * gained
    ):
        return UNSURE
    return HEALTHY


def bottomless_loss(name: str, history: LossHistory) -> Verdict:
    """Find a loss that falls for ever: below zero, and far from any level it began with."""
    first, now = history.first, history.now
    if not (math.isfinite(first) and math.isfinite(now)):
        return UNSURE
    unit = max(abs(first), CLEAR * history.scatter, 1.0)
    if now < -BOTTOMLESS * unit:
        levels = f"medians of {WINDOW} values: {number(first)} at first, {number(now)} now"
        return sick(f"The {_called(name)} falls without end: it is {number(now)}", levels)
    return UNSURE if now < -BOTTOMLESS_NO_MORE * unit else HEALTHY


def _scatter(values: Iterable[float]) -> float:
    return median(abs(b - a) for a, b in pairwise(values))


def _called(name: str) -> str:
    return name if "loss" in name.lower() else f"{name} (a loss)"
