"""The runs of a session: a loop in a cell, marked or not, and a background run."""

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Self

from nbtorchviz.bus import EventBus
from nbtorchviz.capture.tap import ModelTap
from nbtorchviz.errors import RunRefusedError
from nbtorchviz.events import RunEnded, RunStarted
from nbtorchviz.live.background import BackgroundRun
from nbtorchviz.live.gate import PauseGate
from nbtorchviz.live.live_context import LiveContext
from nbtorchviz.live.sender import Sender
from nbtorchviz.session.diagnosis import Diagnosis
from nbtorchviz.session.metrics import MetricHistory
from nbtorchviz.session.scalar_log import ScalarLog


class Runs:
    """The part of a ``Session`` that knows of runs."""

    bus: EventBus
    gate: PauseGate
    metrics: MetricHistory
    sender: Sender
    tap: ModelTap
    closed: bool
    diagnosis: Diagnosis
    _scalars: ScalarLog
    run: BackgroundRun | None = None
    """The background run, also after it ended."""
    ended: str | None = None
    """How the last run ended, once it did."""
    run_active = False
    """Whether a run that was started on purpose goes on (background, or ``live()``)."""

    @property
    def running(self) -> bool:
        """Whether a background run has not ended yet."""
        return self.run is not None and self.run.running

    def live(self) -> AbstractContextManager[Self]:
        """Return a context for a plain loop: Stop ends it cleanly, Pause is honoured."""
        self._must_be_open()
        return LiveContext(self)

    def train_in_background(self, fn: Callable[[], Any]) -> BackgroundRun:
        """Run ``fn()`` on a thread of its own, so that the notebook stays free.

        Returns:
            The run: ``pause() resume() step(n) stop() join() exception``.

        Raises:
            RunRefusedError: a run of this session has not ended yet.
            TypeError: ``fn`` cannot be called without arguments.
        """
        self._must_be_open()
        if self.running:
            raise RunRefusedError(
                "A background run of this model has not ended. "
                "Wait for it with session.run.join() or end it with session.run.stop()."
            )
        return BackgroundRun(fn, self, owned=self._own)

    def _own(self, run: BackgroundRun) -> None:
        self.run = run

    def run_began(self, name: str = "") -> None:
        """Note that a run was started on purpose (background, or ``live()``)."""
        self.ended, self.run_active = None, True
        self.sender.run_began()
        self.bus.publish(RunStarted(run=self.metrics.current_run, name=name, **self._common()))

    def explain(self, error: BaseException) -> None:
        """Show which layer raised ``error``, if a forward of the model did; never raises."""
        try:
            self.tap.explain(error)
        except Exception as fault:
            self.fault("explaining a failed forward", fault)

    def run_ended(self, how: str = "finished", error: BaseException | None = None) -> None:
        """Note that a run ended: "finished", "stopped", "failed" or "interrupted"."""
        if error is not None and how == "failed":
            self.explain(error)
        self.ended, self.run_active = how, False
        self._scalars.settle()
        self.diagnosis.settle()
        self.sender.run_ended()
        self.bus.publish(RunEnded(run=self.metrics.current_run, how=how, **self._common()))
        if self.closed:
            self._close_rest()

    @abstractmethod
    def fault(self, where: str, error: BaseException, count: int = 1) -> None:
        """Count a failure of ours."""

    @abstractmethod
    def _common(self) -> dict[str, Any]: ...

    @abstractmethod
    def _must_be_open(self) -> None: ...

    @abstractmethod
    def _close_rest(self) -> None: ...
