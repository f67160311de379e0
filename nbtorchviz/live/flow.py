"""Flow control: may this stream send now, and how much? Arithmetic only; the sender calls it.

Three conditions of the line, told by what comes back:

- *flowing*: at most two frames under way to a view, then an ack has to come.
- *lost*: messages came in during this run and stopped (a closed lid). 1, 2, 4 ... 60 s between
  sends of any stream, and 20 MB under way at most, because the server keeps all of it.
- *blind*: nothing ever came in during this run. Python cannot tell a host that delivers messages
  only between cells from a browser that is gone: one a second, slowing to one a minute.

Any message from a browser brings *flowing* back. All times are seconds of one monotonic clock.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from nbtorchviz.live.pacing import (
    BLIND_BURST_BYTES,
    BLIND_BYTES_PER_S,
    MAX_FRAME_BYTES,
    MAX_UNACKED_BYTES,
    MESSAGES_PER_S,
    MIN_INTERVAL_S,
    PATIENCE_S,
    SILENT_PATIENCE_S,
    UNREQUESTED_BYTES_PER_S,
    WINDOW,
    TokenBucket,
    adapted_limit_bytes,
    blind_gap_s,
    lost_gap_s,
    sparse_limit_bytes,
)

RUNNING_S = 2.0
"""No boundary for so long, or for three steps' time: nothing is running."""
_REMEMBERED = 64


@dataclass(slots=True)
class _Sent:
    seq: int
    size_bytes: int
    at: float
    acked: bool = False


@dataclass(slots=True, eq=False)
class StreamFlow:
    """What one stream has sent and which view has drawn how much of it."""

    name: str
    acked: bool = True
    """Whether views answer; otherwise only rates bound the stream."""
    gap_s: float = 0.05
    """Least distance of unrequested sends."""
    counts: Callable[[str], bool] = lambda view: True
    """Whether a view is on screen, so that its acks are waited for."""
    sent_at: float = -math.inf
    sends: int = 0
    size_bytes: int = 0
    """Bytes sent in all."""
    under_way: deque[_Sent] = field(default_factory=deque)
    drawn: dict[str, int] = field(default_factory=dict)
    """Newest ``seq`` acked by each view."""

    def window(self, now: float) -> int:
        """Frames under way to the slowest view that still answers.

        A view that owes an ack for over 2 s while another one answers does not hold that one up.
        """
        views = [view for view in self.drawn if self.counts(view)]
        if not views:
            return sum(not sent.acked for sent in self.under_way)
        owed = {view: [s for s in self.under_way if s.seq > self.drawn[view]] for view in views}
        prompt = [v for v in views if not owed[v] or now - owed[v][0].at <= PATIENCE_S]
        return max(len(owed[view]) for view in prompt or views)


