"""What failed inside nbtorchviz: counted, logged once, told to the widgets, never raised."""

import logging
import threading
from collections.abc import Callable

MOST_FAULTS = 100
_log = logging.getLogger("nbtorchviz")


class Faults:
    """The failures of one session, in words.

    Args:
        tell: called as ``tell(where, message, count)`` the first time a failure is seen.
    """

    def __init__(self, tell: Callable[[str, str, int], None]) -> None:
        self.messages: list[str] = []
        """Each failure once, the first 100."""
        self._tell = tell
        self._lock = threading.RLock()

    def add(self, where: str, error: BaseException, count: int = 1) -> None:
        """Note that ``where`` failed; training goes on."""
        message = f"{where}: {type(error).__name__}: {error}"[:500]
        with self._lock:
            if message in self.messages or len(self.messages) >= MOST_FAULTS:
                return  # a message with a number in it is a new one each time
            self.messages.append(message)
        # Logged, not warned: a warning may be turned into an exception.
        _log.warning("%s (your training goes on)", message)
        self._tell(where, str(error)[:500], count)
