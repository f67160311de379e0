"""The sender: the one thread of a session that writes to the browser."""

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable

from nbtorchviz.live.delivery import Delivery
from nbtorchviz.live.flow import Flow, StreamFlow
from nbtorchviz.live.streams import Audience, Payload, Stream

__all__ = ["Payload", "Sender", "Stream"]

IDLE_EXIT_S = 30.0
"""With nothing to send for so long the thread ends; the next mark starts another."""
_FORCED_PATIENCE_S = 0.25
_NEVER_S = 3600.0
_OPEN: "weakref.WeakSet[Sender]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for sender in list(_OPEN):  # a daemon thread must not write into a dying interpreter
        sender.close()


class Sender(Delivery):
    """Asks streams for their newest content and delivers it, as fast as the line takes it.

    The thread starts with the first mark. ``produce`` and ``deliver`` run on it only, one at a
    time; an exception of theirs goes to ``on_fault`` and slows that one stream.

    Args:
        on_fault: called with (where, exception).
        clock: seconds, monotonic.
        threaded: False for hosts that drop updates sent from threads. Then content goes out in
            ``boundary()`` on the training thread and, between cells, through ``post``.
        post: runs a function later on the kernel's main loop: ``post(function, delay_s)``.
        wired: False where no kernel carries messages away, so that no browser can answer.
    """

    def __init__(
        self,
        *,
        on_fault: Callable[[str, BaseException], None],
        clock: Callable[[], float] = time.monotonic,
        threaded: bool = True,
        post: Callable[[Callable[[], None], float], object] | None = None,
        wired: bool = True,
        name: str = "nbtorchviz-sender",
    ) -> None:
        super().__init__(Flow(wired=wired), clock, on_fault)
        self._threaded = threaded
        self._post = post
        self._posted = False
        self._name = name
        self._pumping = threading.Lock()
        self._streams: list[Stream] = []
        self._thread: threading.Thread | None = None
        self._boundary_thread: int | None = None
        self._past_cpu_s = self._thread_cpu_s = 0.0
        self._pid = os.getpid()
        self._closed = False
        _OPEN.add(self)

    def add(
        self,
        name: str,
        produce: Callable[[int], Payload | None],
        deliver: Callable[[Payload], None],
        *,
        acked: bool = True,
        max_hz: float = 20.0,
        kind: str = "picture",
        audience: Audience | None = None,
    ) -> Stream:
        """Open a stream.

        Args:
            name: for messages about faults.
            produce: called with a limit in bytes; returns the newest content, or None for none.
            deliver: writes synced traits or sends a custom message.
            acked: whether views answer with ``Stream.acked``.
            max_hz: most unrequested sends a second.
            kind: ``"picture"``, ``"curve"``, ``"state"`` or ``"thumbs"``.
            audience: tells which views are on screen; default: all that ever answered.
        """
        flow = StreamFlow(name, acked, 1.0 / max_hz)
        if audience is not None:
            flow.counts = audience.is_visible
        stream = Stream(self, flow, produce, deliver, kind)
        with self._condition:
            self._streams.append(stream)
            self.flow.add(flow)
        return stream

    def message_in(self, view: str, *, concurrent: bool | None = None) -> None:
        """Note any message from a browser: the line is alive.

        Args:
            view: who sent it.
            concurrent: whether it was handled beside a running step; told by the thread if None.
        """
        if self._inert():
            return
        with self._condition:
            was_silent = self.flow.gap_s(now := self._clock()) > 0
            self.flow.message_in(now, concurrent=self._beside_training(concurrent))
            if was_silent:
                self._wake()

    def run_began(self) -> None:
        """Note that a run began."""
        if not self._inert():
            with self._condition:
                self.flow.run_began(self._clock())

    def run_ended(self) -> None:
        """Note that the run ended."""
        if not self._inert():
            with self._condition:
                self.flow.run_ended()
                self._boundary_thread = None

    def boundary(self) -> None:
        """Note a finished step; called on the training thread, takes no lock."""
        self._boundary_thread = threading.get_ident()
        self.flow.boundary(self._clock())
        if not self._threaded:
            self.pump()

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Deliver what is marked, without waiting for any browser.

        Returns:
            False when something had to stay behind: the browser has not taken earlier content,
            or ``timeout_s`` was over.
        """
        if self._inert():
            return True
        deadline = time.monotonic() + timeout_s
        with self._condition:
            forced = self._force()
            if self._threaded and threading.current_thread() is not self._thread:
                awaited = [*forced, *(s for s in self._streams if s._serving)]
                if forced:
                    self._wake()
                while any(stream._forced or stream._serving for stream in awaited):
                    left_s = deadline - time.monotonic()
                    if left_s <= 0 or self._thread is None:
                        return False
                    self._condition.wait(left_s)
                return not any(stream._gave_up for stream in forced)
        self.pump(wait_s=_FORCED_PATIENCE_S)
        return not any(stream._forced or stream._gave_up for stream in forced)

    def tell_last(self, timeout_s: float = 1.0) -> None:
        """Send what is marked and every state once more, the last time before ``close``."""
        with self._condition:
            for stream in self._streams:
                stream._marked |= stream.kind == "state"
        self.flush(timeout_s)

    def pump(self, wait_s: float = 0.0) -> None:
        """Send what is due on the calling thread (for ``threaded=False``).

        Args:
            wait_s: also sleep for sends due so soon.
        """
        if not self._pumping.acquire(blocking=False):
            return
        try:
            self._posted = False
            for _ in range(4 * len(self._streams) + 4):
                if self._inert():
                    return
                with self._condition:
                    stream, due_s = self._next()
                    if stream is None or due_s > wait_s:
                        break
                    if due_s <= 0:
                        limit_bytes = self._take(stream)
                if due_s > 0:
                    time.sleep(due_s)
                else:
                    self._send(stream, limit_bytes)
            self._repost(stream, due_s)
        finally:
            self._pumping.release()

    def close(self) -> None:
        """Stop and join the thread. Nothing is sent any more. Safe to call twice."""
        if os.getpid() != self._pid:
            return
        with self._condition:
            self._closed = True
            thread = self._thread
            self._condition.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(5.0)

    @property
    def cpu_s(self) -> float:
        """CPU seconds of the sender's threads so far."""
        return self._past_cpu_s + self._thread_cpu_s

    def _mark(self, stream: Stream, *, urgent: bool) -> None:
        if self._inert():
            return
        with self._condition:
            if stream in self._streams:
                stream._marked = True
                stream._urgent |= urgent
                self._wake()

    def _remove(self, stream: Stream) -> None:
        if self._inert():
            return
        with self._condition:
            if stream in self._streams:
                self._streams.remove(stream)
                self.flow.remove(stream.flow)
                stream._marked = stream._urgent = stream._forced = False

    def _beside_training(self, concurrent: bool | None) -> bool:
        """Whether this thread is another one than the training thread.

        A message handled on the training thread itself came in between two cells, and says
        nothing about whether messages arrive during a step.
        """
        if concurrent is not None:
            return concurrent
        return self._boundary_thread not in (None, threading.get_ident())

    def _force(self) -> list[Stream]:
        forced = [stream for stream in self._streams if stream._marked]
        for stream in forced:
            stream._forced, stream._gave_up = True, False
        return forced

    def _inert(self) -> bool:
        return self._closed or os.getpid() != self._pid  # a forked child must stay silent

    def _wake(self) -> None:
        if self._closed:
            return
        if not self._threaded:
            self._repost(*self._next())
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # the interpreter is shutting down: nobody will look
                self._thread, self._closed = None, True
                return
        self._condition.notify_all()

    def _repost(self, stream: Stream | None, due_s: float) -> None:
        if stream is not None and due_s < _NEVER_S and self._post and not self._posted:
            self._posted = bool(self._post(self.pump, min(due_s, 1.0)))

    def _next(self) -> tuple[Stream | None, float]:
        """The marked stream to serve next and the seconds until it may send."""
        now = self._clock()
        best: tuple[tuple[float, bool, float], Stream] | None = None
        for stream in self._streams:
            if not stream._marked:
                continue
            wait_s = self.flow.wait_s(
                stream.flow, now, urgent=stream._urgent, forced=stream._forced
            )
            wait_s = max(wait_s, stream._retry_at - now)
            if stream._forced and wait_s > _FORCED_PATIENCE_S:
                stream._forced, stream._gave_up = False, True  # flush waits for no browser
                self._condition.notify_all()
            rank = (wait_s, not stream._urgent, stream.flow.sent_at)
            if best is None or rank < best[0]:
                best = rank, stream
        return (None, _NEVER_S) if best is None else (best[1], min(best[0][0], _NEVER_S))

    def _take(self, stream: Stream) -> int:
        """Claim ``stream``: a mark from now on means another send."""
        stream._marked = stream._urgent = stream._forced = False
        stream._serving = True
        return self.flow.limit_bytes(self._clock())

    def _run(self) -> None:
        while True:
            with self._condition:
                stream, due_s = self._next()
                while not self._closed and due_s > 0:
                    idle = stream is None
                    timed_out = not self._condition.wait(min(due_s, IDLE_EXIT_S))
                    stream, due_s = self._next()
                    if timed_out and idle and stream is None:
                        break
                if self._closed or stream is None:
                    self._leave()
                    return
                limit_bytes = self._take(stream)
            try:
                self._send(stream, limit_bytes)
            except BaseException as error:  # sys.exit() in produce must not end the thread
                self._report(f"sending {stream.flow.name}", error)
            self._thread_cpu_s = time.thread_time()

    def _leave(self) -> None:
        self._past_cpu_s += time.thread_time()
        self._thread_cpu_s = 0.0
        self._thread = None
