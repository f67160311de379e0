"""The first NaN or infinite value of a session: when it is looked for, and what happens then."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from nbtorchviz.analysis.findings.loss_rules import is_loss
from nbtorchviz.arguments import flag
from nbtorchviz.bus import EventBus
from nbtorchviz.capture.nonfinite_loss import LossChain, find_loss
from nbtorchviz.capture.nonfinite_record import Record
from nbtorchviz.capture.nonfinite_sentinel import Sentinel, word_of
from nbtorchviz.capture.tap import ModelTap
from nbtorchviz.errors import ModelGoneError, NonFiniteError, RunRefusedError
from nbtorchviz.events import (
    Event,
    FindingRaised,
    LayerStatisticsCaptured,
    NonFiniteFound,
    ParameterStatisticsCaptured,
)
from nbtorchviz.measure_tables import enumerate_odd
from nbtorchviz.nonfinite import UNKNOWN, NonFiniteReport
from nbtorchviz.session.budget import Pace
from nbtorchviz.session.nonfinite_replay import replay

ACTIONS = ("stop", "raise", "tell")
SHARE = 0.002
"""Of wall time, for looking without ``every_step``."""
PERIOD_S = 0.1
RULE = "first_nonfinite"
"""Name of the finding."""


class Hold(Protocol):
    """How training is held."""

    def hold(self) -> None:
        """Hold it at the next boundary, where somebody could resume it."""

    def stop(self) -> None:
        """End it at the next boundary."""


class NonFiniteWatch:
    """Tells once of the first NaN or infinite value, traced as far as what is kept allows.

    Unarmed it listens to the statistics that are taken anyway and names the first layer. Armed,
    a sentinel keeps the batch, and the operation is found by running that again.

    Args:
        bus: of the session; statistics are heard and the report is published there.
        tap: knows the model.
        hold: holds and stops training.
        asked: told how a hold went: ``""``, or in words why training goes on.
        boundary: called where no step was finished for long: what ``hold`` was asked takes effect.
        runs: whether a run is active that a stop can end cleanly.
        flag: marks a step, as ``flag(step, text)``.
        position: fields that every event carries, for now.
        fail: called as ``fail(where, error)`` with failures of ours.
        cost: told what this costs, as ``cost(channel, seconds)``.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        bus: EventBus,
        tap: Callable[[], ModelTap],
        *,
        hold: Hold,
        asked: Callable[[str], None],
        boundary: Callable[[], None],
        runs: Callable[[], bool],
        flag: Callable[[int, str], None],
        position: Callable[[], dict[str, Any]],
        fail: Callable[[str, BaseException], None],
        cost: Callable[[str, float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.report: NonFiniteReport | None = None
        """The first one since ``arm``, or since the session began."""
        self.action: str | None = None
        self.waiting = False
        """Whether the action is to be taken at this boundary."""
        self._bus, self._tap, self._runs = bus, tap, runs
        self._hold, self._asked, self._boundary = hold, asked, boundary
        self._held_at: int | None = None
        """The step after which it asked to hold a loop."""
        self._flag, self._position, self._fail, self._cost = flag, position, fail, cost
        self._pace = Pace(SHARE, PERIOD_S, clock=clock)
        self._sentinel: Sentinel | None = None
        self._suspect: NonFiniteReport | None = None
        """What statistics showed while armed; told if the next guarded step shows nothing."""
        for kind in (LayerStatisticsCaptured, ParameterStatisticsCaptured, FindingRaised):
            bus.subscribe(kind, self._hear, inline=True)

    def arm(self, action: str | None, *, every_step: bool) -> None:
        """Look for the next one; see ``Session.on_nonfinite``.

        Raises:
            ValueError: no such action.
            ModelGoneError: the model was garbage-collected.
            RunRefusedError: this model hides its forwards.
        """
        if action is not None and action not in ACTIONS:
            accepted = ", ".join(map(repr, ACTIONS))
            raise ValueError(f"on_nonfinite() takes {accepted} or None, got {action!r}.")
        every_step = flag("every_step", every_step)
        if every_step and action is None:
            raise ValueError(
                "every_step=True needs an action; on_nonfinite('tell', every_step=True) only tells."
            )
        sentinel = self._new_sentinel(every_step) if action is not None else None
        self._disarm()
        self._sentinel, self.action, self.report = sentinel, action, None
        self.waiting, self._suspect = False, None

    def _new_sentinel(self, every_step: bool) -> Sentinel:
        tap = self._tap()
        root, entry = tap.model, tap.entry
        if root is None:
            raise ModelGoneError(f"The watched {tap.model_name} no longer exists.")
        if entry is None:
            raise RunRefusedError(
                "model.compile() hides the forwards of this model, so that no batch can be kept. "
                "Use torch.compile(model) instead."
            )
        return Sentinel(root, entry, tap.criterion, self, every_step=every_step)

    def at_boundary(self) -> None:
        """Do what was asked for, at the end of the step in which it was found.

        Raises:
            NonFiniteError: the user asked for it.
        """
        if not self.waiting:
            return
        self.waiting = False
        self._disarm()
        report = self.report
        if report is None or self.action not in ("stop", "raise"):
            return
        if self.action == "raise":
            raise NonFiniteError(report)
        try:
            if self._runs():
                self._hold.stop()
            else:
                self._hold.hold()
                self._held_at = self.step()
                self._asked("")
        except RunRefusedError as error:
            self._go_on(report, str(error))

    def let_go(self, reason: str) -> None:
        """Note that training is held no longer, if it was held for this at this step, and why."""
        held_at, self._held_at = self._held_at, None
        if self.report is not None and held_at == self.step():
            self._go_on(self.report, reason)

    def _go_on(self, report: NonFiniteReport, reason: str) -> None:
        self._flag(report.step, f"Training goes on: {reason}")
        self._asked(f"{report.title} Training goes on: {reason}")

    def logged(self, name: str, value: float) -> None:
        """Hear of a logged number that is not finite, on the thread that logged it."""
        sentinel = self._sentinel
        if sentinel is None or self.report is not None or not is_loss(name):
            return
        record = sentinel.record
        if record is not None:
            self.broke(record, word_of(value), f"the loss ({name})")

    def close(self) -> None:
        """Stop looking."""
        self._disarm()

    # Post: what the sentinel asks and tells

    def step(self) -> int:
        """Return the optimizer steps finished."""
        return self._tap().step

    def due(self) -> bool:
        """Whether the forward that begins now is to be guarded."""
        if self._pace.due() and self.report is None:
            self._pace.begin()
            return True
        return False

    def cleared(self) -> None:
        """Tell what statistics showed, now that gradients are known to be finite."""
        if self._suspect is not None and self.report is None:
            note = "The gradients of a step that was looked at closely are finite."
            self._tell(replace(self._suspect, notes=(note,)))

    def overdue(self) -> None:
        """Act although no step was finished since."""
        if self.waiting:
            self._boundary()
        self._disarm()

    def spent(self, cost_s: float) -> None:
        """Count what looking cost."""
        self._pace.spent(cost_s)
        self._cost("nonfinite", cost_s)

    def fault(self, where: str, error: BaseException) -> None:
        """Count a failure of ours."""
        self._fail(where, error)

    def broke(self, record: Record, word: str, seen: str) -> None:
        """Trace it and tell, on the training thread. Never raises."""
        root, sentinel = self._tap().model, self._sentinel
        if self.report is not None or root is None or sentinel is None:
            return
        began = time.monotonic()
        try:
            chain = self._loss_of(record)
            report = replay(record, root, self._tap().criterion, chain, word=word, seen=seen)
            report = self._qualified(report, record)
        except Exception as error:
            self._fail("tracing NaN", error)
            report = NonFiniteReport(step=record.step, word=word, direction=UNKNOWN, seen=seen)
        self._cost("nonfinite", time.monotonic() - began)
        self._tell(report)

    def _loss_of(self, record: Record) -> LossChain | None:
        try:
            return find_loss(number for number in record.outputs if number is not None)
        except Exception as error:  # anything may lie in the variables of the user's
            self._fail("looking for the loss", error)
            return None

    def _qualified(self, report: NonFiniteReport, record: Record) -> NonFiniteReport:
        notes = report.notes
        if self._tap().step >= record.step and not record.weights and report.replayed:
            notes += ("The weights had changed since; the present ones were used.",)
        if report.direction == UNKNOWN and self._suspect is not None:
            notes += (f"Statistics showed it first in {self._suspect.seen}.",)
            report = replace(report, layer=self._suspect.layer)
        sampled = self._sentinel is not None and not self._sentinel.every_step
        if report.direction == "parameter" and sampled:
            notes += ("Steps between samples were not looked at; every_step=True finds the step.",)
        rate = self._tap().learning_rate
        if report.direction == "parameter" and rate is not None:
            notes += (f"Learning rate: {rate:.3g}.",)
        return replace(report, notes=notes)

    def _tell(self, report: NonFiniteReport) -> None:
        self.report, self.waiting = report, self.action is not None
        if self._sentinel is not None:
            self._sentinel.finish()  # its hooks come off at the boundary
        self._flag(report.step, report.title)
        fields = {**self._position(), "step": report.step}
        self._bus.publish(NonFiniteFound(report=report, **fields))
        self._bus.publish(
            FindingRaised(
                rule=RULE,
                layer=report.layer,
                title=report.title,
                evidence=" ".join(report.text.removeprefix(report.title).split()),
                remedy=remedy_of(report),
                severity="problem",
                since_step=report.step,
                **fields,
            )
        )

    def _hear(self, event: Event) -> None:
        """Notice what the statistics show, at no cost of its own."""
        if self.report is not None:
            return
        seen = _in_statistics(event)
        if self._sentinel is not None:
            if seen is not None:  # the next forward is kept, and shows more
                self._suspect = self._suspect or seen
                self._pace.due_at = 0.0
        elif self._suspect is None and isinstance(event, ParameterStatisticsCaptured):
            self._suspect = seen  # the layers of that forward follow, and say more
        elif (seen := seen or self._suspect) is not None:
            hint = "session.on_nonfinite('tell') before training names the operation."
            self._tell(replace(seen, notes=(hint,)))

    def _disarm(self) -> None:
        sentinel, self._sentinel = self._sentinel, None
        if sentinel is not None:
            sentinel.close()


def _in_statistics(event: Event) -> NonFiniteReport | None:
    """Name the first layer, in the order of the forward, or else the parameter."""
    if isinstance(event, LayerStatisticsCaptured):
        for at, numbers in enumerate_odd(event.statistics):
            if numbers.nan:
                layer = event.layers[at]
                return NonFiniteReport(
                    step=event.step,
                    word="NaN",
                    direction=UNKNOWN,
                    layer=layer,
                    bad=numbers.nan,
                    total=numbers.sampled,
                    seen=f"the output of {layer} ({numbers.nan:,} of {numbers.sampled:,} sampled)",
                )
    elif isinstance(event, ParameterStatisticsCaptured) and not event.skipped:
        for name, count in reversed(list(zip(event.parameters, event.nonfinite, strict=False))):
            if count:
                return NonFiniteReport(
                    step=event.step,
                    word="NaN",
                    direction=UNKNOWN,
                    layer=name,
                    bad=int(count),
                    seen=f"the gradient of {name}",
                )
    elif isinstance(event, FindingRaised) and event.rule == "nonfinite_loss" and event.active:
        return NonFiniteReport(
            step=event.since_step,
            word="NaN",
            direction=UNKNOWN,
            seen=f"the loss ({event.layer})" if event.layer else "the loss",
        )
    return None


def remedy_of(report: NonFiniteReport) -> str:
    """Return one thing to try."""
    if report.direction == "input":
        return "Look at that batch: clean the data, or skip samples that are not finite."
    if report.direction == "parameter":
        return "Lower the learning rate, or clip gradients."
    if report.op in ("log", "log2", "log10", "sqrt", "rsqrt", "div", "reciprocal", "pow"):
        return f"Keep the input of {report.op} away from where it has no value: clamp, or add eps."
    if report.op.startswith("exp") or "float16" in {given.dtype for given in report.inputs}:
        return "The numbers grow too large for their type: scale them down, or use bfloat16."
    if not report.layer:
        return "Look at the batch of that step, and at what is computed after the model."
    return "Look at the layer and the line that are named."
