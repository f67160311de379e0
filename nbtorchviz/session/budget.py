"""How much of the training time watching may take, and what it takes.

After a sample that cost ``c`` seconds the next unrequested one is not due before ``c / share``
seconds have passed, so the average stays at the share whatever a sample costs. A user's move is
never delayed: its cost is repaid by fewer unrequested samples.
"""

import threading
import time
from collections import deque
from collections.abc import Callable

FASTEST_S = 0.1
"""Unrequested samples come no faster than this."""
SLOWEST_S = 1.0
"""Nor slower than this, however dear they are, so that a live picture stays live."""
SLOWEST_PACE_S = 60.0
GRAIN_S = 0.1
"""Costs nearer together than this are remembered as one."""
WINDOW_S = 10.0
"""The measured share is an average over these last seconds."""


class Pace:
    """When something dear may be done again, so that it takes at most ``share`` of the time.

    Args:
        share: of wall time, above 0.
        fastest_s: it is never done more often than this.
        clock: returns seconds; tests replace it.
    """

    slowest_s = SLOWEST_PACE_S
    """It is not put off for longer than this, whatever it cost."""

    def __init__(
        self, share: float, fastest_s: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.share, self.fastest_s = share, fastest_s
        self._clock = clock
        self.due_at = self._repaid_at = clock()

    def due(self) -> bool:
        """Whether it may be done now."""
        return self._clock() >= self.due_at

    def hurry(self, wait_s: float | None = None) -> None:
        """Forget what is still to be repaid, down to ``wait_s``; None: ``fastest_s``."""
        soon = self._clock() + (self.fastest_s if wait_s is None else wait_s)
        self.due_at, self._repaid_at = min(self.due_at, soon), min(self._repaid_at, soon)

    def begin(self) -> None:
        """Note that it is done now."""
        now = self._clock()
        self._repaid_at = max(self._repaid_at, now)
        self.due_at = max(now + self.fastest_s, self._repaid_at)

    def spent(self, seconds: float) -> None:
        """Repay what it cost by waiting; the wait for ``fastest_s`` counts."""
        latest = self._clock() + self.slowest_s
        self._repaid_at = min(self._repaid_at + seconds / self.share, latest)
        self.due_at = min(max(self.due_at, self._repaid_at), latest)


class Budget:
    """Counts seconds spent by channel and says when the next sample is due.

    Args:
        share: of wall time that watching may take; above 0, at most 1.
        clock: returns seconds; tests replace it.

    Raises:
        ValueError: ``share`` is out of range.
    """

    def __init__(self, share: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"budget must be a share of training time in (0, 1], got {share!r}")
        self.share = share
        self._clock = clock
        self._began = clock()
        self._lock = threading.Lock()
        self._spent: deque[tuple[float, dict[str, float]]] = deque()
        self._samples: deque[float] = deque()
        self._due = self._began
        self._latest = self._began + SLOWEST_S

    def due(self) -> bool:
        """Whether an unrequested sample may be taken now."""
        now = self._clock()
        return now >= self._due or now >= self._latest

    def due_at(self) -> float:
        """Return the clock's reading from which on ``due()`` will hold."""
        return min(self._due, self._latest)

    def spent(self, channel: str, seconds: float) -> None:
        """Count ``seconds`` of our work under ``channel``, and repay it."""
        now = self._clock()
        due = self._due if self._due > now else now
        self._due = min(due + seconds / self.share, now + SLOWEST_S)
        with self._lock:
            last = self._spent[-1] if self._spent else None
            if last is not None and now - last[0] < GRAIN_S:
                last[1][channel] = last[1].get(channel, 0.0) + seconds
                return
            self._spent.append((now, {channel: seconds}))
            self._forget(now)

    def sampled(self) -> None:
        """Count one sample; the next waits ``FASTEST_S`` at least and ``SLOWEST_S`` at most."""
        now = self._clock()
        self._samples.append(now)
        self._due = max(self._due, now + FASTEST_S)
        # From the sample, not from the last cost: costs of every step would put it off for ever.
        self._latest = now + SLOWEST_S

    def measured(self) -> float:
        """Return our share of wall time over the last seconds."""
        return sum(self.parts().values())

    def parts(self) -> dict[str, float]:
        """Return the share of each channel over the last seconds."""
        now = self._clock()
        window = min(WINDOW_S, max(now - self._began, 1e-3))
        shares: dict[str, float] = {}
        with self._lock:
            self._forget(now)
            for _, costs in self._spent:
                for channel, seconds in costs.items():
                    shares[channel] = shares.get(channel, 0.0) + seconds / window
        return shares

    def samples_per_s(self) -> float:
        """Return how many samples were taken per second over the last seconds."""
        now = self._clock()
        with self._lock:
            self._forget(now)
        return len(self._samples) / min(WINDOW_S, max(now - self._began, 1e-3))

    def _forget(self, now: float) -> None:
        while self._spent and self._spent[0][0] < now - WINDOW_S:
            self._spent.popleft()
        while self._samples and self._samples[0] < now - WINDOW_S:
            self._samples.popleft()
