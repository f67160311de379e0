"""The line between a session and its browsers: host, sender, audience, pause gate, mode."""

from collections.abc import Callable

from nbtorchviz.live.gate import PauseGate
from nbtorchviz.live.host import detect, kernel_loop_call
from nbtorchviz.live.mode import ModeFacts, ModeReport, no_view_text, observe, report
from nbtorchviz.live.sender import Sender
from nbtorchviz.session.attendance import Attendance
from nbtorchviz.session.audience import Audience


def _nothing() -> None:
    pass


class Line:
    """What a session needs to reach its widgets' views, and to be reached by them.

    Args:
        fail: called as ``fail(where, error)`` with failures of ours.
        background: whether a background run goes on.
        on_first: called when the first widget opens.
        on_last: called when the last widget closes.
    """

    def __init__(
        self,
        fail: Callable[[str, BaseException], None],
        *,
        background: Callable[[], bool] = lambda: False,
        on_first: Callable[[], None] = _nothing,
        on_last: Callable[[], None] = _nothing,
    ) -> None:
        self.host = detect()
        self.sender = Sender(
            on_fault=fail,
            threaded=not self.host.drops_thread_updates,
            post=kernel_loop_call,
            wired=self.host.kernel,
        )
        self.audience = Audience(
            hearing=lambda: self.sender.hearing, on_first=on_first, on_last=on_last
        )
        self.attendance = Attendance(
            self.host, self.sender, background=background, widgets=lambda: len(self.audience)
        )
        self.gate = PauseGate(self._why_not, watch=self.attendance)
        self._background = background
        self._was_live = False

    def mode(self) -> ModeReport:
        """Return what controls can do while training runs, as observed, and why."""
        found = report(self.host, self._facts())
        self._was_live = self._was_live or found.mode == "live"
        return found

    def why_no_view(self) -> str:
        """Say why a displayed widget may not have appeared, with what fixes it."""
        return no_view_text(self.host, self._facts())

    def control(self, action: str) -> None:
        """Do what a button says: "pause", "resume", "step" or "stop", at the next boundary."""
        {
            "pause": self.gate.pause,
            "resume": self.gate.resume,
            "step": lambda: self.gate.step(1),
            "stop": self.gate.stop,
        }[action]()

    def _facts(self) -> ModeFacts:
        return observe(
            self.sender,
            background=self._background(),
            view_open=self.audience.open(),
            was_live=self._was_live,
        )

    def _why_not(self, action: str) -> str:
        mode = self.mode()
        if mode.mode == "one-way" and action != "stop":
            return f"A pause could not be ended: {mode.reason}"
        return ""
