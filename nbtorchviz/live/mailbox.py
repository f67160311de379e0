"""The mailbox: what the user asked for last, posted by any thread, read at a step boundary."""

import threading
from collections.abc import Callable


class Mailbox:
    """Keeps the newest value of every name until somebody takes them.

    Widget callbacks run on the main thread or on a subshell's thread while training runs on
    another; they only post here. A slider dragged over thirty positions leaves one value.
    """

    def __init__(self) -> None:
        self.version = 0
        """Grows with every post. Read it without the lock to see whether taking is worth while."""
        self._lock = threading.RLock()
        self._values: dict[str, object] = {}
        self._wake: tuple[Callable[[], None], ...] = ()

    def post(self, name: str, value: object) -> None:
        """Replace what waits under ``name``, then call the wake callbacks on this thread."""
        with self._lock:
            self._values[name] = value
            self.version += 1
            wake = self._wake
        for callback in wake:  # outside the lock: a callback may take()
            callback()

    def take(self) -> dict[str, object]:
        """Return everything that waits, in the order of first posting, and forget it."""
        if not self._values:
            return {}
        with self._lock:
            values, self._values = self._values, {}
        return values

    def wake(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` after every post; the returned function stops that."""
        with self._lock:
            self._wake = (*self._wake, callback)

        def cancel() -> None:
            with self._lock:
                self._wake = tuple(known for known in self._wake if known is not callback)

        return cancel
