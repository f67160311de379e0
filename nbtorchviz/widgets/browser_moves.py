"""What all views of an ActivationBrowser are told of the selection, and of each other's moves."""

import threading
from collections.abc import Sequence
from typing import Any

from nbtorchviz.events import LayerInfo
from nbtorchviz.session import Session
from nbtorchviz.widgets.browser_choice import Choice
from nbtorchviz.widgets.browser_state import layer_rows, size_bytes

VIEWS = 8
"""So many views that moved something last are told which of their moves were heard."""
_SELECTION_BYTES = 1000

Rows = list[dict[str, Any]]


class Moves:
    """The ``selection`` and ``layers`` traits: a revision, and the moves that are in it."""

    def __init__(self) -> None:
        self._revision = 1
        self._heard: dict[str, int] = {}
        self._listed: Sequence[LayerInfo] = ()
        self._lock = threading.RLock()

    def of_python(self) -> None:
        """Python selected something: every view takes it over."""
        with self._lock:
            self._revision += 1

    def of_view(self, view: str, count: int) -> None:
        """A view moved something: all views follow, and it is told which of its moves are in.

        A view that has moved on since then leaves it aside: its newer move is on the way.

        Args:
            view: its own name.
            count: how many moves it has made.
        """
        with self._lock:
            self._heard.pop(view, None)
            self._heard[view] = count
            while len(self._heard) > VIEWS:  # each reload of the page makes a new name
                del self._heard[next(iter(self._heard))]
            self._revision += 1

    def selection(self, choice: Choice) -> dict[str, Any]:
        """Return the ``selection`` trait."""
        with self._lock:  # before reading the choice: a move that was heard is in it
            revision, heard = self._revision, dict(self._heard)
        return choice.pick.as_trait(revision) | {"heard": heard}

    def rows(self, session: Session, before: Rows) -> tuple[Rows, int]:
        """Return the ``layers`` trait and the bytes that a message of both has.

        Args:
            session: whose layers are listed.
            before: the rows that the views have; returned as they are while nothing changed.
        """
        infos = session.layer_infos
        if infos is self._listed:
            return before, _SELECTION_BYTES
        self._listed, rows = infos, layer_rows(infos)
        return rows, _SELECTION_BYTES + size_bytes(rows)
