"""Model work that widgets ask for, done between two steps on the thread that trains."""

import threading
import time
from collections.abc import Callable, Hashable
from typing import Protocol


class Job(Protocol):
    """Something that runs the model."""

    @property
    def wanted(self) -> bool:
        """Whether a user waits for it."""

    def due(self) -> bool:
        """Whether it is to be done at this boundary."""

    def run(self) -> None:
        """Do it; called on the training thread, between two steps."""


class BoundaryJobs:
    """The jobs of one session, by owner.

    Args:
        spent: called with the seconds that a job took.
        fail: called as ``fail(where, error)`` with failures of ours.
    """

    def __init__(
        self,
        spent: Callable[[float], None],
        fail: Callable[[str, BaseException], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spent, self._fail, self._clock = spent, fail, clock
        self._lock = threading.Lock()
        self._jobs: dict[Hashable, Job] = {}
        self.hurried = False
        """A user waits: the jobs are to be asked at the very next boundary."""

    def add(self, owner: Hashable, job: Job) -> None:
        """Ask ``job`` at every boundary from now on, in the place of an earlier one."""
        with self._lock:
            self._jobs = {**self._jobs, owner: job}

    def drop(self, owner: Hashable) -> None:
        """Forget the job of ``owner``."""
        with self._lock:
            self._jobs = {key: job for key, job in self._jobs.items() if key != owner}

    def run(self, *, wanted: bool = False) -> float:
        """Do what is due, with ``wanted`` only if a user waits; return the seconds that it took."""
        took_s, self.hurried = 0.0, False
        for job in self._jobs.values():
            try:
                if (wanted and not job.wanted) or not job.due():
                    continue
                began = self._clock()
                try:
                    job.run()
                finally:
                    seconds = self._clock() - began
                    took_s += seconds
                    self._spent(seconds)
            except Exception as error:
                self._fail("work at a step boundary", error)
        return took_s
