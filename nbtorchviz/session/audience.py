"""Who looks at a session's widgets, and whether they can take another picture."""

import threading
from collections.abc import Callable
from typing import Protocol


class Presence(Protocol):
    """What is asked of one widget's presence."""

    ever: bool

    @property
    def displayed_once(self) -> bool:
        """Whether the widget was put into a cell's output or a view of it has spoken."""
        ...

    def vanished(self) -> bool:
        """Whether a view stopped speaking without leaving."""

    def any_visible(self, *, hearing: bool = True) -> bool:
        """Whether somebody sees the widget."""

    def any_open(self, *, hearing: bool = True) -> bool:
        """Whether a view of the widget exists, on screen or hidden."""


class Audience:
    """The widgets of one session.

    Args:
        hearing: whether messages from browsers reach Python now; while they do not, a displayed
            widget counts as seen.
        on_first: called when the first widget opens.
        on_last: called when the last widget closes.
    """

    def __init__(
        self,
        *,
        hearing: Callable[[], bool],
        on_first: Callable[[], None],
        on_last: Callable[[], None],
    ) -> None:
        self._hearing, self._on_first, self._on_last = hearing, on_first, on_last
        self._shut = False
        # Held while calling back: a widget that opens while another closes must find hooks.
        self._lock = threading.RLock()
        self._members: dict[int, tuple[Presence, Callable[[], bool]]] = {}

    def join(self, owner: int, presence: Presence, ready: Callable[[], bool]) -> None:
        """Count widget ``owner``; ``ready()`` says whether its last picture has been taken in."""
        with self._lock:
            first = not self._members
            self._members[owner] = (presence, ready)
            if first and not self._shut:
                self._on_first()

    def leave(self, owner: int) -> None:
        """Stop counting widget ``owner``."""
        with self._lock:
            known = self._members.pop(owner, None)
            if known is not None and not self._members:
                self._on_last()

    def shut(self) -> None:
        """Let nobody look any more: the session closes."""
        with self._lock:
            self._shut = True
            self._on_last()

    def __len__(self) -> int:
        return len(self._members)

    def seen(self) -> bool:
        """Whether anyone sees a widget."""
        hearing = self._hearing()
        return any(p.any_visible(hearing=hearing) for p, _ in tuple(self._members.values()))

    def open(self) -> bool:
        """Whether any widget is displayed, as far as can be known."""
        hearing = self._hearing()
        return any(p.any_open(hearing=hearing) for p, _ in tuple(self._members.values()))

    def ready(self) -> bool:
        """Whether some widget has no picture under way, so that a new one is worth taking."""
        return any(ready() for _, ready in tuple(self._members.values()))

    def displayed(self) -> bool:
        """Whether any widget was ever put on a page."""
        return any(p.displayed_once for p, _ in tuple(self._members.values()))

    def vanished(self) -> bool:
        """Whether a view stopped speaking without leaving, such as a page that was reloaded."""
        return any(p.vanished() for p, _ in tuple(self._members.values()))

    def ever(self) -> bool:
        """Whether any widget was ever seen by a browser."""
        return any(p.ever for p, _ in tuple(self._members.values()))
