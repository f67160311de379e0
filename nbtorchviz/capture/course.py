"""Follow the course of training: root forwards, steps, and the windows between them."""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from nbtorchviz.capture.arrivals import Arrivals
from nbtorchviz.capture.blindness import Blindness
from nbtorchviz.capture.boundaries import dispatcher
from nbtorchviz.capture.coasting import Coasting
from nbtorchviz.capture.compiled import eager
from nbtorchviz.capture.failures import calls_itself, error_in
from nbtorchviz.capture.hooks import in_backward
from nbtorchviz.capture.plans import Boundary, Catch, CatchSink, Inputs, Plan, PlanSource
from nbtorchviz.capture.reading import Reading
from nbtorchviz.capture.steps import Steps
from nbtorchviz.capture.subject import Subject
from nbtorchviz.capture.twin import run_twin
from nbtorchviz.capture.windows import Window, half_autocast
from nbtorchviz.errors import NonFiniteError


class Course(Coasting):
    """Hears the root hooks and the optimizer hook; opens, closes and develops windows.

    Runs on the training thread. No exception of ours leaves it; what the sink raises on purpose
    (``StopTraining``, ``NonFiniteError``, ``KeyboardInterrupt``) does.
    """

    def __init__(
        self,
        subject: Subject,
        source: PlanSource,
        sink: CatchSink,
        steps: Steps,
        fault: Callable[[str, BaseException], None],
    ) -> None:
        super().__init__(steps)
        self.forward = self.micro = 0
        self.last: Inputs | None = None
        self._subject, self._source, self._sink = subject, source, sink
        self._fault, self._clock = fault, subject.setting.clock
        self._stance = ExitStack()
        """Holds something while a sampled forward of a compiled model runs eagerly."""
        self._window: Window | None = None
        self._inside, self._deeper = False, 0
        """How many calls of the root by itself run inside its forward."""
        self._reading = Reading(subject, steps, sink, fault)
        self._waiting = Arrivals()
        self._twin: tuple[Inputs | None, Plan] | None = None
        self._late = self._steps_in_backward = False
        """A step was in a backward: the next root forward is its boundary."""
        self._blindness = Blindness(subject)
        self._seen_forward, self._cost_s = 0, 0.0
        self._alone = False
        """Whether the end of the present root forward is a boundary."""

    def stop(self) -> None:
        """Forget everything; nothing is caught any more."""
        self.closed = True
        self.attend()
        self.drop()
        self._stance.close()
        self._waiting.clear()

    def rest(self) -> None:
        """Forget a window, unless its forward is running on another thread just now."""
        self.looking = self.dozing = False
        self.attend()
        if not self._inside:
            self.drop()

    def drop(self) -> None:
        """Forget what is being caught."""
        window, self._window, self._twin = self._window, None, None
        self._inside = False
        if window is not None:
            window.close()
        self._reading.drop()

    # Called by the root hooks

    def root_began(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Open a window if one is due."""
        # In a backward the whole model is checkpointed: no second forward.
        if self.closed or in_backward() or module.__dict__.get("_is_replica", False):
            return
        sampling = self._window is not None or self._reading.busy
        if self._subject.setting.strangers.began(inside=self._inside, sampling=sampling):
            return
        if self._inside and calls_itself(module, sys._getframe(1)):
            self._deeper += 1
            return
        if self._late:
            self._late = False
            self._boundary("step")
        began = self._clock()
        try:
            if self._reading.busy:
                halved = self._window is not None and self._window.scaled
                if self._reading.finish(forced=True, halved=halved):
                    self._finish()  # this forward is of another step, not a micro-batch more
                    self._steps.skipped()
                self._reading.check()
            self._began(module, args, kwargs)
        except Exception as error:
            self.drop()
            self._stance.close()
            self._fault("root hook", error)
        self._cost_s += self._clock() - began

    def _began(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._deeper = 0
        if self._inside:  # the last forward was interrupted
            self.drop()
        self._stance.close()
        grad = torch.is_grad_enabled()
        phase = "train" if grad and module.training else "eval"
        self.forward += 1
        self.micro = self._steps.silent if grad else 0
        self._steps.forwards += 1
        self._steps.silent += grad
        if self.micro and self._reading.busy:
            self._reading.again()
        alone = self._alone = self._steps.by_forward(grad=grad)
        if alone:
            self._finish()
            if self._steps.stepless:
                self._reading.drop()
        wanted = self._source.wanted_phase()
        matched = wanted in ("any", phase)
        self._sink.forward_began(phase, matched)
        self._inside = True
        due = matched and self._window is None and self._twin is None
        if not due or (phase == "train" and self.micro and not alone and self._steps.count):
            return
        plan = self._source.next_plan(phase)
        root = self._subject.root()
        if plan is not None and root is not None and torch._C._get_tracing_state() is None:
            self._open(root, plan, phase, args, kwargs)

    def _open(
        self,
        root: nn.Module,
        plan: Plan,
        phase: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        subject = self._subject
        if subject.needs_eager:
            self._stance.enter_context(eager(needed=True))
        window = subject.open(
            Plan() if subject.needs_twin else plan,
            phase=phase,
            forward=self.forward,
            micro=self.micro,
            source="batch",
        )
        self._window = window
        if phase == "train" and not (self._alone and self._steps.stepless):
            self._reading.arm(root, plan, halved=half_autocast())
            dispatcher.announce()
            if (optimizer := dispatcher.inside) is not None:
                self._reading.in_closure(optimizer)
        window.verdict.sample = plan.wants[0].sample if plan.wants else 0
        window.enter(root, args, kwargs)
        self.last = window.inputs or self.last
        if subject.needs_twin and (plan.wants or plan.survey):
            self._twin = (window.inputs, plan)

    def root_ended(self, module: nn.Module, output: object) -> None:
        """Take the hooks off the layers; also called when the forward raised."""
        if self._subject.setting.strangers.ended() or self.closed or not self._inside:
            return
        if self._deeper:
            self._deeper -= 1
            return
        began = self._clock()
        error = error_in(sys._getframe(2))
        self._inside = False
        self._stance.close()
        if error is not None or self._window is not None:
            try:
                if error is not None:
                    self.failed(error)
                elif self._window is not None and self._window.forward == self.forward:
                    self._window.leave(output)
            except Exception as fault:
                self.drop()
                self._fault("root hook", fault)
        self._cost_s += self._clock() - began
        if not self.looking:
            self.drop()
        if error is None and self._completes():
            (self._boundary if self._caught or self.reading else self._passed)("forward")

    def failed(self, error: BaseException) -> None:
        """Report that the user's forward raised ``error``."""
        window = self._window
        self.drop()
        place = {"step": self._steps.count, "forward": self.forward, "micro": self.micro}
        if (failure := self._subject.explain(error, window, **place)) is not None:
            self._sink.forward_failed(failure)

    def _completes(self) -> bool:
        """Tell whether the end of this root forward is a boundary."""
        window = self._window  # an eval forward has no backward to wait for
        seen = window is not None and window.phase == "eval" and window.forward == self.forward
        return self._alone or seen

    def criterion_began(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Read the labels of the batch."""
        window = self._window
        if window is None or window.forward != self.forward:
            return
        try:
            window.verdict.labelled(args[1] if len(args) > 1 else kwargs.get("target"))
        except Exception as error:
            self._fault("labels", error)

    # Boundaries

    def can_doze(self) -> bool:
        """Whether nothing would be missed if root forwards went unnoticed until the next sample."""
        busy = self._caught or self.reading or self.dozing or self._steps_in_backward
        return self.looking and not busy

    @property
    def _caught(self) -> bool:
        return self._window is not None or self._twin is not None or bool(self._waiting)

    @property
    def reading(self) -> bool:
        """Whether the optimizers' steps are to be read."""
        return self._reading.busy

    def optimizer_steps(self, optimizer: Optimizer, *, closure: bool) -> None:
        """Read gradients and weights before a step (called by the process-wide hook)."""
        if not self.closed:
            self._subject.setting.find_scaler()
            self._reading.before_step(optimizer, closure=closure)

    def optimizer_stepped(self, optimizer: Optimizer) -> None:
        """Complete a step if it is this model's (called by the process-wide hook)."""
        if self._coasting and self._coasts_over(optimizer):
            return
        reads = self._reading.busy
        if reads:
            self._reading.after_step(optimizer)
        try:
            if self.closed:
                return
            counts = self._steps.matches(optimizer)
        except Exception as error:
            self._fault("optimizer hook", error)
            return
        if not counts:
            if reads and not in_backward():
                self._completed()
            return
        if in_backward():
            self._late = self._steps_in_backward = True
            return
        seen = self.forward != self._seen_forward or self.dozing or not self.looking
        if self._caught or reads or not seen:
            self._boundary("step")
            return
        self._seen_forward = self.forward
        self._passed("step")

    def _passed(self, kind: str) -> None:  # most boundaries end here
        cost_s, self._cost_s = self._cost_s, 0.0
        try:
            self._sink.step_passed(cost_s, kind)
        except NonFiniteError:  # asked for, as StopTraining is
            raise
        except Exception as error:
            self._fault("step_passed", error)

    def _completed(self) -> None:
        """Hand over a step that waited only for an optimizer beside the one that counts."""
        began = self._clock()
        try:
            self._reading.finish()
        except Exception as error:
            self.drop()
            self._fault("optimizer hook", error)
        self._cost_s += self._clock() - began
        if not self._reading.busy:
            self._sink.step_completed()

    def _boundary(self, kind: str) -> None:
        began = self._clock()
        catch = None
        try:
            if kind == "step":
                self._subject.setting.find_scaler()
            if self._reading.busy:
                if kind == "step":
                    self._reading.counted()
                self._reading.finish()
            self._watch_blindness(kind)
            catch = self._take()
        except Exception as error:
            self.drop()
            self._waiting.clear()
            self._fault("boundary", error)
        cost, self._cost_s = self._cost_s + self._clock() - began, 0.0
        boundary = Boundary(self._steps.count, self.forward, self.micro, kind, catch, cost)
        try:
            self._sink.at_boundary(boundary)
        except NonFiniteError:
            raise
        except Exception as error:
            self._fault("at_boundary", error)

    def _take(self) -> Catch | None:
        """Develop the newest window whose copies have all arrived on the host."""
        window, twin = self._window, self._twin
        # Without an optimizer the backward of this forward is still to come.
        early = window is not None and self._steps.silent and window.wants_gradient
        if not (early and window is not None and window.forward == self.forward):
            self._finish()
        if twin is not None:
            self._twin = None
            return run_twin(self._subject, *twin, self._waiting.newest(), self._steps.count)
        window = self._waiting.arrived()
        return None if window is None else self._subject.develop(window, self._steps.count)

    def _finish(self) -> None:
        window, self._window = self._window, None
        if window is not None:
            window.close()
            self._waiting.add(window)

    def _watch_blindness(self, kind: str) -> None:
        if not self.looking or kind != "step":
            return
        unseen, self._seen_forward = self.forward == self._seen_forward, self.forward
        if self._blindness.stepped(self._window, unseen=unseen) and not self.dozing:
            plan, root = self._source.next_plan("train"), self._subject.root()
            if plan is not None and root is not None:  # parameters tell without a forward
                self._reading.arm(root, plan)
                dispatcher.announce()
