"""The log area of a background run: its prints and progress bars, bounded, on a page of its own."""

import io
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TextIO, cast

MAX_LINES = 500
MAX_LINE_CHARS = 1000


class RunLog(io.TextIOBase):
    """A text stream that keeps its last lines. A carriage return starts the line again.

    Args:
        on_change: called after every write, on the writing thread.
    """

    encoding = "utf-8"

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._on_change = on_change
        self._lock = threading.Lock()
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self._line = ""
        self._restart = False
        self.unshown_changes = 0
        """Times that ``on_change`` raised."""

    @property
    def text(self) -> str:
        """What is kept, newest line last."""
        with self._lock:
            return "\n".join([*self._lines, self._line])

    def writable(self) -> bool:
        """Say that prints are welcome."""
        return True

    def write(self, text: str) -> int:
        """Keep ``text``; progress bars overwrite their line as in a terminal."""
        with self._lock:
            for part in text.replace("\r\n", "\n").splitlines(keepends=True):
                self._add(part)
        try:
            self._on_change()
        except Exception:  # the caller is a print in the user's loop
            self.unshown_changes += 1
        return len(text)

    def _add(self, part: str) -> None:
        content = part.rstrip("\r\n")
        if content and self._restart:
            self._line, self._restart = "", False
        self._line = (self._line + content)[:MAX_LINE_CHARS]
        if part.endswith("\n"):
            self._lines.append(self._line)
            self._line, self._restart = "", False
        elif part.endswith("\r"):
            self._restart = True


class _Router:
    """Stands in for ``sys.stdout`` or ``sys.stderr``: chosen threads write elsewhere.

    Everything is looked up on the stream of the calling thread, so that what IPython or tqdm ask
    of the real stream keeps working. Left behind in somebody's hands it is a plain alias.
    """

    def __init__(self, original: TextIO) -> None:
        self.__dict__["_original"] = original
        self.__dict__["_by_thread"] = {}

    def __getattr__(self, name: str) -> Any:
        stream = self._by_thread.get(threading.get_ident(), self._original)
        return getattr(stream, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._original, name, value)


_installing = threading.Lock()
_routers: deque[_Router] = deque(maxlen=32)
"""Those made last, one for each original. ``print`` borrows ``sys.stdout`` while it writes: were a
router freed as a run ends, a print of another thread would go on with freed memory."""


def _router_of(stream: TextIO) -> _Router:
    for router in _routers:
        if router._original is stream:
            return router
    _routers.append(router := _Router(stream))
    return router


class diverted_output:  # noqa: N801 - reads like contextlib.redirect_stdout
    """Send what the present thread prints to ``log``; other threads notice nothing."""

    def __init__(self, log: RunLog) -> None:
        self._log = log
        self._routers: dict[str, _Router] = {}

    def __enter__(self) -> None:
        with _installing:
            for name in ("stdout", "stderr"):
                stream = getattr(sys, name)
                if not isinstance(stream, _Router):
                    stream = _router_of(stream)
                    setattr(sys, name, cast("TextIO", stream))
                stream._by_thread[threading.get_ident()] = self._log
                self._routers[name] = stream

    def __exit__(self, *exc_info: object) -> None:
        with _installing:
            for name, router in self._routers.items():
                router._by_thread.pop(threading.get_ident(), None)
                # Somebody's own redirection may lie on top by now; then the alias stays below it.
                if not router._by_thread and getattr(sys, name) is router:
                    setattr(sys, name, router._original)
