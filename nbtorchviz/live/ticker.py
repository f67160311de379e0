"""One slow clock for all widgets: ages and silences are noticed although nothing happens."""

import logging
import threading
from collections.abc import Callable

TICK_S = 0.5

_log = logging.getLogger("nbtorchviz")


class Ticker:
    """Calls every callback twice a second, on a daemon thread that lives while there are any.

    Args:
        period_s: time between two ticks.
    """

    def __init__(self, period_s: float = TICK_S) -> None:
        self._period_s = period_s
        self._condition = threading.Condition()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._next_key = 0
        self._thread: threading.Thread | None = None

    def add(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` from now on; the returned function stops that."""
        with self._condition:
            key = self._next_key = self._next_key + 1
            self._callbacks[key] = callback
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, name="nbtorchviz-ticker", daemon=True
                )
                self._thread.start()

        def cancel() -> None:
            with self._condition:
                self._callbacks.pop(key, None)
                self._condition.notify_all()

        return cancel

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait(self._period_s)
                if not self._callbacks:
                    self._thread = None
                    return
                callbacks = tuple(self._callbacks.values())
            for callback in callbacks:
                try:
                    callback()
                except Exception:
                    _log.exception("a tick of nbtorchviz failed")


ticker = Ticker()
"""The process-wide clock."""
