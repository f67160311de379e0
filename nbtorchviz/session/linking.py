"""What the open widgets of one session point at together: a layer, a step, a sample."""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

LINKED = ("layer", "step", "sample")
"""``step`` None: the newest. ``layer`` may be the full name of a parameter."""
HELD_S = 1.0
"""So long after a user's move a widget follows nobody but another move of a user."""

Follow = Callable[[dict[str, Any]], None]


class Linking:
    """Passes on what one widget points at; the others show it as far as they can.

    Who follows tells nobody, so nothing goes round in circles. A widget that a user moves just now
    keeps what it was moved to, whatever code selects meanwhile.

    Args:
        fail: called as ``fail(where, error)`` when a widget cannot follow.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        fail: Callable[[str, BaseException], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fail, self._clock = fail, clock
        self._lock = threading.RLock()
        self._members: dict[int, Follow] = {}
        self._moved_at: dict[tuple[int, str], float] = {}

    def join(self, owner: int, follow: Follow) -> None:
        """Call ``follow(moved)`` with what others point at, on their thread; so: briefly."""
        with self._lock:
            self._members = {**self._members, owner: follow}

    def leave(self, owner: int) -> None:
        """Let ``owner`` follow no more."""
        with self._lock:
            self._members = {key: it for key, it in self._members.items() if key != owner}
            self._moved_at = {key: at for key, at in self._moved_at.items() if key[0] != owner}

    def tell(self, owner: int, moved: Mapping[str, Any], *, by_user: bool = True) -> None:
        """Take every widget but ``owner`` to what it points at now.

        Args:
            owner: the widget that was moved; 0 for nobody.
            moved: some of ``LINKED``.
            by_user: whether a user moved it, not code.
        """
        moved = {name: moved[name] for name in LINKED if name in moved}
        now = self._clock()
        with self._lock:
            members = self._members
            if by_user:
                self._moved_at |= {(owner, name): now for name in moved}
        for other, follow in members.items():
            free = {
                name: value
                for name, value in moved.items()
                if by_user or now - self._moved_at.get((other, name), -HELD_S) >= HELD_S
            }
            if other == owner or not free:
                continue
            try:
                follow(free)
            except Exception as error:
                self._fail("a linked widget", error)


def layer_of(name: str, layers: Collection[str]) -> str:
    """Return the layer that ``name``, a layer or one of its parameters, means; ``""``: none."""
    owner = name.rpartition(".")[0]
    return name if name in layers else owner if owner in layers else ""
