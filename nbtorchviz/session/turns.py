"""Long work on a copy of a model: when and on which thread its pieces run, how far it is."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic

from nbtorchviz.attribution.pieces import Pieces, T
from nbtorchviz.session.budget import Pace

if TYPE_CHECKING:
    from nbtorchviz.session.session import Session

SHARE = 0.2
"""Of the time of a training, while something that a user asked for is under way."""
SLICE_S = 0.05
"""At a boundary pieces are done until so much time is gone, at least one."""


@dataclass(eq=False, slots=True)
class _Work(Generic[T]):
    begin: Callable[[], Pieces[T]]
    ended: Callable[[T], None]
    failed: Callable[[Exception], None]
    pieces: Pieces[T] | None = None


class Turns(Generic[T]):
    """Runs one thing at a time, in pieces.

    A forward draws from the process's random streams even in eval mode in some models, and the
    guard that puts them back must not overlap a training step: so pieces run on the thread that
    trains, between two steps, for at most ``SHARE`` of the time; on the kernel's main thread where
    nothing trains.

    Args:
        session: the watched model.
        told: called after every piece, on the thread that did it.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        session: "Session",
        *,
        told: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.session = session
        self._told, self._clock = told, clock
        self._lock, self._busy = threading.Lock(), threading.Lock()
        self._work: _Work[T] | None = None
        self._worked_s = 0.0
        self.share = 0.0
        """How much of what is under way is done."""
        self._pace = Pace(SHARE, 0.0, clock=clock)

    def begin(
        self,
        begin: Callable[[], Pieces[T]],
        ended: Callable[[T], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Begin something soon, in the place of what is under way; from any thread.

        Args:
            begin: makes the pieces, where the first of them is to run.
            ended: takes the result.
            failed: takes what a piece raised.
        """
        with self._lock:
            self._work = _Work(begin, ended, failed)
            self.share = self._worked_s = 0.0
            self._pace.begin()
        self.session.recorder.hurry_jobs()

    def cancel(self) -> None:
        """Leave what is under way."""
        with self._lock:
            self._work = None

    @property
    def wanted(self) -> bool:
        """Whether a user waits for it: always, while there is something."""
        return self._work is not None

    @property
    def under_way(self) -> bool:
        """Whether there is something to do."""
        return self._work is not None

    @property
    def left_s(self) -> float | None:
        """Seconds of work left; None: not known yet."""
        if self.share < 0.05:
            return None
        return round(self._worked_s * (1 - self.share) / self.share, 1)

    def due(self) -> bool:
        """Whether pieces are to be done at this boundary."""
        if self._work is None:
            return False
        return self._pace.due() or self.session.gate.state == "paused"  # nothing else is done then

    def run(self) -> None:
        """Do pieces at a boundary, on the thread that trains."""
        began = self._clock()
        while self._piece() and self._clock() - began < SLICE_S:
            pass
        self._pace.begin()
        self._pace.spent(self._clock() - began)

    def run_when_idle(self) -> bool:
        """Do one piece on this thread if nothing trains; return whether to come back for more."""
        session = self.session
        if self._work is None or session.closed:
            return False
        if session.running or session.recorder.trains_elsewhere():
            return False
        return self._piece()

    def _piece(self) -> bool:
        """Do one piece; return whether there are more."""
        if not self._busy.acquire(blocking=False):
            return False
        try:
            work = self._work
            if work is None:
                return False
            began = self._clock()
            share, finish = 1.0, None
            try:
                if work.pieces is None:
                    work.pieces = work.begin()
                share = next(work.pieces)
            except StopIteration as ended:
                finish = partial(work.ended, ended.value)
            except Exception as error:  # the widget says it
                finish = partial(work.failed, error)
            with self._lock:
                if self._work is not work:  # cancelled, or something else was begun
                    return self._work is not None
                self.share = share
                self._worked_s += self._clock() - began
                if finish is not None:
                    finish()
                    self._work = None
        finally:
            self._busy.release()
        self._told()
        return finish is None