class Flow:
    """Flow control of one session: all its streams share one line to the browser.

    Not thread-safe, except ``boundary``; the sender holds its lock.

    Args:
        wired: False where no kernel carries messages away (a script): only ``gap_s`` counts.
    """

    def __init__(self, *, wired: bool = True) -> None:
        self.wired = wired
        self.ever_heard = False
        self.heard_during_run = False
        self.acks_during_run = 0
        self.unacked_bytes = 0
        """Bytes sent that no view has acked; un-acked streams count until any message comes."""
        self.last_ack_at: float | None = None
        self.latencies_s: deque[float] = deque(maxlen=9)
        self._loose_bytes = 0
        self._declared = False
        self._boundary_at = -math.inf
        self._step_s = 0.0
        self._waiting_since: float | None = None
        self._silent_since: float | None = None
        self._limit_bytes = MAX_FRAME_BYTES
        self._unrequested = TokenBucket(
            UNREQUESTED_BYTES_PER_S, MAX_FRAME_BYTES, debt=UNREQUESTED_BYTES_PER_S
        )
        self._messages = TokenBucket(MESSAGES_PER_S, 50.0, debt=1.0)
        self._blind = TokenBucket(BLIND_BYTES_PER_S, BLIND_BURST_BYTES, debt=MAX_FRAME_BYTES)
        self._streams: list[StreamFlow] = []

    def add(self, stream: StreamFlow) -> None:
        """Let ``stream`` share the line."""
        self._streams.append(stream)

    def remove(self, stream: StreamFlow) -> None:
        """Forget ``stream``; what it has under way still counts until a message comes in."""
        self._streams.remove(stream)
        self._loosen(stream)
        self._await_rest(self._waiting_since)

    def run_began(self, now: float) -> None:
        """Start a run: what was heard before does not count, unless the line is lost already."""
        self._declared = True
        self._forget_run(now)

    def run_ended(self) -> None:
        """End a declared run."""
        self._declared = False
        self._boundary_at = -math.inf

    def boundary(self, now: float) -> None:
        """Note a finished step; after a silence it begins a run. Cheap, safe from any thread."""
        if not self.running(now):
            self._forget_run(now)
        if now - self._boundary_at < 60.0:
            self._step_s = max(now - self._boundary_at, 0.9 * self._step_s)
        self._boundary_at = now

    def running(self, now: float) -> bool:
        """Whether training runs: declared, or steps keep finishing."""
        return self._declared or now - self._boundary_at <= max(RUNNING_S, 3 * self._step_s)

    def unheard_for_s(self, now: float) -> float | None:
        """Seconds since patience ran out; None while the line is flowing."""
        since = min(
            math.inf if self._waiting_since is None else self._waiting_since + PATIENCE_S,
            math.inf if self._silent_since is None else self._silent_since + SILENT_PATIENCE_S,
        )
        return now - since if now >= since else None

    def waiting_for_s(self, now: float) -> float:
        """How long the oldest frame has been waiting for an ack; 0 when none is."""
        return 0.0 if self._waiting_since is None else now - self._waiting_since

    def lost(self, now: float) -> bool:
        """Whether messages came during this run and stopped."""
        return self.unheard_for_s(now) is not None and self.heard_during_run

    def gap_s(self, now: float) -> float:
        """Distance of two sends of a stream that a silent line imposes; 0 while flowing."""
        unheard_s = self.unheard_for_s(now)
        if unheard_s is None:
            return 0.0
        return lost_gap_s(unheard_s) if self.heard_during_run else blind_gap_s(unheard_s)

    def limit_bytes(self, now: float) -> int:
        """Largest frame to produce now."""
        gap_s = self.gap_s(now)
        if not self.wired or not gap_s:
            return self._limit_bytes
        return min(self._limit_bytes, sparse_limit_bytes(gap_s))

    def wait_s(
        self, stream: StreamFlow, now: float, *, urgent: bool = False, forced: bool = False
    ) -> float:
        """Seconds until ``stream`` may send; 0 = now, infinity = only a message can tell.

        Args:
            stream: the one that wants to send.
            now: present time.
            urgent: a user's move; rates do not delay it, a full window or a silent line does.
            forced: a flush; goes past a full window too, once a second.
        """
        rates_s = 0.0 if urgent or forced else stream.sent_at + stream.gap_s - now
        if not self.wired:
            return max(0.0, rates_s)
        if self._capped(now):
            return math.inf
        wait_s = max(stream.sent_at + MIN_INTERVAL_S - now, self._messages.wait_s(now))
        gap_s = self.gap_s(now)
        if gap_s:
            if not self.heard_during_run:
                wait_s = max(wait_s, self._blind.wait_s(now))
            if forced:
                gap_s = 1.0 if self.ever_heard else 0.0
            return max(wait_s, stream.sent_at + gap_s - now, self._unrequested.wait_s(now))
        if not urgent and not forced:
            wait_s = max(wait_s, rates_s, self._unrequested.wait_s(now))
        if stream.acked and stream.window(now) >= WINDOW and (self.ever_heard or not forced):
            patience_s = PATIENCE_S - self.waiting_for_s(now)
            held_s = stream.sent_at + 1.0 - now if forced else patience_s
            wait_s = max(wait_s, held_s)
        return max(0.0, wait_s)

    def sent(self, stream: StreamFlow, seq: int, size_bytes: int, now: float) -> None:
        """Account for a message that went out."""
        stream.sent_at = now
        stream.sends += 1
        stream.size_bytes += size_bytes
        if not self.wired:
            return
        self._messages.draw(now, 1.0)
        self._unrequested.draw(now, size_bytes)
        if self.gap_s(now) and not self.heard_during_run:
            self._blind.draw(now, size_bytes)
        self.unacked_bytes += size_bytes
        if not stream.acked:
            self._loose_bytes += size_bytes
            self._silent_since = now if self._silent_since is None else self._silent_since
            return
        self._waiting_since = now if self._waiting_since is None else self._waiting_since
        stream.under_way.append(_Sent(seq, size_bytes, now))
        if len(stream.under_way) > _REMEMBERED:
            oldest = stream.under_way.popleft()
            self._loose_bytes += 0 if oldest.acked else oldest.size_bytes

    def revoke(self, stream: StreamFlow, seq: int) -> None:
        """Take back ``sent``: the message did not go out after all."""
        if stream.under_way and stream.under_way[-1].seq == seq:
            self.unacked_bytes -= stream.under_way.pop().size_bytes
            self._await_rest(self._waiting_since)

    def acked(
        self, stream: StreamFlow, view: str, seq: int, now: float, *, concurrent: bool = True
    ) -> None:
        """Account for "drawn up to ``seq``" from ``view``; numbers never sent are ignored."""
        was_flowing = self.unheard_for_s(now) is None
        self.message_in(now, concurrent=concurrent)
        if concurrent and self.running(now):
            self.acks_during_run += 1
        newest = max((sent.seq for sent in stream.under_way), default=-1)
        stream.drawn.setdefault(view, -1)
        if seq > newest:  # from before a kernel restart, or from before the line was lost
            self.last_ack_at = now
            return
        stream.drawn[view] = max(stream.drawn[view], seq)
        for sent in stream.under_way:
            if sent.seq <= seq and not sent.acked:
                sent.acked = True
                self.unacked_bytes -= sent.size_bytes
                if sent.seq == seq and was_flowing:
                    self._learn(sent, now)
        views = [name for name in stream.drawn if stream.counts(name)] or [view]
        everybody = min(stream.drawn[name] for name in views)
        while stream.under_way and stream.under_way[0].seq <= everybody:
            stream.under_way.popleft()
        self.last_ack_at = now
        self._await_rest(now)

    def message_in(self, now: float, *, concurrent: bool = True) -> None:
        """Account for any message from a browser.

        Args:
            now: present time.
            concurrent: it was handled while another thread may be training, so that it proves
                that messages arrive during a step.
        """
        if self.unheard_for_s(now) is not None:
            for stream in self._streams:
                self._loosen(stream)
            self._waiting_since = None
        self.ever_heard = True
        if concurrent and self.running(now):
            self.heard_during_run = True
        self.unacked_bytes -= self._loose_bytes
        self._loose_bytes = 0
        self._silent_since = None

    def view_ready(self, stream: StreamFlow, view: str | None) -> None:
        """A view was built: nothing sent before concerns it."""
        if view is not None:
            while len(stream.drawn) >= _REMEMBERED:  # each reload of the page makes a new name
                del stream.drawn[next(iter(stream.drawn))]
            stream.drawn[view] = max((sent.seq for sent in stream.under_way), default=-1)
        self._loosen(stream)
        self._await_rest(self._waiting_since)

    def view_gone(self, stream: StreamFlow, view: str) -> None:
        """A view was removed: its acks are waited for no longer."""
        stream.drawn.pop(view, None)

    def _forget_run(self, now: float) -> None:
        self.acks_during_run = 0
        if self.unheard_for_s(now) is None:
            self.heard_during_run = False

    def _capped(self, now: float) -> bool:
        blind = self.unheard_for_s(now) is not None and not self.heard_during_run
        return not blind and self.unacked_bytes + MAX_FRAME_BYTES > MAX_UNACKED_BYTES

    def _learn(self, sent: _Sent, now: float) -> None:
        """Adapt the frame limit; time spent behind an earlier frame does not count."""
        self.latencies_s.append(now - sent.at)
        began_at = sent.at if self.last_ack_at is None else max(sent.at, self.last_ack_at)
        self._limit_bytes = adapted_limit_bytes(self._limit_bytes, sent.size_bytes, now - began_at)

    def _loosen(self, stream: StreamFlow) -> None:
        self._loose_bytes += sum(s.size_bytes for s in stream.under_way if not s.acked)
        stream.under_way.clear()

    def _await_rest(self, since: float | None) -> None:
        waiting = any(not s.acked for stream in self._streams for s in stream.under_way)
        self._waiting_since = since if waiting else None
