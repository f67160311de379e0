"""The pause gate: pause, single steps and stop, honoured by the training thread between steps."""

import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Protocol

from nbtorchviz.arguments import whole
from nbtorchviz.errors import RunRefusedError, StopTraining

_log = logging.getLogger("nbtorchviz")

WAIT_S = 0.1
"""A wait this short lets KeyboardInterrupt through on every platform."""


class Watch(Protocol):
    """Says whether somebody could end a pause."""

    def why_nobody(self, held_s: float) -> str:
        """Why nobody could end a pause that has held for ``held_s``; ``""``: somebody may."""

    def held_itself(self) -> None:
        """Note that the thread which asked for a pause is held by it."""


class _Somebody:
    """Where no watch is given, somebody is there."""

    def why_nobody(self, held_s: float) -> str:
        return ""

    def held_itself(self) -> None:
        pass


class PauseGate:
    """Holds the training thread at a step boundary for as long as the user wants.

    A pause is asked for by name (``pause``, ``step``), or by a condition (``hold``). The second
    kind is let go again where nobody could end it.

    Args:
        refuse: asked before ``"pause"``, ``"step"`` and ``"stop"``; a sentence says why not, ``""``
            agrees. A pause whose resume could never arrive has to be refused here.
        watch: asked before ``hold`` and while that holds whether somebody could end it.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        refuse: Callable[[str], str] = lambda action: "",
        *,
        watch: Watch | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._refuse, self._watch, self._clock = refuse, watch or _Somebody(), clock
        self._condition = threading.Condition()
        self._closed = False
        self._stopping = False
        self._waiting = False
        self._steps = 0
        self._by_condition = False
        self._asked_on: int | None = None
        """The thread that asked for the pause by name."""
        self._let_go: Callable[[str], object] = lambda reason: None
        self._listeners: tuple[Callable[[str], None], ...] = ()
        self._meanwhile: Callable[[], object] = lambda: None

    @property
    def state(self) -> str:
        """``"running"``, ``"pausing"`` (asked for), ``"paused"`` (held) or ``"stopping"``."""
        if self._stopping:
            return "stopping"
        if self._waiting:
            return "paused"
        return "pausing" if self._closed and not self._steps else "running"

    @property
    def free(self) -> bool:
        """Whether a boundary has nothing to wait for: no pause, single step or stop was asked."""
        return not (self._closed or self._stopping)

    def listen(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call ``callback(state)`` after changes, on the thread that made them.

        Returns:
            A function that stops that.
        """
        self._listeners = (*self._listeners, callback)

        def cancel() -> None:
            self._listeners = tuple(known for known in self._listeners if known is not callback)

        return cancel

    def do_meanwhile(self, work: Callable[[], object]) -> None:
        """Call ``work`` now and then on the training thread while it is held; see ``wake``."""
        self._meanwhile = work

    def when_let_go(self, callback: Callable[[str], object]) -> None:
        """Call ``callback(reason)`` on the training thread when a hold that nobody ends is over."""
        self._let_go = callback

    def wake(self) -> None:
        """Let a held thread do its work now; from any thread."""
        if self._waiting:
            with self._condition:
                self._condition.notify_all()

    def refusal(self, action: str) -> str:
        """Why ``"pause"``, ``"step"`` or ``"stop"`` is not possible now; ``""`` when it is."""
        if action != "stop" and _in_process_group():
            return (
                "This process belongs to a torch.distributed group: while one rank pauses, the "
                "others wait in their next collective until it times out."
            )
        return self._refuse(action)

    def pause(self) -> None:
        """Hold training at the next boundary.

        Raises:
            RunRefusedError: pausing is not possible now; the message says why.
        """
        self._ask("pause")
        with self._condition:
            self._closed, self._steps, self._by_condition = True, 0, False
            self._asked_on = threading.get_ident()
        self._tell()

    def hold(self) -> None:
        """Hold training at the next boundary because a condition asks for it.

        Raises:
            RunRefusedError: pausing is not possible now, or nobody could end the pause; the
                message says why.
        """
        self._ask("pause")
        if reason := self._watch.why_nobody(0.0):
            raise RunRefusedError(reason)
        with self._condition:
            # A pause or a step that somebody asked for by name stays theirs.
            self._by_condition = self._by_condition or not self._closed
            self._closed, self._steps = True, 0
        self._tell()

    def resume(self) -> None:
        """Let training go on."""
        with self._condition:
            self._closed, self._steps, self._by_condition = False, 0, False
            self._condition.notify_all()
        self._tell()

    def step(self, n: int = 1) -> None:
        """Let ``n`` more steps finish, then hold.

        Raises:
            RunRefusedError: pausing is not possible now; the message says why.
            TypeError, ValueError: ``n`` is no whole number from 1 on.
        """
        n = whole("n", n, least=1)
        self._ask("step")
        with self._condition:
            # A thread that is not held is inside a step already, which is the first of the n.
            self._closed, self._steps = True, n if self._waiting else n - 1
            self._by_condition, self._asked_on = False, threading.get_ident()
            self._condition.notify_all()
        self._tell()

    def stop(self) -> None:
        """End training at the next boundary by raising ``StopTraining`` in it.

        Raises:
            RunRefusedError: nothing can be stopped now; the message says why.
        """
        self._ask("stop")
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        self._tell()

    def forget_stop(self) -> None:
        """Forget a stop that nothing obeyed: what was to end has ended by itself."""
        if self._stopping:
            with self._condition:
                self._stopping = False
            self._tell()

    def reset(self) -> None:
        """Forget every request: a run begins or has ended."""
        with self._condition:
            changed = self._closed or self._stopping
            self._closed = self._stopping = self._by_condition = False
            self._steps = 0
            self._condition.notify_all()
        if changed:
            self._tell()

    def at_boundary(self) -> None:
        """Wait here while paused. Called by the training thread when a step has finished.

        Raises:
            StopTraining: the user asked for it.
        """
        if not (self._closed or self._stopping):  # the usual case takes no lock
            return
        try:
            self._hold()
        except BaseException:  # the loop ends: the next one must not begin paused or stopped
            self.reset()
            raise

    def _hold(self) -> None:
        held, since_s = False, self._clock()
        try:
            while True:
                with self._condition:
                    if self._stopping:
                        raise StopTraining("stopped by the user")
                    if not self._closed:
                        return
                    if self._steps:
                        self._steps -= 1
                        return
                    if held:
                        self._condition.wait(WAIT_S)
                    self._waiting = True
                if not held:
                    held = True
                    self._tell()  # without the lock: a listener may ask for anything
                    if not self._by_condition and self._asked_on == threading.get_ident():
                        self._watch.held_itself()
                self._meanwhile()
                self._open_if_nobody(self._clock() - since_s)
        finally:
            self._waiting = False
            if held:
                self._tell()

    def _open_if_nobody(self, held_s: float) -> None:
        if not (self._by_condition and (reason := self._watch.why_nobody(held_s))):
            return
        with self._condition:
            if not self._by_condition:  # somebody asked for something just now
                return
            self._closed, self._steps, self._by_condition = False, 0, False
        self._let_go(reason)

    def _ask(self, action: str) -> None:
        if reason := self.refusal(action):
            raise RunRefusedError(reason)

    def _tell(self) -> None:
        state = self.state
        for callback in self._listeners:
            try:
                callback(state)
            except Exception:  # the training thread may be the caller
                _log.exception("showing that training is %s failed", state)


def _in_process_group() -> bool:
    """Whether torch.distributed is in use, without loading it."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available():
        return False
    return bool(distributed.is_initialized())
