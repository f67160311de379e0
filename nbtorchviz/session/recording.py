"""When statistics of all layers and parameters are taken, whether or not anybody looks.

Pictures go only to widgets that are seen; statistics go on from the first display until the
session closes, because overnight is when history matters.
"""

import threading
import time
from collections.abc import Callable
from typing import Protocol

from nbtorchviz.session.budget import SLOWEST_PACE_S, Pace

SHARE = 0.002
"""Of wall time, for statistics that nobody watches."""
PERIOD_S = 1.0
"""Nor are those taken more often than this."""
WATCHED_SHARE = 0.5
"""Of the session's budget, for statistics that somebody watches or that a breakpoint needs."""
WATCHED_PERIOD_S = 0.1
WATCHED_SLOWEST_S = 10.0
"""What is watched comes at least so often, so that a live picture stays live.
Where one sample takes more than 0.1 s, this goes before the budget."""
EARLY_SHARE = 0.05
"""Of the first seconds of a run: each next wait is as long as the run so far, so that a run that
is over in a second has a history too, and the newest sample lies in its second half."""
EARLY_S = 0.02
"""The shortest such wait."""
IDLE_S = 1.0
"""After so long without a forward or a step a new run begins, unless one sample an interval of
that length would take more than the session's budget."""


class Viewers(Protocol):
    """What is asked of the audience."""

    def displayed(self) -> bool:
        """Whether any widget was ever put on a page."""


class Recording:
    """The clock of statistics.

    Args:
        viewers: the session's widgets.
        budget_share: returns the share of wall time that watching may take.
        clock: returns seconds; tests replace it.
    """

    def __init__(
        self,
        viewers: Viewers,
        budget_share: Callable[[], float],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._viewers, self._budget_share = viewers, budget_share
        self._lock = threading.Lock()
        self._demands: dict[int, Callable[[], bool | None]] = {}
        self._clock = clock
        self._pace = Pace(SHARE, PERIOD_S, clock=clock)
        self._run_began: float | None = None
        """When the first sample of this run was taken; None before."""
        self._cost_s = 0.0
        """Of the last sample."""
        self._slowest_s = SLOWEST_PACE_S

    def demand(self, owner: int, wanted: Callable[[], bool | None]) -> None:
        """Take them often while ``wanted()``; until ``release(owner)`` or it returns None."""
        with self._lock:
            self._demands = {**self._demands, owner: wanted}
        self._pace.hurry()

    def hurry(self, owner: int) -> None:
        """Take them soon: somebody sees again what ``owner`` demanded them for."""
        if owner in self._demands:
            self._pace.hurry()

    def resumed(self, idle_s: float) -> None:
        """Note a forward after ``idle_s`` without any: the first of a run, if that was long."""
        if idle_s >= IDLE_S and idle_s * self._budget_share() >= self._cost_s:
            self._run_began = None
            self._pace.hurry(0.0)

    def release(self, owner: int) -> None:
        """Forget what ``owner`` demanded."""
        with self._lock:
            self._demands = {key: it for key, it in self._demands.items() if key != owner}

    @property
    def due_at(self) -> float:
        """The clock's reading from which on ``due()`` may hold."""
        return self._pace.due_at

    @property
    def wanted(self) -> bool:
        """Whether statistics are taken at all."""
        return self._viewers.displayed() or any(it() for it in self._demands.values())

    def due(self) -> bool:
        """Whether the forward that begins now is to be read."""
        return self._pace.due() and self.wanted

    def begin(self) -> None:
        """Note that it is."""
        demands = {owner: wanted() for owner, wanted in self._demands.items()}
        for owner, answer in demands.items():
            if answer is None:
                self.release(owner)
        watched = any(demands.values())
        if self._run_began is None:
            self._run_began = self._clock()
        early_s, self._cost_s = self._early_s(), 0.0
        self._pace.share = WATCHED_SHARE * self._budget_share() if watched else SHARE
        self._pace.fastest_s = min(WATCHED_PERIOD_S if watched else PERIOD_S, early_s)
        self._slowest_s = WATCHED_SLOWEST_S if watched else SLOWEST_PACE_S
        self._pace.begin()

    def spent(self, seconds: float) -> None:
        """Note what it cost; the next one waits accordingly."""
        self._cost_s += seconds
        self._pace.slowest_s = min(self._slowest_s, self._early_s())
        self._pace.spent(seconds)

    def _early_s(self) -> float:
        """How long the next sample may be put off, however dear this one was."""
        if self._run_began is None:
            return SLOWEST_PACE_S
        so_far_s = self._clock() - self._run_began
        return max(EARLY_S, so_far_s, self._cost_s / EARLY_SHARE)
