"""Let the root hooks rest between samples where steps are fast, and wake them in time."""

from collections.abc import Callable
from typing import Protocol

DOZE_STEP_S = 0.003
"""Where steps are faster than this, the root hooks come off between samples."""
UNSEEN_DOZE_S = 0.5
"""How often to ask again whether a sample is due while nobody looks."""
ROUSE_S = 0.3
"""After so long without a step the root hooks are put back: an evaluation may be running."""
NEVER = float("inf")


class Tap(Protocol):
    """What is asked of the tap."""

    @property
    def dozing(self) -> bool:
        """Whether the root hooks are off."""
        ...

    @property
    def unseeing(self) -> bool:
        """Whether the root hooks are off, for now or because nobody looks."""
        ...

    def doze(self) -> bool:
        """Take them off; False when that is not possible."""
        ...

    def wake(self) -> None:
        """Put them back."""

    def coast(self, steps: int) -> None:
        """Only count the next ``steps`` steps."""

    def attend(self) -> None:
        """Hear every step again."""


class Dozer:
    """Decides at the bookkeeping some times a second; all of it on the training thread.

    Args:
        tend_s: time between two calls of ``consider``.
        due_at: returns the clock's reading at which a sample may be due next.
        seen: tells whether anybody looks.
    """

    def __init__(
        self, tend_s: float, due_at: Callable[[], float], seen: Callable[[], bool]
    ) -> None:
        self._tend_s, self._due_at, self._seen = tend_s, due_at, seen
        self.wake_at = NEVER
        """When to call ``wake``; read at every step."""

    def consider(self, tap: Tap, now: float, step_s: float, *, quiet: bool) -> None:
        """Let the hooks rest if steps are that fast.

        Args:
            tap: whose hooks.
            now: the clock's reading.
            step_s: duration of a step lately.
            quiet: nobody waits for a picture.
        """
        if not quiet or step_s >= DOZE_STEP_S:
            if tap.dozing:
                self.wake(tap)
        elif tap.doze():
            again_s = self._tend_s if self._seen() else UNSEEN_DOZE_S
            self.wake_at = max(self._due_at(), now + again_s)

    def coast(self, tap: Tap, now: float, until: float, step_s: float) -> bool:
        """Let the steps up to ``until`` be counted only, as far as nothing is due before.

        Returns:
            Whether they will be. Then see whether anybody asked for a boundary just now.
        """
        if not tap.unseeing:
            return False
        left_s = min(until, self.wake_at) - now
        tap.coast(max(0, int(left_s / max(step_s, 1e-6))))
        return True

    def wake(self, tap: Tap) -> None:
        """Put the root hooks back: the next forward may be sampled."""
        self.wake_at = NEVER
        tap.wake()

    def rouse(self, tap: Tap, idle_s: float) -> None:
        """Put them back if no step was heard for ``idle_s``, from any thread."""
        if idle_s > ROUSE_S:
            tap.attend()
            if tap.dozing:
                self.wake(tap)
