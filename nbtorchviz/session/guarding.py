"""The part of a ``Session`` that asks where NaN and infinite values come from."""

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

from nbtorchviz.bus import EventBus
from nbtorchviz.capture.tap import ModelTap
from nbtorchviz.live.gate import PauseGate
from nbtorchviz.nonfinite import NonFiniteReport
from nbtorchviz.session.budget import Budget
from nbtorchviz.session.line import Line
from nbtorchviz.session.metrics import MetricHistory
from nbtorchviz.session.nonfinite import NonFiniteWatch
from nbtorchviz.session.recorder import Recorder
from nbtorchviz.session.scalar_log import ScalarLog


class Guarding:
    """Watches for the first NaN or infinite value."""

    bus: EventBus
    budget: Budget
    gate: PauseGate
    line: Line
    metrics: MetricHistory
    recorder: Recorder
    tap: ModelTap
    run_active: bool
    _scalars: ScalarLog

    def _begin_guarding(self, clock: Callable[[], float]) -> None:
        self._nonfinite = NonFiniteWatch(
            self.bus,
            lambda: self.tap,
            hold=self.gate,
            asked=self.line.attendance.asked,
            boundary=lambda: self.recorder.hold(),
            runs=lambda: self.run_active,
            flag=partial(self.metrics.flag, kind="finding"),
            position=self._common,
            fail=self.fault,
            cost=self.budget.spent,
            clock=clock,
        )

    @property
    def first_nonfinite(self) -> NonFiniteReport | None:
        """Where the first NaN or infinite value came from; None: none was seen."""
        return self._nonfinite.report

    def on_nonfinite(self, action: str | None, *, every_step: bool = False) -> None:
        """Trace the next NaN or infinite value to the operation that made it, then act.

        The batch of a guarded step is kept until its gradients have been looked at. When a
        gradient, the output or the loss is not finite, the batch is run once more on a copy of the
        model, operation by operation: ``session.first_nonfinite`` and the event
        ``NonFiniteFound`` name step, direction, layer and call, function, what it was given, and
        the line of your code. Model, optimizer, gradients and random streams stay as they are.
        It is told once; call this again to look for the next.

        Without this call the first one is told as well, but only the layer in which sampled
        statistics showed it.

        Args:
            action: ``"stop"`` ends a background run or a ``live()`` block cleanly and pauses a
                plain loop, which goes on, with a warning, where nobody could resume it (a script,
                a notebook that nbclient runs); ``"raise"`` raises ``NonFiniteError`` out of
                ``optimizer.step()``; ``"tell"`` lets training go on; None looks no more.
            every_step: guard every step, not only some a second: what happens in one step is then
                found in that step. That takes about 0.25 ms and one pass over the gradients:
                1.36x of a step of 0.7 ms, lost in the noise (1.00x and 1.01x) of steps of 120 and
                280 ms, on one loaded CPU core; ``python -m benchmarks nonfinite``.

        Raises:
            ValueError: no such action.
            ModelGoneError: the model was garbage-collected.
            RunRefusedError: ``model.compile()`` hides the forwards of this model.
        """
        self._must_be_open()
        self._nonfinite.arm(action, every_step=every_step)
        armed = action is not None
        self._scalars.sound(self._nonfinite.logged if armed else None)
        if armed:
            self._hold_fully()

    @abstractmethod
    def fault(self, where: str, error: BaseException, count: int = 1) -> None:
        """Count a failure of ours."""

    @abstractmethod
    def _common(self) -> dict[str, Any]: ...

    @abstractmethod
    def _must_be_open(self) -> None: ...

    @abstractmethod
    def _hold_fully(self) -> None: ...
