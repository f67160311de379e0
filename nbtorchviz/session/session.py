"""Session: one watched model, as users and widgets see it. ``watch(model)`` makes it."""

import itertools
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pkgutil import resolve_name
from typing import Any

from torch import nn
from torch.optim import Optimizer

from nbtorchviz.analysis.layouts import infer_layout
from nbtorchviz.analysis.many_statistics import summarise_many
from nbtorchviz.analysis.root_batch import root_batch_size
from nbtorchviz.analysis.statistics import summarise
from nbtorchviz.bus import EventBus
from nbtorchviz.capture.permission import ask
from nbtorchviz.capture.tap import ModelTap, unwrap
from nbtorchviz.errors import CLOSED, SessionClosedError
from nbtorchviz.events import FaultRaised, LayerInfo, OverheadMeasured
from nbtorchviz.session.axes import checked_layout
from nbtorchviz.session.budget import Budget
from nbtorchviz.session.diagnostics import Diagnostics
from nbtorchviz.session.faults import Faults
from nbtorchviz.session.line import Line
from nbtorchviz.session.linking import Linking
from nbtorchviz.session.metrics import MetricHistory
from nbtorchviz.session.pins import Pins
from nbtorchviz.session.publishing import eval_step_event
from nbtorchviz.session.rate_watch import RateWatch
from nbtorchviz.session.recorder import Recorder
from nbtorchviz.session.runs import Runs
from nbtorchviz.session.scalar_log import ScalarLog

CLOSE_PATIENCE_S = 5.0
"""How long ``close()`` waits for a background run to reach its next boundary."""
OVERHEAD_S = 1.0
"""How often the measured cost is published."""
_DISPLAY = "nbtorchviz.widgets.cockpit:Cockpit"
_ids = itertools.count(1)


