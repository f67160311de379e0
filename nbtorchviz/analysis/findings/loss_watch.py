"""Applies the rules about losses to each logged number."""

import math
from collections.abc import Iterator

from nbtorchviz.analysis.findings.finding import Verdict
from nbtorchviz.analysis.findings.loss_rules import (
    LossHistory,
    bottomless_loss,
    diverging_loss,
    is_loss,
    may_rise,
    nonfinite_loss,
)
from nbtorchviz.events import ScalarLogged

MOST_METRICS = 64


LOSS_RULES = ("nonfinite_loss", "diverging_loss", "bottomless_loss")
"""What is judged of logged numbers."""


class LossWatch:
    """Remembers three levels and ten values of each loss."""

    rules = ()  # each log shows one metric: the others are not missing

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin a new run."""
        self._losses: dict[tuple[str, str], LossHistory] = {}

    def verdicts(self, event: ScalarLogged) -> Iterator[tuple[str, str, Verdict]]:
        """Yield (rule, metric, verdict)."""
        if not is_loss(event.name):
            return
        key = (event.name, event.phase)
        history = self._losses.get(key)
        if history is None:
            if len(self._losses) >= MOST_METRICS:
                return
            history = self._losses[key] = LossHistory()
        name = event.name if event.phase == "train" else f"{event.name}/{event.phase}"
        yield "nonfinite_loss", name, nonfinite_loss(name, event.value)
        if math.isfinite(event.value):
            history.add(event.value)
            if not may_rise(event.name, event.phase):
                yield "diverging_loss", name, diverging_loss(name, history)
                yield "bottomless_loss", name, bottomless_loss(name, history)
