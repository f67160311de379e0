"""Attendance: could anybody end a pause? A training that nobody can resume must not be held."""

import logging
import threading
from collections.abc import Callable
from functools import partial

from nbtorchviz.live.host import HostFacts
from nbtorchviz.live.line import LineFacts

PATIENCE_S = 30.0
"""A widget that is on its way to a browser, on a slow line too, has spoken by then."""
SCRIPT = (
    "No notebook is attached, so nobody could end a pause "
    "(pause_when(..., unattended=True) holds all the same)."
)
NO_FRONT_END = (
    "No front end has answered in this kernel, so nobody could end a pause. In a notebook, display "
    "TrainingControls(session) in a cell before the one that trains."
)
NO_WIDGET = (
    "This session has no widget, so nobody could end a pause. "
    "Display TrainingControls(session) in a cell before the one that trains."
)
NO_ANSWER = (
    f"No widget has answered for {PATIENCE_S:.0f} s, so nobody could end the pause. "
    "Display TrainingControls(session) in a cell before the one that trains."
)
DEAF = (
    f"This host has read no control for {PATIENCE_S:.0f} s; it does so when the cell ends, so "
    "nobody could end the pause. To pause while training: session.train_in_background(fn)"
)
HELD_ITSELF = (
    "The thread that trains has paused itself, and no front end has answered that could resume it. "
    "TrainingControls(session).resume() from another thread does."
)

_log = logging.getLogger("nbtorchviz")


class Attendance:
    """Judges, by what was heard from browsers, whether somebody could resume a held training.

    Once any view of the session has spoken, somebody is there for good: a page that is hidden,
    asleep or reconnecting comes back. Before, a host that is known to have a front end is given
    time; a script, or a kernel that nbclient or papermill drives, is not.

    Args:
        host: this kernel.
        line: what was heard.
        background: whether a background run goes on; cells can be run beside it.
        widgets: how many widgets the session has.
    """

    def __init__(
        self,
        host: HostFacts,
        line: LineFacts,
        *,
        background: Callable[[], bool],
        widgets: Callable[[], int],
    ) -> None:
        self._host, self._line = host, line
        self._background, self._widgets = background, widgets
        self._said: set[str] = set()
        self._waited = False
        """Whether a pause was in vain once; another is not, before a word has come."""
        self.not_held = ""
        """Why training was not held when a condition asked for it last; empty when it was."""

    def why_nobody(self, held_s: float) -> str:
        """Say why nobody could end a pause; ``""`` where somebody may. On the training thread.

        Args:
            held_s: how long training has been held; 0 asks before.
        """
        flow, waited = self._line.flow, self._waited or held_s >= PATIENCE_S
        if flow.ever_heard:
            deaf = waited and not flow.heard_during_run and self._blocks()
            self._waited = self._waited or deaf
            return DEAF if deaf else ""
        if not self._host.front_end:
            return NO_FRONT_END if self._host.kernel else SCRIPT
        if self._background() or not _on_main_thread():
            return ""  # a cell can be run beside it
        if not self._widgets():
            return NO_WIDGET
        self._waited = waited
        return NO_ANSWER if waited else ""

    def held_itself(self) -> None:
        """Note that the training thread paused itself: where nobody was heard, that is said."""
        if not self._line.flow.ever_heard and not self._host.front_end:
            self._say("held itself", HELD_ITSELF)

    def asked(self, not_held: str) -> None:
        """Note how the last hold went: ``""``, or in words why training goes on; that is said."""
        self.not_held = not_held
        if not_held:
            self._say("not held", not_held)

    def _say(self, about: str, text: str) -> None:
        """Print ``text`` as a warning to stderr, once about each thing; the rest is in widgets."""
        if about not in self._said:
            self._said.add(about)
            warn = partial(_log.warning, "nbtorchviz: %s", text)
            if not self._background():
                warn()
                return
            thread = threading.Thread(target=warn)  # what a run's own thread says goes to run.log
            thread.start()
            thread.join()

    def _blocks(self) -> bool:
        """Whether a loop held here keeps every message out of this kernel."""
        deaf = self._host.kernel and not self._host.subshells
        return deaf and _on_main_thread() and not self._background()


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
