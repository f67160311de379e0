"""Parameters that no gradient or no optimizer reaches. Frozen ones are meant so: no finding."""

import math

from nbtorchviz.analysis.findings.finding import HEALTHY, UNSURE, Verdict, sick
from nbtorchviz.analysis.findings.rows import ParameterRow
from nbtorchviz.analysis.findings.words import number

ROUNDED_AWAY = 1e-9
"""Share of the weights below which an update is none. One float32 element of a million that moves
by one unit in the last place is already 6e-11; a real update of all elements cannot be smaller
than 6e-8, half a unit in the last place."""
ROUNDED_NO_MORE = 1e-7


def no_optimizer(row: ParameterRow) -> Verdict:
    """Find a parameter that no optimizer updates though it asks for gradients."""
    if row.state != "no optimizer":
        return HEALTHY
    if row.gradient >= 0:
        evidence = f"{row.name}: gradient norm {number(row.gradient)}, never applied"
    else:
        evidence = f"{row.name} asks for a gradient, and no optimizer was given it"
    return sick("No optimizer updates {who}", evidence)


def no_gradient(row: ParameterRow, *, others: bool) -> Verdict:
    """Find a parameter that backward never reaches while it reaches others.

    Args:
        row: the parameter.
        others: whether any other parameter got a gradient in this step.
    """
    if row.state != "unused":
        return HEALTHY
    if not others:
        return UNSURE
    return sick("No gradient reaches {who}", f"{row.name}.grad is None after backward")


def zero_gradient(row: ParameterRow, *, others: bool) -> Verdict:
    """Find a parameter whose gradient is exactly zero while that of others is not."""
    if not row.trained or row.gradient > 0:
        return HEALTHY
    if row.gradient != 0 or not others:
        return UNSURE
    return sick("The gradient is exactly zero in {who}", f"all of {row.name}'s gradient is 0")


def no_update(row: ParameterRow) -> Verdict:
    """Find a parameter that has a gradient and an optimizer and yet does not move.

    A gradient of zero is ``zero_gradient``'s business.
    """
    if not row.trained or row.gradient == 0:
        return HEALTHY
    if not (math.isfinite(row.update) and math.isfinite(row.weight) and row.gradient > 0):
        return UNSURE
    if row.update > ROUNDED_AWAY * row.weight:
        return HEALTHY if row.update > ROUNDED_NO_MORE * row.weight else UNSURE
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
