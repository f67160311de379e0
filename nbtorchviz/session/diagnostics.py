"""What a session says about the training, and how users hold and change it."""

import warnings
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from nbtorchviz.analysis.checkup_report import CheckupReport
from nbtorchviz.analysis.findings import Finding
from nbtorchviz.bus import EventBus
from nbtorchviz.capture.tap import ModelTap
from nbtorchviz.events import ModelAttached
from nbtorchviz.live.gate import PauseGate
from nbtorchviz.session.audience import Audience
from nbtorchviz.session.breakpoints import Breakpoint, FactsView
from nbtorchviz.session.budget import Budget
from nbtorchviz.session.checkup import checkup as look_over
from nbtorchviz.session.checkup_static import LOST_OPTIMIZER, NO_OPTIMIZER
from nbtorchviz.session.diagnosis import Diagnosis
from nbtorchviz.session.facts import SessionFacts
from nbtorchviz.session.flight_recorder import FlightRecorder, Incident
from nbtorchviz.session.guarding import Guarding
from nbtorchviz.session.knobs import Change, Knobs, KnobValue
from nbtorchviz.session.line import Line
from nbtorchviz.session.linking import Linking
from nbtorchviz.session.metrics import MetricHistory
from nbtorchviz.session.pinned import check_probe
from nbtorchviz.session.rate_watch import RateWatch
from nbtorchviz.session.recorder import Recorder
from nbtorchviz.session.statistics_log import StatisticsLog

MOST_CHANGES = 99

NOTHING_READ = (
    "nbtorchviz read nothing of this training but what was logged: statistics are taken once a "
    "widget is displayed. In a script: watch(..., every=1)."
)


