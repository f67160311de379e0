"""What conditions ask: the facts of one moment, and patterns of layer names."""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Protocol

PARAMETER_FUNCTIONS = ("grad_norm", "weight_norm", "update_ratio")
"""Of a layer's parameters; without a layer of the whole model's."""
ACTIVATION_FUNCTIONS = ("mean", "std", "min", "max", "zero_share", "nan_count")
LAYER_FUNCTIONS = (*PARAMETER_FUNCTIONS, *ACTIVATION_FUNCTIONS)
PLAIN_FUNCTIONS = ("step", "epoch", "lr")
"""Of the training; they take nothing."""


class Facts(Protocol):
    """What a condition may ask. None: not known yet, which is not the same as NaN."""

    def step(self) -> int:
        """Optimizer steps finished."""

    def epoch(self) -> float | None:
        """The last epoch that was logged."""

    def lr(self) -> float | None:
        """The learning rate, the largest of all parameter groups."""

    def layers(self) -> tuple[str, ...]:
        """Keys that a pattern such as ``conv*`` is matched with."""

    def metric(self, name: str) -> float | None:
        """The value that was logged last."""

    def best(self, name: str) -> float | None:
        """The best value that was logged, by whether rising is better for that name."""

    def previous(self, name: str) -> float | None:
        """The value that was logged before the last one."""

    def layer_statistic(self, name: str, layer: str) -> float | None:
        """``grad_norm``, ``mean``, ... of a layer; layer ``""`` is the whole model."""

    def findings(self) -> Iterable[tuple[str, str]]:
        """(rule, layer, block or parameter) of all that the active findings are about."""


class Reading:
    """The facts of one moment: each is looked up once, so that a truth and its sentence agree."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self._seen: dict[tuple[str, str], float | None] = {}
        self._findings: tuple[tuple[str, str], ...] | None = None

    def value(self, function: str, name: str) -> float | None:
        """Return one number; ``name`` is a metric or a layer."""
        if (function, name) not in self._seen:
            value = self._look_up(function, name)
            self._seen[function, name] = None if value is None else float(value)
        return self._seen[function, name]

    def findings(self) -> tuple[tuple[str, str], ...]:
        """Return (rule, place) of all that the active findings are about."""
        if self._findings is None:
            self._findings = tuple(self.facts.findings())
        return self._findings

    def _look_up(self, function: str, name: str) -> float | None:
        if function in PLAIN_FUNCTIONS:
            ask: Callable[[], float | None] = getattr(self.facts, function)
            return ask()
        if function in ("metric", "best", "previous"):
            find: Callable[[str], float | None] = getattr(self.facts, function)
            return find(name)
        return self.facts.layer_statistic(function, name)


def is_pattern(name: str) -> bool:
    """Tell whether a name stands for several layers: it holds ``*`` or ``?``."""
    return "*" in name or "?" in name


@lru_cache(maxsize=64)
def matching(pattern: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names that ``pattern`` stands for; ``*`` is any text, ``?`` any character."""
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    whole = re.compile("".join(parts), re.DOTALL)
    return tuple(name for name in names if whole.fullmatch(name))