class Session(Runs, Diagnostics, Pins):
    """Everything about one watched model, held weakly.

    Methods may be called from any thread, except ``probe``, which runs the model and so belongs
    to the thread that trains it.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Sequence[Optimizer] = (),
        *,
        criterion: nn.Module | None = None,
        labels: object = None,
        class_names: Sequence[str] | None = None,
        budget: float = 0.02,
        every: int | None = None,
        layout: Mapping[str, Sequence[str]] | None = None,
        compiled: str = "eager_twin",
        metrics: MetricHistory | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = next(_ids)
        self.labels = labels
        self.class_names = None if class_names is None else tuple(map(str, class_names))
        self.budget = Budget(budget, clock=clock)
        self.bus = EventBus(threaded=True, on_fault=self.fault)
        """Subscribe to any event of ``nbtorchviz.events``."""
        self.metrics = metrics or MetricHistory()
        self.line = Line(
            self.fault,
            background=lambda: self.running,
            on_first=lambda: self.tap.look(),
            on_last=self._rest_if_idle,
        )
        self.gate, self.sender = self.line.gate, self.line.sender
        self.audience = self.line.audience
        self._faults = Faults(self._tell_fault)
        self.linking = Linking(self.fault, clock)
        """What the open widgets point at together."""
        self.last_layer = ""
        """Key of the layer that a user chose last; a widget that is made anew begins there."""
        self.closed = False
        self._clock = clock
        self._layout: dict[str, tuple[str, ...]] = {}
        self._rate = RateWatch(self.metrics)
        self._sender_cpu_s = 0.0
        self._overhead_at = clock()
        self.recorder = Recorder(
            self.bus,
            self.budget,
            self.audience,
            every=every,
            fail=self.fault,
            tend=self._tend,
            hold=self.gate.at_boundary,
            wake=self.gate.wake,
            held=lambda: not self.gate.free,
            clock=clock,
        )
        self.tap = self.recorder.tap = ModelTap(
            model,
            self.recorder,
            self.recorder,
            optimizers=optimizers,
            criterion=criterion,
            compiled=compiled,
            infer_layout=infer_layout,
            summarise=summarise,
            summarise_many=summarise_many,
            root_batch=root_batch_size,
            clock=clock,
        )
        self.gate.listen(lambda state: self.tap.attend())
        self.gate.do_meanwhile(self.recorder.while_held)
        ask(unwrap(model), self.may_run_model)
        self._scalars = ScalarLog(self.metrics, self.bus, self.tap.tally, self.tap.place, clock)
        self._begin_diagnosis(clock)
        if layout is not None:
            self.set_layout(layout)
        if every is not None:
            self.tap.look()

    @property
    def model(self) -> nn.Module | None:
        """The watched model, or None once it is gone."""
        return self.tap.model

    @property
    def model_name(self) -> str:
        """Class name of the watched model."""
        return self.tap.model_name

    @property
    def step(self) -> int:
        """Optimizer steps finished."""
        return self.tap.step

    @property
    def layers(self) -> tuple[str, ...]:
        """Keys of all layers; ``named_modules`` order until the first forward, then execution."""
        return tuple(info.key for info in self.tap.layers)

    @property
    def layer_infos(self) -> tuple[LayerInfo, ...]:
        """The same with types, shapes and nesting."""
        return self.tap.layers

    @property
    def overhead(self) -> OverheadMeasured:
        """What watching costs, over the last 10 seconds."""
        parts = self.budget.parts()
        return OverheadMeasured(
            share=sum(parts.values()),
            parts=parts,
            samples_per_s=self.budget.samples_per_s(),
            **self._common(),
        )

    @property
    def faults(self) -> list[str]:
        """What failed inside nbtorchviz, in words; training went on each time."""
        return self._faults.messages

    @property
    def epoch(self) -> float | None:
        """The last epoch that was logged."""
        return self._scalars.epoch

    @property
    def runs(self) -> tuple[Any, ...]:
        """The training runs so far, the current one last."""
        return self.metrics.runs

    @property
    def elapsed_s(self) -> float:
        """Seconds since the session began."""
        return self._clock() - self.recorder.began

    def log(
        self,
        step: int | None = None,
        *,
        phase: str | None = None,
        epoch: float | None = None,
        **metrics: object,
    ) -> None:
        """Record numbers, such as ``session.log(loss=loss)``.

        Args:
            step: x position; by default the optimizer steps finished so far.
            phase: ``"eval"``, also written ``"val"``, ``"valid"`` or ``"validation"``, pairs a
                metric with the training metric of the same name. A test set needs names of its
                own: ``test_loss``.
            epoch: kept beside the step, fractions allowed.
            metrics: numbers or 0-d tensors; those on another device are cloned now and read at a
                later step, without waiting. A call without any warns, or of a closed session.

        Raises:
            TypeError, ValueError: a value is not one number, or the phase another word.
        """
        if self.closed:  # the loop goes on, as without us; a run ends as stopped
            if not self.run_active:
                warnings.warn(f"log() recorded nothing. {CLOSED}", stacklevel=2)
            return
        self._scalars.log(step, phase, epoch, metrics)

    def flush(self, timeout_s: float = 5.0) -> None:
        """Wait until all that was captured has reached every handler and slot."""
        self._scalars.settle()
        self.diagnosis.settle()
        self.bus.flush(timeout_s)
        self.sender.flush(timeout_s)

    def close(self) -> None:
        """Remove every hook, stop every thread and forget every picture. Safe to call twice.

        A background run is stopped at its next boundary; that is waited for, some seconds long.
        """
        if self.closed:
            return
        self.closed = True
        self.audience.shut()
        run = self.run
        if run is not None and run.running:
            run.stop()
            deadline = time.monotonic() + CLOSE_PATIENCE_S
            while run.running and not self.recorder.trains_here and time.monotonic() < deadline:
                time.sleep(0.01)
            if run.running:
                return  # its end closes the rest: only a boundary can stop it
        self._close_rest()

    def _close_rest(self) -> None:
        self._nonfinite.close()
        self.tap.close()
        self.gate.reset()  # a loop that is held must not wait for a session that is gone
        self.sender.tell_last()
        self.sender.close()
        self.bus.close()
        self.recorder.unpin()
        for frames in self.recorder.kept.values():
            frames.clear()

    def change(
        self,
        *,
        model: nn.Module,
        optimizers: Sequence[Optimizer] = (),
        criterion: nn.Module | None = None,
        labels: object = None,
        class_names: Sequence[str] | None = None,
        budget: float | None = None,
        every: int | None = None,
        layout: Mapping[str, Sequence[str]] | None = None,
        compiled: str | None = None,
    ) -> None:
        """Change what a later ``watch`` of the same model passed; None leaves as it is."""
        if model is not self.model:
            self.tap.adopt(model)
        if optimizers:
            self.tap.watch_optimizer(optimizers)
        if criterion is not None:
            self.tap.set_criterion(criterion)
        if layout is not None:
            self.set_layout(layout)
        if labels is not None:
            self.labels = labels
        if class_names is not None:
            self.class_names = tuple(map(str, class_names))
        if budget is not None:
            self.budget.share = Budget(budget).share
        if every is not None:
            self.recorder.every = every
            self.tap.look()
        if compiled is not None:
            self.tap.set_compiled(compiled)

    def set_layout(self, layout: Mapping[str, Sequence[str]]) -> None:
        """Name the axes of these layers; those of other layers stay.

        Raises:
            LayerNotFoundError: no such layer.
            ValueError: axes that are not accepted; the message says which are.
        """
        self._layout |= checked_layout(layout, self.tap.find)
        self.tap.set_layout(self._layout)

    def fault(self, where: str, error: BaseException, count: int = 1) -> None:
        """Count a failure of ours and show it; never raises."""
        self._faults.add(where, error, count)

    def looked_at(self, owner: int) -> None:
        """Note that somebody sees widget ``owner`` again and waits for a fresh picture."""
        self.recorder.looks.hurry(owner)
        self.recorder.recording.hurry(owner)

    def tick(self) -> None:
        """Note that time passes; widgets call it twice a second."""
        self.recorder.rouse()

    def __reduce__(self) -> Any:
        raise TypeError(
            "A nbtorchviz Session cannot be pickled or copied; save the model and watch it again."
        )

    def __repr__(self) -> str:
        state = "closed" if self.closed else "model gone" if self.tap.gone else f"step {self.step}"
        return f"<Session of {self.model_name}, {state}>"

    def _ipython_display_(self) -> None:
        resolve_name(_DISPLAY)(self)._ipython_display_()

    def _tend(self) -> None:
        """Keep the books, on the training thread, some times a second."""
        now = self._clock()
        self._flight.tend()
        self.budget.spent("findings", self._clock() - now)
        if now - self._overhead_at >= OVERHEAD_S:
            self._overhead_at = now
            cpu_s = self.sender.cpu_s
            self.budget.spent("sender", max(0.0, cpu_s - self._sender_cpu_s))
            self._sender_cpu_s = cpu_s
            self.budget.spent("log", self._scalars.take_cost_s())
            self._rate.look(self.tap.learning_rate, self.step)
            self.diagnosis.tend()
            if self.recorder.learns_in_eval():
                self._know_model()
                self.bus.publish(eval_step_event(**self._common()))
            if self.bus.wants(OverheadMeasured):
                self.bus.publish(self.overhead)
        self.sender.boundary()

    def _common(self) -> dict[str, Any]:
        return {
            "step": self.tap.step,
            "forward": self.tap.forward,
            "micro": self.tap.micro,
            "elapsed_s": self.elapsed_s,
        }

    def _must_be_open(self) -> None:
        if self.closed:
            raise SessionClosedError(CLOSED)

    def _tell_fault(self, where: str, message: str, count: int) -> None:
        self.bus.publish(FaultRaised(where=where, message=message, count=count))
