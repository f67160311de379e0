from collections.abc import Callable
from typing import Any

from torch import nn

from nbtorchviz.capture.parameters import ParameterStatistics
from nbtorchviz.capture.tap import Boundary, Catch, ForwardFailure, ModelTap, Plan
from nbtorchviz.capture.weights import WeightRead


class Desk:
    """A session's two roles for a test: hands out plans, keeps what it hears."""

    tap: ModelTap

    def __init__(self) -> None:
        self.plan: Plan | None = None
        self.choose: Callable[[], Plan | None] | None = None
        self.phase = "train"
        self.boundaries: list[Boundary] = []
        self.parameters: list[tuple[int, ParameterStatistics]] = []
        self.weights: list[tuple[int, list[WeightRead]]] = []
        self.failures: list[ForwardFailure] = []
        self.faults: list[tuple[str, BaseException]] = []
        self.began: list[tuple[str, bool]] = []
        self.completed: list[int] = []
        self.on_boundary: Callable[[Boundary], object] = lambda boundary: None

    def wanted_phase(self) -> str:
        return self.phase

    def next_plan(self, phase: str) -> Plan | None:
        return self.choose() if self.choose is not None else self.plan

    def at_boundary(self, boundary: Boundary) -> None:
        self.boundaries.append(boundary)
        self.on_boundary(boundary)

    def step_passed(self, cost_s: float, kind: str) -> None:
        self.at_boundary(Boundary(self.tap.step, *self.tap.place(), kind, None, cost_s))

    def parameters_read(self, read: ParameterStatistics, step: int, cost_s: float) -> None:
        self.parameters.append((step, read))

    def weights_read(self, read: list[WeightRead], step: int, cost_s: float) -> None:
        self.weights.append((step, read))

    def step_completed(self) -> None:
        self.completed.append(self.tap.step)

    def forward_began(self, phase: str, matched: bool) -> None:
        self.began.append((phase, matched))

    def forward_failed(self, failure: ForwardFailure) -> None:
        self.failures.append(failure)

    def fault(self, where: str, error: BaseException) -> None:
        self.faults.append((where, error))

    @property
    def catches(self) -> list[Catch]:
        return [b.catch for b in self.boundaries if b.catch is not None]

    @property
    def catch(self) -> Catch:
        return self.catches[-1]


def hook_count(model: nn.Module) -> int:
    """Count every entry in every hook dictionary of every module."""
    names = [
        "_forward_hooks",
        "_forward_hooks_with_kwargs",
        "_forward_hooks_always_called",
        "_forward_pre_hooks",
        "_forward_pre_hooks_with_kwargs",
        "_backward_hooks",
        "_backward_pre_hooks",
    ]
    return sum(len(getattr(module, name)) for module in model.modules() for name in names)


def of(catch: Catch, key: str) -> Any:
    """Return what was caught of one layer."""
    return next(caught for caught in catch.caught if caught.key == key)


ROOT_HOOKS = 4
"""Entries of the two root hooks: a pre-hook with keywords and an always-called forward hook."""
