"""What a session says about the training, and how users hold and change it."""

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from nbtorchviz.analysis.findings import Finding
from nbtorchviz.bus import EventBus
from nbtorchviz.capture.tap import ModelTap
from nbtorchviz.live.gate import PauseGate
from nbtorchviz.session.breakpoints import Breakpoint, FactsView
from nbtorchviz.session.budget import Budget
from nbtorchviz.session.diagnosis import Diagnosis
from nbtorchviz.session.facts import SessionFacts
from nbtorchviz.session.knobs import Knobs
from nbtorchviz.session.metrics import MetricHistory
from nbtorchviz.session.rate_watch import RateWatch
from nbtorchviz.session.recorder import Recorder
from nbtorchviz.session.statistics_log import StatisticsLog


class Diagnostics:
    """The part of a ``Session`` that judges, holds and changes a training."""

    bus: EventBus
    budget: Budget
    gate: PauseGate
    metrics: MetricHistory
    recorder: Recorder
    _rate: RateWatch
    tap: ModelTap

    def _begin_diagnosis(self, clock: Callable[[], float]) -> None:
        facts = SessionFacts(
            self.metrics,
            step=lambda: self.tap.step,
            epoch=lambda: self.epoch,
            layers=lambda: self.layers,
            find=lambda layer: self.tap.find(layer),
        )
        self.diagnosis = Diagnosis(
            self.bus,
            self.metrics,
            position=self._common,
            facts=facts,
            fail=self.fault,
            pause=self.gate.pause,
            spent=self.budget.spent,
            clock=clock,
        )
        self._knobs = Knobs(lambda: self.tap.model, lambda: self.tap.optimizers)

    @property
    def statistics(self) -> StatisticsLog:
        """History of the statistics of all layers and parameters."""
        return self.diagnosis.log

    def findings(self) -> tuple[Finding, ...]:
        """Return what is wrong with the training now, the worst first.

        Each finding has a sentence (``title``), ``evidence`` with numbers and steps, and a
        ``remedy`` to try. Empty: nothing was found so far. Statistics are taken from the first
        display of a widget on, or with ``every=``.
        """
        return self.diagnosis.findings

    @property
    def knobs(self) -> Knobs:
        """Learning rate, weight decay, frozen layers and dropout, changed between two steps."""
        self.recorder.hold = self._hold  # from now on; most sessions never need it
        return self._knobs

    @property
    def breakpoints(self) -> tuple[Breakpoint, ...]:
        """Conditions that pause training, the oldest first."""
        return self.diagnosis.breakpoints.all

    def pause_when(
        self, condition: str | Callable[[FactsView], object], *, once: bool = False
    ) -> Breakpoint:
        """Pause training at the end of the step in which ``condition`` becomes true.

        Statistics in it are those of sampled steps, up to ten a second within the budget, whether
        anybody looks or not; with ``every=1`` of each step. Logged numbers are always the newest.

        Args:
            condition: such as ``"grad_norm(conv1) > 100"``, ``"isnan(loss)"`` or
                ``"finding(dead_relu)"``; or a function of the facts.
            once: forget it after its first hit.

        Returns:
            The breakpoint: ``state``, ``hits``, ``last``, ``remove()``.

        Raises:
            ConditionError: the text is no condition; it says what is accepted.
            LayerNotFoundError: it names a layer that does not exist.
            TypeError: it is neither a text nor a function of one argument.
        """
        added = self.diagnosis.breakpoints.add(condition, once=once)
        wanted = partial(self._waits_for_statistics, added)
        self.recorder.recording.demand(-added.id, wanted)
        self.tap.look()
        self.recorder.hold = self._hold
        return added

    @staticmethod
    def _waits_for_statistics(each: Breakpoint) -> bool:
        working = not (each.removed or each.fault)
        return working and bool(each.needs.statistics or each.needs.rules)

    def _hold(self) -> None:
        """Finish a boundary on the training thread; changes, pause and stop take effect here."""
        if self._knobs.pending:
            self._turn_knobs()
        self.diagnosis.at_boundary()
        self.gate.at_boundary()

    def _turn_knobs(self) -> None:
        try:
            model = self.tap.model
            for change in self._knobs.apply(self.tap.optimizers, model) if model else ():
                self.metrics.flag(self.tap.step, str(change), target=change.layer)
            self._rate.learn(self.tap.learning_rate)  # it is marked already
        except Exception as error:
            self.fault("changing a knob", error)

    @property
    @abstractmethod
    def model(self) -> nn.Module | None:
        """The watched model."""

    @property
    @abstractmethod
    def layers(self) -> tuple[str, ...]:
        """Layer keys."""

    @property
    @abstractmethod
    def epoch(self) -> float | None:
        """The last epoch that was logged."""

    @abstractmethod
    def fault(self, where: str, error: BaseException, count: int = 1) -> None:
        """Count a failure of ours."""

    @abstractmethod
    def _common(self) -> dict[str, Any]: ...
