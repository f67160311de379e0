"""Presence: is anybody looking at this widget?"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

LEASE_S = 15.0
"""A visible view says so every 5 s; after three missed words it counts as gone."""
HIDDEN_LEASE_S = 3600.0
"""A hidden view keeps silent; so long its return is expected."""
RELEASE_S = 30.0
"""All views gone for so long: frames may be released. They are rebuilt on the next word."""


@dataclass(slots=True)
class _View:
    heard_at: float
    visible: bool
    lease_end: float


class Presence:
    """Leases of the views of one widget.

    While a cell blocks every message into Python, leases cannot be renewed although the user may
    be looking. The caller says so with ``hearing=False``; what was true when the line went quiet
    then stays true, and a widget that was displayed counts as seen.

    Args:
        clock: seconds, monotonic.
        lease_s: how long one word from a visible view is believed.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, lease_s: float = LEASE_S
    ) -> None:
        self._clock = clock
        self._lease_s = lease_s
        self._lock = threading.RLock()
        self._views: dict[str, _View] = {}
        self._displayed = False
        self._left_at = 0.0
        self.ever = False
        """True once any view has spoken."""

    def here(self, view: str, visible: bool = True) -> bool:
        """Note a view's word (``ready`` or ``here``).

        Returns:
            True when this view was not seen a moment ago, so that it needs the present state.
        """
        now = self._clock()
        with self._lock:
            before = self._views.get(view)
            was_seen = before is not None and before.visible and now <= before.lease_end
            lease_s = self._lease_s if visible else HIDDEN_LEASE_S
            self._views[view] = _View(now, visible, now + lease_s)
            self.ever = True
            for name, known in list(self._views.items()):  # reloads leave dead ids behind
                if now - known.heard_at > 2 * HIDDEN_LEASE_S:
                    del self._views[name]
        return visible and not was_seen

    def gone(self, view: str) -> None:
        """Note that a view was removed from its page."""
        with self._lock:
            if self._views.pop(view, None) is not None:
                self._left_at = self._clock()

    def displayed(self) -> None:
        """Note that the widget was put into a cell's output, whether or not a view has spoken."""
        self._displayed = True

    @property
    def displayed_once(self) -> bool:
        """True once the widget was put into a cell's output or a view of it has spoken."""
        return self._displayed or self.ever

    def is_visible(self, view: str) -> bool:
        """True while ``view`` is on screen and its lease runs."""
        with self._lock:
            known = self._views.get(view)
            return known is not None and known.visible and self._clock() <= known.lease_end

    def any_visible(self, *, hearing: bool = True) -> bool:
        """True while somebody sees a view (``hearing=False``: saw one when last heard)."""
        now = self._clock()
        with self._lock:
            if not hearing and not self.ever:
                return self._displayed
            views = self._views.values()
            return any(view.visible and (not hearing or now <= view.lease_end) for view in views)

    def vanished(self) -> bool:
        """True when a view that was on screen stopped speaking without leaving: a reloaded page."""
        now = self._clock()
        with self._lock:
            return any(view.visible and now > view.lease_end for view in self._views.values())

    def any_open(self, *, hearing: bool = True) -> bool:
        """True while a view exists, on screen or hidden."""
        now = self._clock()
        with self._lock:
            if not hearing and not self.ever:
                return self._displayed
            return any(not hearing or now <= view.lease_end for view in self._views.values())

    def gone_for_s(self) -> float:
        """Seconds since the last view left or its lease ran out; 0 before there was one."""
        now = self._clock()
        with self._lock:
            if not self.ever:
                return 0.0
            ends = [view.lease_end for view in self._views.values()]
            return max(0.0, now - max([self._left_at, *ends])) if ends else now - self._left_at

    @property
    def released(self) -> bool:
        """True when all views have been gone long enough to release their frames."""
        return self.gone_for_s() >= RELEASE_S
