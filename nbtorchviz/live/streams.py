"""One kind of content on its way to the browser."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from nbtorchviz.live.flow import StreamFlow

if TYPE_CHECKING:
    from nbtorchviz.live.sender import Sender

SHARE = 0.0025
"""Share of a core that the unrequested sends of one stream may take; a dear one slows alone. A
curve of 10,000 points comes once a second then."""
SLOWEST_GAP_S = 2.0


class Payload(NamedTuple):
    """What ``produce`` hands to ``deliver``."""

    seq: int
    """Number that views ack; grows by at least 1 within a stream."""
    data: Any
    size_bytes: int


class Audience(Protocol):
    """What a stream asks about the views of its widget; ``Presence`` is one."""

    def is_visible(self, view: str) -> bool:
        """Whether a view is on screen, so that its acks are waited for."""
        ...


class Stream:
    """One kind of content on its way to the browser. Made by ``Sender.add``.

    Several marks before the sender comes round are one send: ``produce`` is asked for the newest.
    """

    def __init__(
        self,
        sender: "Sender",
        flow: StreamFlow,
        produce: Callable[[int], Payload | None],
        deliver: Callable[[Payload], None],
        kind: str,
    ) -> None:
        self.flow = flow
        self.kind = kind
        self._fastest_gap_s = flow.gap_s
        self.faults_in_a_row = 0
        self._sender = sender
        self._produce = produce
        self._deliver = deliver
        self._marked = self._urgent = self._forced = False
        self._gave_up = self._serving = False
        self._retry_at = -math.inf

    @property
    def stats(self) -> dict[str, float]:
        """``sends``, ``size_bytes`` in all, ``under_way`` and ``faults_in_a_row``."""
        flow = self.flow
        under_way = sum(not sent.acked for sent in tuple(flow.under_way))
        return {
            "sends": flow.sends,
            "size_bytes": flow.size_bytes,
            "under_way": under_way,
            "faults_in_a_row": self.faults_in_a_row,
        }

    def mark(self, urgent: bool = False) -> None:
        """Say that newer content waits. Any thread, cheap, never sends by itself.

        Args:
            urgent: the user moved something; rate limits do not delay it.
        """
        if not self._marked or (urgent and not self._urgent):
            self._sender._mark(self, urgent=urgent)

    def slow_down(self, cost_s: float) -> None:
        """Space unrequested sends so that they take at most ``SHARE`` of a core, at least 1 in 2 s.

        Args:
            cost_s: CPU seconds of the last send.
        """
        gap_s = max(self._fastest_gap_s, min(cost_s / SHARE, SLOWEST_GAP_S))
        self.flow.gap_s += 0.5 * (gap_s - self.flow.gap_s)

    def acked(self, view: str, seq: int, *, concurrent: bool | None = None) -> None:
        """Take a view's word that it has drawn ``seq`` (``concurrent``: as in ``message_in``)."""
        sender = self._sender
        if sender._inert():
            return
        with sender._condition:
            beside = sender._beside_training(concurrent)
            sender.flow.acked(self.flow, view, seq, sender._clock(), concurrent=beside)
            if any(stream._marked for stream in sender._streams):
                sender._wake()

    def reset(self, view: str | None = None) -> None:
        """Send the present state at once: a view said that it is ready."""
        sender = self._sender
        if sender._inert():
            return
        with sender._condition:
            sender.flow.message_in(sender._clock(), concurrent=sender._beside_training(None))
            sender.flow.view_ready(self.flow, view)
        self.mark(urgent=True)

    def view_gone(self, view: str) -> None:
        """Stop waiting for the acks of a view."""
        if not self._sender._inert():
            with self._sender._condition:
                self._sender.flow.view_gone(self.flow, view)

    def close(self) -> None:
        """Send nothing more from this stream."""
        self._sender._remove(self)
