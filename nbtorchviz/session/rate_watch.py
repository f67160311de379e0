"""Note the learning rate: what a run began with, and where it was changed by much."""

from nbtorchviz.session.metrics import MetricHistory

JUMP = 1.5
"""A change by this factor is flagged; a smooth schedule is not a row of flags."""
MOST_FLAGS = 20


class RateWatch:
    """Looks at the learning rate about once a second.

    Args:
        metrics: which run it belongs to, and where flags go.
    """

    def __init__(self, metrics: MetricHistory) -> None:
        self._metrics = metrics
        self._run: int | None = None
        self._rate: float | None = None
        self._flags = 0

    def learn(self, rate: float | None) -> None:
        """Take a rate whose change was flagged already."""
        if rate is not None:
            self._rate = rate

    def look(self, rate: float | None, step: int) -> None:
        """Take the rate of now; None when it is not known."""
        if rate is None:
            return
        run = self._metrics.newest_run
        if run != self._run:
            self._run, self._rate, self._flags = run, rate, 0
            self._metrics.describe_run(f"lr {rate:g}", run)
            return
        before = self._rate
        if before is None or before == rate or self._flags >= MOST_FLAGS:
            return
        low, high = sorted((abs(before), abs(rate)))
        if high >= JUMP * low:
            self._rate = rate
            self._flags += 1
            self._metrics.flag(step, f"lr {before:g} → {rate:g}")
