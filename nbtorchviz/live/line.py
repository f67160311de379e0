"""What the line to the browser looks like now: facts for the mode, the chip and presence."""

from collections.abc import Callable

from nbtorchviz.live.flow import Flow


class LineFacts:
    """Read-only view of a session's flow control, at the present time."""

    def __init__(self, flow: Flow, clock: Callable[[], float]) -> None:
        self.flow = flow
        self._clock = clock

    @property
    def running(self) -> bool:
        """Whether training runs."""
        return self.flow.running(self._clock())

    @property
    def acks_during_run(self) -> int:
        """Acks handled beside the present run."""
        return self.flow.acks_during_run

    @property
    def last_ack_age_s(self) -> float | None:
        """Seconds since the newest ack; None before the first."""
        at = self.flow.last_ack_at
        return None if at is None else self._clock() - at

    @property
    def unacked_bytes(self) -> int:
        """Bytes under way."""
        return self.flow.unacked_bytes

    @property
    def waiting_for_s(self) -> float:
        """How long the oldest frame has waited for an ack; 0 when none is under way."""
        return self.flow.waiting_for_s(self._clock())

    @property
    def hearing(self) -> bool:
        """False while a run goes on in which nothing has come in and an answer is overdue.

        Then leases cannot be renewed and prove nothing (see ``Presence.any_visible``).
        """
        now = self._clock()
        deaf = self.flow.running(now) and not self.flow.heard_during_run
        return not (deaf and self.flow.unheard_for_s(now) is not None)

    @property
    def backoff_s(self) -> float:
        """Gap that a silent line imposes on every stream; 0 while it flows."""
        return self.flow.gap_s(self._clock())

    @property
    def latency_s(self) -> float | None:
        """Median time from send to ack of the last frames; None before the first ack."""
        latencies_s = sorted(self.flow.latencies_s)
        return latencies_s[len(latencies_s) // 2] if latencies_s else None
