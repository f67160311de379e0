"""Recorder: answers the tap on the training thread, and turns what it caught into events."""

import threading
import time
from collections.abc import Callable

from nbtorchviz.bus import EventBus
from nbtorchviz.capture.parameters import ParameterStatistics
from nbtorchviz.capture.plans import Boundary, Catch, ForwardFailure, Plan
from nbtorchviz.capture.tap import ModelTap
from nbtorchviz.capture.weights import WeightRead
from nbtorchviz.events import ForwardFailed
from nbtorchviz.session.audience import Audience
from nbtorchviz.session.boundary_jobs import BoundaryJobs
from nbtorchviz.session.budget import Budget
from nbtorchviz.session.dozer import Dozer
from nbtorchviz.session.fields import Fields
from nbtorchviz.session.keeper import Keeper
from nbtorchviz.session.looks import Looks
from nbtorchviz.session.pinning import Pinning
from nbtorchviz.session.planner import Planner
from nbtorchviz.session.publishing import failure_event, parameters_event
from nbtorchviz.session.recording import Recording

TEND_S = 0.1
"""How often bookkeeping is done where steps are faster than this."""
ELSEWHERE_S = 10.0
"""A thread that ran the model so lately may be in the middle of a step."""


class Recorder(Pinning):
    """What a session does at forwards and boundaries; all of it on the training thread.

    Args:
        bus: where events go.
        budget: says when a sample is due, and hears what it cost.
        audience: who looks.
        every: sample exactly each ``every``-th step; None by clock.
        fail: called as ``fail(where, error)`` with failures of ours.
        tend: called at boundaries, not more often than is useful; for bookkeeping.
        hold: called at the end of every boundary; may wait, or raise ``StopTraining``.
        wake: called when a user waits for a job: a thread that is held does it.
        held: tells whether ``hold`` has something to do; what makes it so calls ``tap.attend()``.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        bus: EventBus,
        budget: Budget,
        audience: Audience,
        *,
        every: int | None,
        fail: Callable[[str, BaseException], None],
        tend: Callable[[], None],
        hold: Callable[[], None],
        wake: Callable[[], None] = lambda: None,
        held: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.tap: ModelTap
        self.looks = Looks()
        self.planner = Planner(self.looks, budget, audience, every=every, clock=clock)
        self._keeper = Keeper(bus, clock)
        self.kept, self.input = self._keeper.frames, self._keeper.input
        self.silence = self._keeper.silence
        self.fields = Fields()
        self.failure: ForwardFailed | None = None
        """Why the last forward of the user's model raised, None when it did not."""
        self.boundary_kind = "step"
        """``"forward"`` while no optimizer step is seen."""
        self.times: dict[str, float] = {}
        """Clock of the last ``step``, ``frame``, ``forward`` and ``matched`` forward."""
        self.step_s = 0.0
        """Seconds between the last two boundaries that were heard of."""
        self.unmatched = 0
        """Forwards in a row that were not of the wanted phase."""
        self.began = clock()
        self._bus, self._budget, self._audience = bus, budget, audience
        self._fail, self._tend, self._clock = fail, tend, clock
        self.hold, self._held, self._wake_held = hold, held, wake
        self._hold_late: Callable[[], None] = lambda: None
        self._between_steps = False
        self.jobs = BoundaryJobs(lambda seconds: budget.spent("maps", seconds), fail, clock=clock)
        self._asked_at: tuple[int, float | None] = (0, None)
        self._thread = threading.current_thread()
        self._thread_id = threading.get_ident()
        self._tend_at = self.began
        self._passed_s = 0.0
        """What the steps cost that were heard since the books were kept."""
        self._booked_step = 0
        """The step at which that was."""
        self._dozer = Dozer(TEND_S, self.planner.next_due_at, audience.seen)
        self.looks.on_urgent = lambda: self.tap.attend()

    @property
    def every(self) -> int | None:
        """Sample exactly each so-many-th step; None by clock."""
        return self.planner.every

    @every.setter
    def every(self, every: int | None) -> None:
        self.planner.every = every

    @property
    def recording(self) -> Recording:
        """The clock of statistics."""
        return self.planner.recording

    def age_s(self, what: str) -> float | None:
        """Seconds since the last ``what`` of ``times``; None when there was none."""
        at = self.times.get(what)
        return None if at is None else self._clock() - at

    @property
    def trains_here(self) -> bool:
        """Whether the model last ran on the calling thread."""
        return self._thread_id == threading.get_ident()

    def trains_elsewhere(self) -> bool:
        """Whether another thread may be inside a step of this model now."""
        if self.trains_here or not self._thread.is_alive():
            return False
        ages = [age for what in ("forward", "step") if (age := self.age_s(what)) is not None]
        return bool(ages) and min(ages) < ELSEWHERE_S

    # PlanSource -----------------------------------------------------------------------------

    def wanted_phase(self) -> str:
        """Return ``"train"``, or ``"any"`` while no step is seen (inference loops)."""
        return "any" if self.boundary_kind == "forward" else "train"

    def next_plan(self, phase: str) -> Plan | None:
        """Return what the window that opens now shall read; None when nothing is due."""
        kept, count = self.kept["batch"], self._counted()
        return self.planner.next_plan(self.tap, kept, count=count, pinned=self.pinned)

    def _counted(self) -> int:
        """Steps so far; forwards where no step is seen, so that ``every`` counts those."""
        return self.tap.step if self.boundary_kind == "step" else self.tap.forward - 1

    def learns_in_eval(self) -> bool:
        """Whether steps were finished since this was last asked, all of eval-mode forwards."""
        before, self._asked_at = self._asked_at, (self.tap.step, self.times.get("matched"))
        stepped = self.boundary_kind == "step" and self.tap.step > before[0]
        return stepped and self.unmatched > 2 and before[1] == self.times.get("matched")

    # CatchSink ------------------------------------------------------------------------------

    def forward_began(self, phase: str, matched: bool) -> None:
        """Note that the model runs, for "evaluating" and "waiting"."""
        if self._thread_id != threading.get_ident():
            self._thread, self._thread_id = threading.current_thread(), threading.get_ident()
        now = self._clock()
        self.recording.resumed(now - max(self.times.get("forward", now), self.times.get("step", 0)))
        self.times["forward"] = now
        if matched:
            self.times["matched"] = now
            self.unmatched = 0
        else:
            self.unmatched += 1

    def parameters_read(self, read: ParameterStatistics, step: int, cost_s: float) -> None:
        """Publish what the optimizers did to the parameters."""
        if read.skipped:  # the step that was planned is still to come
            self.planner.plan_again()
        self._budget.spent("parameters", cost_s)
        self.recording.spent(cost_s)
        elapsed_s = self._clock() - self.began
        self._bus.publish(parameters_event(read, step, self.tap.forward, elapsed_s))

    def step_completed(self) -> None:
        """Let breakpoints look at numbers that came after their step's boundary."""
        self._hold_here(self._hold_late)

    def weights_read(self, read: list[WeightRead], step: int, cost_s: float) -> None:
        """Keep and publish what the parameters that somebody looks at held."""
        began = self.times["frame"] = self._clock()
        elapsed_s = began - self.began
        self._keeper.publish_weights(read, step=step, forward=self.tap.forward, elapsed_s=elapsed_s)
        self._budget.spent("weights", cost_s + self._clock() - began)

    def forward_failed(self, failure: ForwardFailure) -> None:
        """Tell the widgets which layer raised; the exception is the user's and goes on."""
        self.planner.surveyed = False
        self.failure = failure_event(failure, self._clock() - self.began)
        self._bus.publish(self.failure)

    def fault(self, where: str, error: BaseException) -> None:
        """Count a failure of ours; never raises."""
        self._fail(where, error)

    def step_passed(self, cost_s: float, kind: str) -> None:
        """Note a step in which nothing was caught."""
        now = self._clock()
        waits = self._probe_wanted or self.jobs.hurried or kind != self.boundary_kind
        if now < self._tend_at and self.failure is None and not waits:
            self._stepped(now)
            if now >= self._dozer.wake_at or self.looks.urgent:
                self._wake()
            self._passed_s += cost_s + self._clock() - now
            self._hold_here(self.hold)
            return
        tap = self.tap
        self.at_boundary(Boundary(tap.step, tap.forward, tap.micro, kind, None, cost_s))

    def _stepped(self, now: float) -> None:
        self.step_s = now - self.times.get("step", now)
        self.times["step"] = now

    def _wake(self) -> None:
        self.planner.hurry()
        self._dozer.wake(self.tap)

    def _doze(self, now: float) -> None:
        """Rest until something is due, if steps are fast and nobody waits."""
        tap, passed = self.tap, self.tap.step - self._booked_step
        began, self._booked_step, self._tend_at = self._tend_at - TEND_S, tap.step, now + TEND_S
        step_s = (now - began) / max(passed, 1)
        self._dozer.consider(tap, now, step_s, quiet=passed > 1 and not self._hurried())
        if self._dozer.coast(tap, now, self._tend_at, step_s) and (self._hurried() or self._held()):
            tap.attend()

    def _hurried(self) -> bool:
        """Whether the next forward or boundary is waited for."""
        waits = self._probe_wanted or self.jobs.hurried
        return self.every is not None or self.looks.urgent or waits

    def hurry_jobs(self) -> None:
        """Ask the jobs at the very next boundary, or at once on a thread that is held there.

        A user waits. From any thread.
        """
        self.jobs.hurried = True
        self.tap.attend()
        self._wake_held()

    def while_held(self) -> None:
        """Do what a user waits for, on a training thread that is held between two steps."""
        if self._between_steps:
            try:
                if self._probe_wanted:
                    self.run_probe()
            except Exception as error:
                self._fail("probe of the pinned input", error)
            self.jobs.run(wanted=True)

    def _hold_here(self, hold: Callable[[], None]) -> None:
        self._between_steps = True
        try:
            hold()
        finally:
            self._between_steps = False

    def hold_with(self, hold: Callable[[], None], late: Callable[[], None]) -> None:
        """Call ``hold`` at the end of every boundary from now on, whatever ``held`` says.

        And ``late`` where numbers of a step came after its boundary.
        """
        self.hold, self._hold_late, self._held = hold, late, lambda: True
        self.tap.attend()

    def rouse(self) -> None:
        """Notice, called now and then from any thread, that steps have stopped coming."""
        self._dozer.rouse(self.tap, self._clock() - self.times.get("step", 0.0))

    def at_boundary(self, boundary: Boundary) -> None:
        """Turn the catch into events, show a pinned input, then let pause and stop take effect."""
        began = self._clock()
        self._stepped(began)
        self.boundary_kind = boundary.kind
        if self.failure is not None and boundary.forward > self.failure.forward:
            self.failure = None  # a later forward went through
        try:
            if boundary.catch is not None:
                plan = self.planner.plan_of(boundary.catch.forward)
                self._publish(boundary.catch, boundary.step, plan)
            if self._pinned is not None and self._probe_is_due():
                self.run_probe()
        except Exception as error:
            self._fail("step boundary", error)
        jobs_s = self.jobs.run()
        # The tap's cost holds the root hooks and the developing that the catch counts as well.
        caught_s = 0.0 if boundary.catch is None else boundary.catch.cost_s
        now = self._clock()
        probed_s, self._probed_s = self._probed_s, 0.0
        ours_s = now - began - probed_s - jobs_s + max(0.0, boundary.cost_s - caught_s)
        spent_s = ours_s + self._passed_s
        self._budget.spent("boundary", spent_s)
        self._doze(now)
        self._passed_s = 0.0
        self._tend()
        self._hold_here(self.hold)

    def _publish(self, catch: Catch, step: int, plan: Plan) -> None:
        pictures = bool(plan.wants or plan.weights)
        self._budget.spent("capture" if pictures else "statistics", catch.cost_s)
        if not pictures:
            self.recording.spent(catch.cost_s)
        self.planner.cost(catch)
        tap = self.tap
        self._keeper.publish(
            catch, plan, step=step, model=tap.model_name, parameters=tap.parameters
        )
        if catch.caught:
            self.times["frame"] = self._clock()