class Diagnostics(Guarding):
    """The part of a ``Session`` that judges, holds and changes a training."""

    audience: Audience
    bus: EventBus
    budget: Budget
    gate: PauseGate
    line: Line
    linking: Linking
    metrics: MetricHistory
    recorder: Recorder
    _rate: RateWatch
    tap: ModelTap
    closed: bool
    _pausing: bool
    """Whether pause and stop are all that a boundary has to look after."""

    def _begin_diagnosis(self, clock: Callable[[], float]) -> None:
        facts = SessionFacts(
            self.metrics,
            step=lambda: self.tap.step,
            epoch=lambda: self.epoch,
            rate=lambda: self.tap.largest_rate,
            layers=lambda: self.layers,
            find=lambda layer: self.tap.find(layer),
            findings=lambda: self.diagnosis.places(),
        )
        self.diagnosis = Diagnosis(
            self.bus,
            self.metrics,
            position=self._common,
            facts=facts,
            fail=self.fault,
            hold=self.gate.hold,
            pause=self.gate.pause,
            asked=self.line.attendance.asked,
            spent=self.budget.spent,
            clock=clock,
        )
        self._flight = FlightRecorder(
            self.bus, self.metrics, self.recorder.kept["batch"], point=self._point_at, clock=clock
        )
        self.knob_changes: tuple[Change, ...] = ()
        """What the knobs did so far, with notes; the newest last."""
        self._begin_guarding(clock)
        self._knobs = Knobs(
            lambda: self.tap.model, lambda: self.tap.optimizers, ready=self._must_be_open
        )
        self.gate.when_let_go(self._let_go)
        self.recorder.hold, self._pausing = self._pause_only, True

    @property
    def statistics(self) -> StatisticsLog:
        """History of the statistics of all layers and parameters."""
        return self.diagnosis.log

    def findings(self) -> tuple[Finding, ...]:
        """Return what is wrong with the training now, the worst first.

        Each finding has a sentence (``title``), ``evidence`` with numbers and steps, and a
        ``remedy`` to try. Empty: nothing was found so far. Statistics are taken from the first
        display of a widget on; with ``every=`` whether there is a widget or not. Where nothing but
        the logged numbers could be judged, a warning says so.
        """
        self.diagnosis.settle()
        found = self.diagnosis.findings
        if not (found or self.diagnosis.knows or self.tap.looking) and self.tap.step:
            warnings.warn(NOTHING_READ, stacklevel=2)
        return found

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """The newest few loss spikes, NaN and new findings, the newest last.

        Frames of the steps around each are kept, within the memory bound, however long training
        goes on: flags on the curve and on the Step slider lead there.
        """
        return self._flight.incidents

    @property
    def knobs(self) -> Knobs:
        """Learning rate, weight decay, frozen layers and dropout, changed between two steps."""
        self._hold_fully()  # from now on; most sessions never need it
        return self._knobs

    @property
    def knob_values(self) -> tuple[KnobValue, ...]:
        """Where every knob stands now. Reading them leaves training as it is."""
        return self._knobs.read()

    @property
    def knob_settings(self) -> tuple[KnobValue, ...]:
        """The same, of the optimizers' parameter groups only, which costs microseconds."""
        return self._knobs.read_settings()

    @property
    def knob_layers(self) -> tuple[KnobValue, ...]:
        """The same, of the layers: frozen or not, and dropout. Walks the whole model."""
        return self._knobs.read_layers()

    @property
    def knobs_waiting(self) -> dict[tuple[str, str], str]:
        """What waits for the end of a step, by (knob, target): ``{("lr", "all"): "lr 0.005"}``."""
        return self._knobs.waiting

    def checkup(self, batch: object, *, labels: object = None) -> CheckupReport:
        """Look the model over on copies before it is trained; nothing of yours is changed.

        Checks the first loss against ln(classes), that every parameter is reached and in an
        optimizer, that the output depends on the input and samples do not mix, the input's range,
        and that one batch can be learned.

        Args:
            batch: what the model takes, or (inputs, labels) as a data loader gives them.
            labels: targets, where ``batch`` does not hold them.

        Returns:
            A report that shows as a table: ``ok``, ``problems``, ``warnings``, ``rows``.

        Raises:
            RunRefusedError: the model is being trained just now.
            ModelGoneError: it no longer exists.
        """
        elsewhere = self.recorder.trains_elsewhere()
        name, running = self.tap.model_name, self.running
        model = check_probe(self.model, name, running=running, elsewhere=elsewhere)
        known, criterion = self.tap.optimizers, self.tap.criterion
        words = LOST_OPTIMIZER if self.tap.optimizer_lost else NO_OPTIMIZER
        return look_over(model, batch, known, criterion, labels, no_optimizer=words)

    @property
    def breakpoints(self) -> tuple[Breakpoint, ...]:
        """Conditions that pause training, the oldest first."""
        return self.diagnosis.breakpoints.all

    def pause_when(
        self,
        condition: str | Callable[[FactsView], object],
        *,
        once: bool = False,
        unattended: bool = False,
    ) -> Breakpoint:
        """Pause training at the end of the step in which ``condition`` becomes true.

        Statistics in it are those of sampled steps, up to ten a second within the budget, whether
        anybody looks or not; with ``every=1`` of each step. Logged numbers are always the newest.

        Where nobody could resume, in a script or a notebook that nbclient runs, training is not
        held: the reason is printed once and kept in ``last.refused`` and the curve's marks.

        Args:
            condition: such as ``"grad_norm(conv1) > 100"``, ``"isnan(loss)"`` or
                ``"finding(dead_relu)"``; or a function of the facts.
            once: forget it after its first hit.
            unattended: hold all the same. Your program then has to call
                ``TrainingControls(session).resume()``, from another thread than the training's.

        Returns:
            The breakpoint: ``state``, ``hits``, ``last``, ``remove()``.

        Raises:
            ConditionError: the text is no condition; it says what is accepted.
            LayerNotFoundError: it names a layer that does not exist.
            SessionClosedError: the session was closed.
            TypeError: it is neither a text nor a function of one argument.
        """
        self._must_be_open()
        added = self.diagnosis.breakpoints.add(condition, once=once, unattended=unattended)
        self.recorder.recording.demand(-added.id, partial(self._waits_for_statistics, added))
        self.tap.look()
        self._hold_fully()
        return added

    def _rest_if_idle(self) -> None:
        """Take the root hooks off when no widget is left and nothing is read without one."""
        if self.closed or not (len(self.diagnosis.breakpoints) or self.recorder.every):
            self.tap.rest()

    @staticmethod
    def _waits_for_statistics(each: Breakpoint) -> bool | None:
        """Whether statistics are to be taken often; None: never again for this breakpoint."""
        if each.removed or each.fault:
            return None
        return bool(each.needs.statistics or each.needs.rules)

    def _point_at(self, layer: str) -> None:
        """Take the widgets to ``layer``, except those that a user moves just now."""
        self.linking.tell(0, {"layer": layer}, by_user=False)

    def _hold(self) -> None:
        """Finish a boundary on the training thread; changes, pause and stop take effect here."""
        self.diagnosis.at_boundary()
        if self._nonfinite.waiting:
            self._nonfinite.at_boundary()
        self.gate.at_boundary()
        self._turn_waiting()
        if self.tap.looking and not len(self.audience):
            self._rest_if_idle()  # the last breakpoint may be gone

    def _hold_late(self) -> None:
        """Hold training for what was read of a step only after its boundary: that one counts."""
        if self.diagnosis.look_late():
            self.gate.at_boundary()

    def _know_model(self) -> None:
        """Let the rules know the layers also where nothing was ever read of them."""
        if not self.diagnosis.knows:
            tap = self.tap
            attached = ModelAttached(
                model=tap.model_name, parameters=tap.parameters, layers=tap.layers
            )
            self.diagnosis.know(attached, tap.frozen)

    def _let_go(self, reason: str) -> None:
        """Training goes on although nobody resumed it: nobody could."""
        self.diagnosis.let_go(reason)
        self._nonfinite.let_go(reason)

    def _pause_only(self) -> None:
        """Pause and stop here: all there is to do before a knob or a breakpoint is used."""
        self.gate.at_boundary()
        if not self._pausing:  # first used while training was held here
            self._turn_waiting()

    def _hold_fully(self) -> None:
        """Look after knobs, breakpoints and the guard at every boundary from now on."""
        self._pausing = False
        self.recorder.hold_with(self._hold, self._hold_late)

    def _turn_waiting(self) -> None:
        if self._knobs.pending and self.recorder.boundary_kind == "step":
            self._turn_knobs()  # also what was asked for while training was held

    def _turn_knobs(self) -> None:
        try:
            model = self.tap.model
            for made in self._knobs.apply(self.tap.optimizers, model) if model else ():
                change = replace(made, step=self.tap.step)
                self.knob_changes = (*self.knob_changes[-MOST_CHANGES:], change)
                if change.applied:
                    self.metrics.flag(self.tap.step, change.text, target=change.layer)
            self._rate.learn(self.tap.learning_rate)  # it is marked already
        except Exception as error:
            self.fault("changing a knob", error)

    @property
    @abstractmethod
    def model(self) -> nn.Module | None:
        """The watched model."""

    @property
    @abstractmethod
    def running(self) -> bool:
        """Whether a background run has not ended yet."""

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
