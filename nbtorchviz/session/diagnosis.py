"""What a session makes of its statistics: history, findings in words, and breakpoints.

Statistics are judged on the training thread, at the boundaries at which they were taken; logged
numbers some times a second, and on the thread of whoever asks what was found.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from nbtorchviz.analysis.condition_facts import matching
from nbtorchviz.analysis.findings import Finding, Findings
from nbtorchviz.analysis.findings.catalogue import RULES
from nbtorchviz.analysis.findings.loss_watch import LOSS_RULES
from nbtorchviz.bus import EventBus
from nbtorchviz.events import (
    ActivationCaptured,
    Event,
    LayerStatisticsCaptured,
    ModelAttached,
    ParameterStatisticsCaptured,
    RunStarted,
    ScalarLogged,
)
from nbtorchviz.session.breakpoints import Breakpoints, Hit
from nbtorchviz.session.facts import SessionFacts
from nbtorchviz.session.metrics import MetricHistory
from nbtorchviz.session.statistics_log import StatisticsLog

HEARD = (
    ModelAttached,
    LayerStatisticsCaptured,
    ParameterStatisticsCaptured,
    ActivationCaptured,
    RunStarted,
)
LOOK_S = 1.0
"""How often newly logged numbers are judged."""
MOST_VALUES = 64
"""Of each metric that are judged at a time; those that are not finite always are."""


class Diagnosis:
    """Listens to one session's bus.

    Args:
        bus: of the session.
        metrics: the logged numbers.
        position: fields that every event carries, for now.
        facts: what breakpoints may ask for.
        fail: called as ``fail(where, error)`` with failures of ours.
        hold: holds training at this boundary, where somebody could resume it.
        pause: holds it anyway.
        asked: told how that went: ``""``, or in words why training was not held.
        spent: told what this costs, as ``spent(channel, seconds)``.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        bus: EventBus,
        metrics: MetricHistory,
        *,
        position: Callable[[], dict[str, Any]],
        facts: SessionFacts,
        fail: Callable[[str, BaseException], None],
        hold: Callable[[], None],
        pause: Callable[[], None],
        asked: Callable[[str], None],
        spent: Callable[[str, float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.log = StatisticsLog()
        self.breakpoints = Breakpoints(facts, fail=fail, rules=tuple(RULES))
        self.last_hit: Hit | None = None
        """Why a breakpoint paused training last."""
        self._engine = Findings()
        self._bus, self._metrics, self._facts = bus, metrics, facts
        self._position, self._spent, self._clock = position, spent, clock
        self._hold, self._pause, self._asked = hold, pause, asked
        self._looked_at, self._fail = clock(), fail
        self._lock = threading.RLock()
        """Taken again by one thread: a handler of what is found may ask what was found."""
        self._judged: dict[tuple[int, str], int] = {}
        for kind in HEARD:
            bus.subscribe(kind, self._hear, inline=True)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong now, the worst first."""
        return self._engine.active

    def places(self) -> tuple[tuple[str, str], ...]:
        """Return (rule, place) of all that the findings are about, of those gathered each one."""
        return self._engine.places

    def tend(self) -> None:
        """Judge the numbers that were logged since last time. Call at boundaries."""
        now = self._clock()
        if now - self._looked_at < LOOK_S:
            return
        self.settle()

    def settle(self) -> None:
        """Judge at once all that was logged so far. Any thread may call it."""
        with self._lock:
            now = self._looked_at = self._clock()
            for event in self._new_values():
                self._judge(event)
            self._spent("findings", self._clock() - now)

    @property
    def knows(self) -> bool:
        """Whether anything was read of the model's training."""
        return self.log.newest_parameters is not None

    def know(self, model: ModelAttached, frozen: frozenset[str]) -> None:
        """Take in the layers of a model of which nothing was read."""
        with self._lock:
            self._engine.know(model, frozen)

    def at_boundary(self) -> None:
        """Pause training here if a breakpoint says so."""
        if len(self.breakpoints):
            self._look(late=False)

    def look_late(self) -> bool:
        """Look again for what was read of a step after its boundary; tell whether to hold."""
        return bool(len(self.breakpoints)) and self._look(late=True)

    def _look(self, *, late: bool) -> bool:
        began, held = self._clock(), False
        try:
            asked = (rule for each in self.breakpoints.all for rule in each.needs.rules)
            if not late and any(matching(rule, LOSS_RULES) for rule in asked):
                self.settle()
            for hit in self.breakpoints.at_boundary(self._hold, self._pause, late=late):
                self._tell(hit)
                held |= not hit.refused
        except Exception as error:
            self._fail("breakpoints", error)
        self._spent("breakpoints", self._clock() - began)
        return held

    def let_go(self, reason: str) -> None:
        """Note that what held training at this step holds it no longer, and why."""
        for hit in self.breakpoints.let_go(reason):
            self._tell(hit)

    def _tell(self, hit: Hit) -> None:
        self.last_hit = hit
        self._metrics.flag(self._facts.step(), hit.text, kind="change")
        self._asked(hit.text if hit.refused else "")

    def _hear(self, event: Event) -> None:
        if isinstance(event, ActivationCaptured) and event.channel_zero is None:
            return
        began = self._clock()
        with self._lock:
            self.log.observe(event)
            self._judge(event)
        self._spent("findings", self._clock() - began)

    def _judge(self, event: Event) -> None:
        self._facts.observe(event)
        for finding in self._engine.observe(event):
            if finding.active:
                step, layer = max(finding.since_step, 0), finding.layer
                self._metrics.flag(step, finding.title, kind="finding", target=layer)
            self._bus.publish(finding.event(event))

    def _new_values(self) -> list[ScalarLogged]:
        events: list[ScalarLogged] = []
        newest = self._metrics.current_run
        position = self._position()
        for (run, name), view in self._metrics.views().items():
            seen = self._judged.get((run, name), 0)
            self._judged[run, name] = len(view.values)
            fresh = np.arange(min(seen, len(view.values)), len(view.values))
            if run != newest or not len(fresh):
                continue
            broken = fresh[~np.isfinite(view.values[fresh])][:MOST_VALUES]
            stride = -(-len(fresh) // MOST_VALUES)
            for at in np.union1d(fresh[::-1][::stride], broken):
                step, value = int(view.steps[at]), float(view.values[at])
                fields = {**position, "step": step}
                events.append(ScalarLogged(name=name, value=value, run=run, **fields))
        if len(self._judged) > 1_000:  # names of runs that were forgotten long ago
            self._judged = {key: seen for key, seen in self._judged.items() if key[0] == newest}
        return sorted(events, key=lambda event: event.step)
