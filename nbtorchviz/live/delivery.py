"""Make the content of one stream and hand it to the browser; what fails slows that stream alone."""

import threading
import time
from collections.abc import Callable

from nbtorchviz.live.flow import Flow
from nbtorchviz.live.line import LineFacts
from nbtorchviz.live.pacing import MAX_FRAME_BYTES
from nbtorchviz.live.streams import Stream


class Delivery(LineFacts):
    """The half of a ``Sender`` that runs without its lock.

    Args:
        flow: what is on its way.
        clock: seconds, monotonic.
        on_fault: called with (where, exception).
    """

    def __init__(
        self,
        flow: Flow,
        clock: Callable[[], float],
        on_fault: Callable[[str, BaseException], None],
    ) -> None:
        super().__init__(flow, clock)
        self._condition = threading.Condition(threading.RLock())
        self._on_fault = on_fault
        self.unreported_faults = 0
        """Times that ``on_fault`` itself raised."""

    def _send(self, stream: Stream, limit_bytes: int) -> None:
        """Produce and deliver without the lock; both may be slow."""
        what = f"making {stream.flow.name}"
        payload = None
        began_s = time.thread_time()
        try:
            payload = stream._produce(limit_bytes)
            if payload is None:
                stream.flow.sent_at = self._clock()  # asking has its rate too
            else:
                if payload.size_bytes > MAX_FRAME_BYTES:
                    raise ValueError(
                        f"{stream.flow.name} has {payload.size_bytes} bytes; "
                        f"at most {MAX_FRAME_BYTES} may be sent at once"
                    )
                with self._condition:  # before delivery, so that a quick ack finds its entry
                    self.flow.sent(stream.flow, payload.seq, payload.size_bytes, self._clock())
                what = f"sending {stream.flow.name}"
                stream._deliver(payload)
            stream.slow_down(time.thread_time() - began_s)
            stream.faults_in_a_row = 0
        except Exception as error:
            stream.faults_in_a_row += 1
            if payload is not None:
                with self._condition:
                    self.flow.revoke(stream.flow, payload.seq)
            stream._retry_at = self._clock() + min(0.5 * 2**stream.faults_in_a_row, 60.0)
            self._report(what, error)
        finally:
            with self._condition:
                stream._serving = False
                self._condition.notify_all()

    def _report(self, where: str, error: BaseException) -> None:
        try:
            self._on_fault(where, error)
        except Exception:
            self.unreported_faults += 1
