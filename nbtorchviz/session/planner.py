"""What the next window reads, and when: by clock and budget, at a user's move, or every N steps."""

import time
from collections.abc import Callable
from dataclasses import replace

from nbtorchviz.capture.plans import Catch, Plan
from nbtorchviz.capture.tap import ModelTap
from nbtorchviz.session.audience import Audience
from nbtorchviz.session.budget import FASTEST_S, Budget
from nbtorchviz.session.kept_frames import KeptFrames
from nbtorchviz.session.looks import Looks, make_plan
from nbtorchviz.session.recording import Recording

UNSEEN_S = 10.0
"""Without any front end, one sample in this many seconds."""
FIRST_EXTRA = 16
"""Layers kept beside the watched one while their cost is not known yet."""
MOST_EXTRA = 64
REST_S = 0.02
"""How long a "nothing is due" holds, so that fast steps need not ask each time."""
CHECK_S = 1.0
"""How often it is asked whether the user added or removed layers."""
KEPT_SHARE = 0.5
"""Of the budget, for layers that nobody watches; the rest makes the watched one fresh."""


class Planner:
    """Plans windows on batches and on the pinned input; used on the training thread.

    Args:
        looks: what the open widgets look at.
        budget: says when a sample is due, and hears of each.
        audience: who looks.
        every: sample exactly each ``every``-th step; None by clock.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        looks: Looks,
        budget: Budget,
        audience: Audience,
        *,
        every: int | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.every = every
        self.recording = Recording(audience, lambda: budget.share, clock=clock)
        self._looks, self._budget, self._audience, self._clock = looks, budget, audience, clock
        self.surveyed = False
        """Whether the order of all calls was looked at since the last forward that failed."""
        self._planned = -1
        self._sampled_at, self._rest_until = float("-inf"), clock()
        self._checked_at = clock()
        self._layer_cost_s: float | None = None
        self._plans: dict[int, Plan] = {}
        """Plans of the last windows by root forward."""

    def next_plan(
        self, tap: ModelTap, kept: KeptFrames, *, count: int, pinned: bool
    ) -> Plan | None:
        """Return what the window that opens now shall read; None when nothing is due.

        Args:
            tap: of the model.
            kept: frames of training batches; layers not visited lately come first.
            count: steps so far; forwards where no step is seen, so that ``every`` counts those.
            pinned: whether looks at the pinned input are served by a run of their own.
        """
        if not self._looks.urgent and self.every is None:
            now = self._clock()
            if now < self._rest_until:
                return None
            self._rest_until = now + REST_S
        if (self.every is not None or len(self._looks)) and self._due(count):
            plan = self._pictures(tap, kept, count=count, pinned=pinned)
        elif self.every is None and self.recording.due():
            self.recording.begin()
            plan = Plan(statistics=True, parameters=True, survey=self._survey(tap))
        else:
            return None
        self._plans = {**dict(list(self._plans.items())[-3:]), tap.forward: plan}
        return plan

    def plan_of_pinned(self, tap: ModelTap, kept: KeptFrames) -> Plan:
        """Return what a run on the pinned input shall read: all layers."""
        layers = tuple(info.key for info in tap.layers)
        looks = [look for look in self._looks.all() if look.pinned]
        return make_plan(looks, layers, kept.visited(), len(layers), survey=not self.surveyed)

    def plan_of(self, forward: int) -> Plan:
        """Return the plan of a recent window."""
        return self._plans.get(forward, Plan())

    def next_due_at(self) -> float:
        """When the next forward is to be seen; somebody may begin to look without hurry."""
        due_at = self._clock() + UNSEEN_S
        if len(self._looks):
            due_at = min(due_at, self._budget.due_at())
        return min(due_at, self.recording.due_at) if self.recording.wanted else due_at

    def hurry(self) -> None:
        """Ask again at the next forward."""
        self._rest_until = 0.0

    def plan_again(self) -> None:
        """Forget that this step was planned: a ``GradScaler`` skipped it."""
        self._planned = -1

    def cost(self, catch: Catch) -> None:
        """Learn what a layer costs."""
        if catch.caught:
            cost_s, old = catch.cost_s / len(catch.caught), self._layer_cost_s
            self._layer_cost_s = cost_s if old is None else 0.8 * old + 0.2 * cost_s

    def _survey(self, tap: ModelTap) -> bool:
        if (now := self._clock()) >= self._checked_at + CHECK_S:
            self._checked_at = now
            self.surveyed &= not tap.outdated
        survey, self.surveyed = not self.surveyed, True
        return survey

    def _pictures(self, tap: ModelTap, kept: KeptFrames, *, count: int, pinned: bool) -> Plan:
        self._planned = count
        self._sampled_at = self._clock()
        self._budget.sampled()
        survey = self._survey(tap)
        taken, weights = self._looks.take()
        looks = [look for look in taken if not (look.pinned and pinned)]
        layers = tuple(info.key for info in tap.layers)
        extra = self._extra() if looks else 0
        plan = make_plan(looks, layers, kept.visited(), extra, survey=survey)
        exact = self.every is not None  # every number of that step
        return replace(plan, statistics=exact, parameters=exact, weights=weights, exact=exact)

    def _due(self, count: int) -> bool:
        if self.every is not None:
            # One sample a step, also when several forwards belong to it.
            return count != self._planned and (count + 1) % self.every == 0
        if self._looks.urgent:
            return True
        if not self._budget.due():
            return False
        if self._audience.seen():
            return self._audience.ready()
        if self._audience.ever() and not self._audience.vanished():
            return False  # everybody looked away
        return self._clock() - self._sampled_at >= UNSEEN_S

    def _extra(self) -> int:
        if self.every is not None:
            return MOST_EXTRA  # exact sampling heeds no budget
        if self._layer_cost_s is None:
            return FIRST_EXTRA
        allowed_s = self._budget.share * FASTEST_S * KEPT_SHARE
        affordable = int(allowed_s / max(self._layer_cost_s, 1e-6)) - len(self._looks)
        return max(1, min(MOST_EXTRA, affordable))
