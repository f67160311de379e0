"""Learn one batch by heart, on a copy, within bounds of steps and of time."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from nbtorchviz.analysis.checkup_fit import Fit, fit_verdict, is_learnt
from nbtorchviz.analysis.checkup_report import Row
from nbtorchviz.session.checkup_bench import Bench
from nbtorchviz.session.checkup_gradients import gradients
from nbtorchviz.session.checkup_labels import without_loss
from nbtorchviz.session.checkup_loss import guessing_loss, is_squared
from nbtorchviz.session.knob_layers import dropout_places

RATES = (3e-3, 3e-4)
"""Learning rates of Adam, the second where the first leads nowhere. Our choice."""
BEYOND = 5
"""Steps that are made after the level is reached: a loss without least value goes on below zero."""
FIRST_SHARE = 0.6
"""Of the time, for the first rate."""


def check_learning(
    bench: Bench, *, most_steps: int, most_s: float, clock: Callable[[], float]
) -> Row:
    """Train a copy on the batch alone, without dropout, with an Adam of its own."""
    began = clock()
    best: Row | None = None
    for rate, share in zip(RATES, (FIRST_SHARE, 1.0), strict=True):
        deadline = began + share * most_s
        fit = _learn(bench, rate, most_steps, deadline, clock)
        if fit is None:
            return Row("one batch", "not checked", without_loss(bench, bench.run(bench.fresh())))
        row = fit_verdict(fit)
        if row.verdict == "ok" or min(fit.losses) < 0:  # a lower rate only falls more slowly
            return row
        if best is None or best.verdict == "not checked" != row.verdict:
            best = row
        if clock() >= began + most_s:
            break
    assert best is not None
    return best


def _learn(
    bench: Bench, rate: float, most_steps: int, deadline: float, clock: Callable[[], float]
) -> Fit | None:
    twin = bench.fresh()
    for module, attribute in dropout_places(twin).values():
        setattr(module, attribute, 0.0)
    bench.run(twin)  # gives lazy parameters their shape
    learning = [parameter for parameter in twin.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learning or [torch.zeros(1)], lr=rate)
    losses: list[float] = []

    def total() -> Tensor | None:
        loss = bench.loss(bench.run(twin))
        if loss is not None:
            losses.append(float(loss.detach()))
        return loss

    ended, guessing = "steps", guessing_loss(bench.criterion, bench.batch.labels)
    for _ in range(most_steps + 1):
        count = len(losses)
        found = gradients(total, learning)
        if len(losses) == count:
            return None
        del losses[count + 1 :]  # a reentrant checkpoint was run twice
        if found is None:
            raise ValueError("the loss does not depend on a parameter that learns")
        if not math.isfinite(losses[-1]):
            break
        if is_learnt(losses[max(0, len(losses) - 1 - BEYOND)], losses[0], guessing):
            break  # and stayed above zero or not: the verdict looks
        if clock() >= deadline:
            ended = "time"
            break
        for parameter, gradient in zip(learning, found, strict=True):
            parameter.grad = gradient
        optimizer.step()
    return Fit(tuple(losses), rate, guessing, ended, is_squared(bench.criterion))
