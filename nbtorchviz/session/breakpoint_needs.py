"""What breakpoints need to be recorded at every step."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from nbtorchviz.analysis.condition_facts import ACTIVATION_FUNCTIONS, LAYER_FUNCTIONS


@dataclass(frozen=True, slots=True)
class Needs:
    """What has to be known at every step so that no breakpoint misses its moment."""

    metrics: frozenset[str] = frozenset()
    """Names as they are logged."""
    statistics: frozenset[tuple[str, str]] = frozenset()
    """(function, layer or pattern): ``("grad_norm", "conv*")``; layer ``""`` is the model."""
    rules: frozenset[str] = frozenset()
    """Findings, patterns included."""

    @classmethod
    def of(cls, lookups: Iterable[tuple[str, str]], rules: Iterable[str] = ()) -> Self:
        """Sort (function, name) pairs."""
        pairs = frozenset(lookups)
        statistics = frozenset(pair for pair in pairs if pair[0] in LAYER_FUNCTIONS)
        metrics = frozenset(name for function, name in pairs - statistics if name)
        return cls(metrics, statistics, frozenset(rules))

    def __or__(self, other: Self) -> Self:
        return type(self)(
            self.metrics | other.metrics,
            self.statistics | other.statistics,
            self.rules | other.rules,
        )

    @property
    def activations(self) -> bool:
        """Whether ``LayerStatisticsCaptured`` is needed: a window in every step."""
        return any(name in ACTIVATION_FUNCTIONS for name, _ in self.statistics) or self.gradients

    @property
    def gradients(self) -> bool:
        """Whether norms of gradients are needed."""
        return any(name == "grad_norm" for name, _ in self.statistics)

    @property
    def parameters(self) -> bool:
        """Whether ``ParameterStatisticsCaptured`` is needed."""
        return any(name not in ACTIVATION_FUNCTIONS for name, _ in self.statistics)

    @property
    def updates(self) -> bool:
        """Whether it needs the norms of updates too."""
        return any(name == "update_ratio" for name, _ in self.statistics)

    @property
    def findings(self) -> bool:
        """Whether the rules have to be looked at."""
        return bool(self.rules)
