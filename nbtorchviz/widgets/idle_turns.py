"""Work in pieces on the kernel's main thread, so that it hears of other things in between."""

import threading
from collections.abc import Callable

from nbtorchviz.live.host import kernel_loop_call


class IdleTurns:
    """Posts pieces of work to the kernel's loop, one at a time.

    Args:
        piece: does one piece, if nothing trains; returns whether there are more.
    """

    def __init__(self, piece: Callable[[], bool]) -> None:
        self._piece = piece
        self._posted, self._lock = False, threading.Lock()

    def keep_going(self) -> None:
        """See to it that a piece is done when the kernel is idle; from any thread."""
        with self._lock:
            if self._posted:
                return
            self._posted = True  # before it is: the loop may run it before the call returns
        if not kernel_loop_call(self._go_on):
            self._posted = False

    def _go_on(self) -> None:
        self._posted = False
        if self._piece():
            self.keep_going()
