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
        self._pace = Pace(SHARE, PERIOD_S, clock=clock)

    def demand(self, owner: int, wanted: Callable[[], bool | None]) -> None:
        """Take them often while ``wanted()``; until ``release(owner)`` or it returns None."""
        with self._lock:
            self._demands = {**self._demands, owner: wanted}
        self._pace.hurry()

    def hurry(self, owner: int) -> None:
        """Take them soon: somebody sees again what ``owner`` demanded them for."""
        if owner in self._demands:
            self._pace.hurry()

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
        self._pace.share = WATCHED_SHARE * self._budget_share() if watched else SHARE
        self._pace.fastest_s = WATCHED_PERIOD_S if watched else PERIOD_S
        self._pace.slowest_s = WATCHED_SLOWEST_S if watched else SLOWEST_PACE_S
        self._pace.begin()

    def spent(self, seconds: float) -> None:
        """Note what it cost; the next one waits accordingly."""
        self._pace.spent(seconds)
