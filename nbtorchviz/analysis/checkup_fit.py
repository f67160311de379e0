"""Whether one batch can be learnt by heart, judged by how its loss went."""

import math
from dataclasses import dataclass

from nbtorchviz.analysis.checkup_report import Row
from nbtorchviz.analysis.checkup_verdicts import plural

LEARNT = 0.1
"""Share of the first loss at which one batch counts as learnt. Our choice."""
HALF = 0.5
GUESSING = 0.97
"""Share of the loss of guessing by frequency that shows nothing was learnt. Our choice."""
FALLING = 0.1
"""Share of the whole fall that must lie in the last third of a loss that still falls. Our
choice: a third of it would, if the loss fell evenly."""
FEWEST_STEPS = 20
"""Fewer steps than this say nothing about learning."""


def is_learnt(loss: float, first: float, guessing: float | None) -> bool:
    """Whether a batch counts as learnt at this loss. One below zero has no level that says so.

    Args:
        loss: after some steps.
        first: before the first step, which a bad start makes as high as one likes.
        guessing: loss of the best answer that does not look at the input; None: not known.
    """
    return 0 <= loss <= LEARNT * (first if guessing is None else min(first, guessing))


@dataclass(frozen=True, slots=True)
class Fit:
    """How the loss of one batch went."""

    losses: tuple[float, ...]
    """The first one before any step."""
    learning_rate: float
    guessing: float | None
    """Loss of the best answer that does not look at the input: the labels' own frequency, the mean
    target. None where that means nothing."""
    ended: str = "steps"
    """What ended it: ``"steps"`` or ``"time"``."""
    of_mean: bool = False
    """Whether that answer is the mean target."""

    @property
    def learnt(self) -> bool:
        """Whether the batch was learnt by heart."""
        return self.learnt_after is not None

    @property
    def learnt_after(self) -> int | None:
        """Steps after which it was; a loss that went on below zero only passed that level."""
        first = self.losses[0]
        if any(loss < 0 for loss in self.losses):
            return None
        levels = (is_learnt(loss, first, self.guessing) for loss in self.losses)
        return next((step for step, learnt in enumerate(levels) if learnt), None)


def fit_verdict(fit: Fit) -> Row:
    """Judge whether one batch can be learnt by heart, which any sound training can."""
    losses, check = fit.losses, "one batch"
    steps = len(losses) - 1
    for step, loss in enumerate(losses):
        if not math.isfinite(loss):
            return Row(check, "problem", f"The loss was {loss} after {plural(step, 'step')}.")
    reached = min(losses)
    how = f"of Adam (lr {fit.learning_rate:g})"
    told = f"{losses[0]:.3g} → {reached:.3g} in {plural(steps, 'step')} {how}"
    if (after := fit.learnt_after) is not None:
        told = f"{losses[0]:.3g} → {losses[after]:.3g} in {plural(after, 'step')} {how}"
        return Row(check, "ok", f"Learnt by heart: loss {told}.")
    if reached < 0 and losses[0] - reached > (1 - GUESSING) * abs(losses[0]):
        text = f"It falls: loss {told}. Below zero no level shows that a batch is learnt."
        return Row(check, "not checked", text)
    if steps < FEWEST_STEPS:
        limit = "fitted into the time" if fit.ended == "time" else "allowed"
        return Row(check, "not checked", f"only {plural(steps, 'step')} {limit}.")
    if reached < 0:
        return Row(check, "problem", f"Not learnt: loss {told}.")
    third = steps // 3
    lately = min(losses[:-third]) - min(losses[-third:])
    falls = lately > 0 and lately >= FALLING * (losses[0] - reached)
    if falls and fit.ended == "time":
        return Row(check, "ok", f"Being learnt: loss {told}, falling when the time was up.")
    blind = fit.guessing is not None and reached >= GUESSING * fit.guessing
    if blind and fit.of_mean:
        text = f"loss {told}; the mean target as the answer to everything gives {fit.guessing:.3g}"
        if not falls:
            return Row(check, "problem", f"Not learnt: {text}.")
        more = "It still falls: standardised targets would be reached sooner."
        return Row(check, "warning", f"Not learnt so far: {text}. {more}")
    if blind:
        return Row(
            check,
            "problem",
            f"Not learnt: loss {told}, no better than guessing by the labels' frequency "
            f"({fit.guessing:.3g}).",
        )
    if reached >= GUESSING * losses[0]:
        return Row(check, "problem", f"Not learnt: loss {told}.")
    if falls:
        return Row(check, "ok", f"Being learnt: loss {told}, falling when the steps were up.")
    if reached <= HALF * losses[0]:
        return Row(check, "ok", f"Partly learnt: loss {told}.")
    return Row(check, "warning", f"Hardly learnt: loss {told}, and hardly falling any more.")
