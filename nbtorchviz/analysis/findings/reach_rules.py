"""Parameters that no gradient or no optimizer reaches. Frozen ones are meant so: no finding."""

import math
from collections.abc import Collection, Iterable, Sequence

from nbtorchviz.analysis.findings.finding import HEALTHY, UNSURE, Verdict, sick
from nbtorchviz.analysis.findings.rows import ParameterRow
from nbtorchviz.analysis.findings.words import number, plural

ROUNDED_AWAY = 1e-9
"""Share of the weights below which an update is none. One float32 element of a million that moves
by one unit in the last place is already 6e-11; a real update of all elements cannot be smaller
than 6e-8, half a unit in the last place."""
ROUNDED_NO_MORE = 1e-7
CONVERGED = 1e-3
"""Share of the largest gradient with which a parameter moved, below which one that moves no more
is taken to have arrived. Our choice."""
LONG = 100
"""Readings in a row without a gradient that are not taken for chance where a model chooses its
parts: one of 8 experts is left out so often once in 600,000 times."""


class GradientMemory:
    """Knows which parameters ever got a gradient, and for how long others did and they did not."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._missed: dict[str, int] = {}
        self.comes_and_goes = False
        """A parameter that had a gradient was once without: the model chooses its parts."""

    def add(self, rows: Iterable[ParameterRow], step: int) -> None:
        """Take in a reading in which any parameter got a gradient."""
        for row in rows:
            if row.state == "unused":
                self._missed[row.name] = self.missed(row.name) + 1
                self.comes_and_goes |= row.name in self._last
            elif row.trained or row.gradient >= 0:
                self._last[row.name] = step
                self._missed.pop(row.name, None)

    def last(self, parameter: str) -> int | None:
        """Return the step of its last gradient; None before the first."""
        return self._last.get(parameter)

    def missed(self, parameter: str) -> int:
        """Return its readings in a row without a gradient, up to now."""
        return self._missed.get(parameter, 0)

    def keep(self, parameters: Collection[str]) -> None:
        """Forget all others, once they are many."""
        if len(self._last) + len(self._missed) > 2 * len(parameters):
            self._last = {name: self._last[name] for name in parameters if name in self._last}
            self._missed = {name: self._missed[name] for name in parameters if name in self._missed}


def no_optimizer(row: ParameterRow, *, idle: int = 0) -> Verdict:
    """Find a parameter that no optimizer updates though it asks for gradients.

    Args:
        row: the parameter.
        idle: readings so far in which the optimizer that holds it made no step, all of them.
    """
    if idle >= LONG:
        return sick(
            "No optimizer updates {who}",
            f"{row.name}: the optimizer that holds it has made no step in {idle} readings, another "
            "has made all",
            remedy="Call step() of each optimizer.",
        )
    if row.state != "no optimizer":
        return HEALTHY
    if row.gradient >= 0:
        evidence = f"{row.name}: gradient norm {number(row.gradient)}, never applied"
    else:
        evidence = f"{row.name} asks for a gradient, and no optimizer was given it"
    return sick("No optimizer updates {who}", evidence)


def no_gradient(
    row: ParameterRow,
    *,
    others: bool,
    memory: GradientMemory | None = None,
    nowhere: bool = False,
) -> Verdict:
    """Find a parameter that backward never reaches while it reaches others.

    Args:
        row: the parameter.
        others: whether any other parameter got a gradient in this step.
        memory: of the readings up to this one.
        nowhere: no parameter of the model had a gradient although its optimizer made a step.
    """
    memory = memory or GradientMemory()
    if row.state != "unused" or memory.last(row.name) is not None:
        return HEALTHY
    if nowhere:
        return sick(
            "No gradient reaches {who}",
            f"{row.name}.grad is None at the optimizer's step, as that of all other parameters",
            remedy="Call loss.backward() before optimizer.step(), and zero_grad() not in between.",
        )
    if not others or (memory.comes_and_goes and memory.missed(row.name) < LONG):
        return UNSURE
    return sick("No gradient reaches {who}", f"{row.name}.grad is None after backward")


def gradient_stopped(row: ParameterRow, *, memory: GradientMemory) -> Verdict:
    """Find a parameter that had a gradient and has had none for long, while others had."""
    last = memory.last(row.name)
    if row.state != "unused" or last is None:
        return HEALTHY
    if memory.missed(row.name) < LONG:
        return UNSURE
    return sick(
        f"No gradient reached {{who}} in the last {LONG} readings, though one did before",
        f"{row.name} last got a gradient at step {last}",
    )


def zero_gradient(row: ParameterRow, *, others: bool) -> Verdict:
    """Find a parameter whose gradient is exactly zero while that of others is not."""
    if not row.trained or row.gradient > 0:
        return HEALTHY
    if row.gradient != 0 or not others:
        return UNSURE
    claim = "The gradient of the weights is exactly zero in {who}"
    return sick(claim, f"all of {row.name}'s gradient is 0")


def zero_gradients(rows: Sequence[ParameterRow]) -> Verdict:
    """Find a backward that brings nothing but zeros, as from an output that is clamped for good.

    So does a loss that has reached its end (a margin that every sample keeps): a hint.

    Args:
        rows: parameters that the step trained.
    """
    if not rows:
        return UNSURE
    if any(row.gradient != 0 for row in rows):
        return HEALTHY
    return sick(
        "Every gradient is exactly zero",
        f"all values of {plural(len(rows), 'parameter')}; backward did reach them",
    )


def no_update(row: ParameterRow, *, moved_by: float = 0.0) -> Verdict:
    """Find a parameter that has a gradient and an optimizer and yet does not move.

    A gradient of zero is ``zero_gradient``'s business.

    Args:
        row: the parameter.
        moved_by: the largest gradient with which it did move before; 0: it never did.
    """
    if not row.trained or row.gradient == 0:
        return HEALTHY
    if not (math.isfinite(row.update) and math.isfinite(row.weight) and row.gradient > 0):
        return UNSURE
    if row.update > ROUNDED_AWAY * row.weight:
        return HEALTHY if row.update > ROUNDED_NO_MORE * row.weight else UNSURE
    if row.gradient < CONVERGED * moved_by and row.rate != 0:
        return UNSURE
    numbers = (
        f"{row.name}: gradient norm {number(row.gradient)}, update norm {number(row.update)}, "
        f"weight norm {number(row.weight)}"
    )
    if row.rate == 0:
        return sick(
            "Learning rate 0: no update reaches {who}",
            numbers,
            remedy="Look at the learning rate scheduler: it has set this group's rate to 0.",
        )
    rate = f", learning rate {number(row.rate)}" if math.isfinite(row.rate) else ""
    return sick("No update reaches {who}, though there is a gradient", numbers + rate)
