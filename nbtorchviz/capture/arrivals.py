"""Windows that are closed, while their copies may still be on their way from the device."""

from nbtorchviz.capture.windows import Window

MOST_WAITING = 2


class Arrivals:
    """The newest few of them. Nobody ever waits: where the device lags, the oldest is dropped."""

    def __init__(self) -> None:
        self._windows: list[Window] = []

    def add(self, window: Window) -> None:
        """Let it wait."""
        self._windows.append(window)

    def clear(self) -> None:
        """Forget all."""
        self._windows.clear()

    def newest(self) -> Window | None:
        """Return the newest, arrived or not, and forget all; None when there was none."""
        window = self._windows[-1] if self._windows else None
        self._windows.clear()
        return window

    def arrived(self) -> Window | None:
        """Return the newest if all its copies are on the host, and forget all; else None."""
        if self._windows and self._windows[-1].ready:
            return self.newest()
        del self._windows[:-MOST_WAITING]
        return None

    def __bool__(self) -> bool:
        return bool(self._windows)
