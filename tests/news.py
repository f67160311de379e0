"""Wait in a test until another thread has brought something about."""

import threading
from collections.abc import Callable

PATIENCE_S = 60


class News:
    """Told by any thread that something happened; a test waits until what it wants is true."""

    def __init__(self) -> None:
        self._told = threading.Condition()

    def tell(self, *_: object) -> None:
        """Let those who wait look again; takes whatever a callback is given."""
        with self._told:
            self._told.notify_all()

    def until(self, true: Callable[[], object]) -> None:
        """Return when ``true()`` holds; it is asked at each piece of news."""
        with self._told:
            assert self._told.wait_for(true, PATIENCE_S), "never true"
