"""Follow what reads parameters from the forward that arms it to the step it has read."""

import threading
import weakref
from collections.abc import Callable

from torch import nn
from torch.optim import Optimizer

from nbtorchviz.capture.boundaries import dispatcher
from nbtorchviz.capture.clipping import Clipping
from nbtorchviz.capture.parameter_norms import WeightNorms
from nbtorchviz.capture.parameters import ParameterReader
from nbtorchviz.capture.plans import CatchSink, Plan, WeightWant
from nbtorchviz.capture.steps import Steps
from nbtorchviz.capture.subject import Subject
from nbtorchviz.capture.weights import WeightReader


class Reading:
    """The parameters of the present step, when they are to be read. No exception leaves it."""

    def __init__(
        self,
        subject: Subject,
        steps: Steps,
        sink: CatchSink,
        fault: Callable[[str, BaseException], None],
    ) -> None:
        self._subject, self._steps, self._sink, self._fault = subject, steps, sink, fault
        self._clock = subject.setting.clock
        self._weight_norms = WeightNorms(self._clock)
        self._clipping = Clipping(self._clock)
        self._numbers: ParameterReader | None = None
        self._pictures: WeightReader | None = None
        self._wants: tuple[WeightWant, ...] = ()
        """What ``_pictures`` reads."""
        self._later: tuple[Plan, bool] | None = None
        """What to read once a functional call has put the parameters back in their places."""
        self._began: tuple[weakref.ref[Optimizer], int] | None = None
        """Whose step was seen to begin, on which thread, and not yet to end."""

    @property
    def busy(self) -> bool:
        """False most of the time."""
        numbers, pictures = self._numbers is not None, self._pictures is not None
        return numbers or pictures or self._later is not None

    def arm(self, root: nn.Module, plan: Plan, *, halved: bool = False) -> None:
        """Read the step that this forward belongs to; one that is being read goes on.

        Args:
            root: the model.
            plan: says what to read.
            halved: under float16 autocast a ``GradScaler`` may skip the step; only gradients that
                are read as they come tell.
        """
        if not (plan.parameters or plan.weights):
            return
        self._later = None
        if not all(isinstance(p, nn.Parameter) for p in root.parameters()):
            self._later = plan, halved
            return
        if plan.parameters and self._numbers is None:
            self._numbers = ParameterReader(
                root,
                self._steps.known,
                raw=self._clipping.look() or halved,
                whole=self._clipping.whole,
                hooks=self._subject.compiled_how is None,  # one would recompile the model
                weight_norms=self._weight_norms,
                exact=plan.exact,
                fault=self._fault,
            )
        if plan.weights and self._pictures is None:
            self._pictures = WeightReader(root, plan.weights, self._steps.seen)
            self._wants = plan.weights

    def again(self) -> None:
        """Hear that another forward belongs to the step that is being read.

        What it accumulates is written in place, as clipping writes: only a look tells them apart.
        """
        if self._numbers is not None:
            self._numbers.look()

    def drop(self) -> None:
        """Forget it, hooks and copies."""
        numbers, self._numbers, self._pictures = self._numbers, None, None
        self._later = self._began = None
        if numbers is not None:
            numbers.close()

    def before_step(self, optimizer: Optimizer, *, closure: bool) -> None:
        """Read what an optimizer of this model finds as its step begins."""
        if self._began is not None and self._began[0]() is optimizer:
            self._again()  # its last step raised
        self.check()
        self._find(optimizer, closure=closure)

    def in_closure(self, optimizer: Optimizer) -> None:
        """Read what its step found: nothing has changed the weights in it yet."""
        self._find(optimizer, closure=True)

    def check(self) -> None:
        """Notice that the step that was being read has raised, before anything else is run."""
        if self._began is not None:
            optimizer, thread = self._began
            if thread == threading.get_ident() and not dispatcher.runs(optimizer()):
                self._again()

    def after_step(self, optimizer: Optimizer) -> None:
        """Read what it changed."""
        if self._began is not None and self._began[0]() is optimizer:
            self._began = None
        try:
            if self._steps.trains(optimizer):
                for reader in (self._numbers, self._pictures):
                    if reader is not None:
                        with reader.timed(self._clock):
                            reader.after_step(optimizer)
        except Exception as error:
            self._failed(error)

    def _find(self, optimizer: Optimizer, *, closure: bool) -> None:
        try:
            if self._steps.trains(optimizer):
                self._arm_later()
                self._began = weakref.ref(optimizer), threading.get_ident()
                for reader in (self._numbers, self._pictures):
                    if reader is not None:
                        with reader.timed(self._clock):
                            reader.before_step(optimizer, closure=closure)
        except Exception as error:
            self._failed(error)

    def _arm_later(self) -> None:
        root, later = self._subject.root(), self._later
        if root is not None and later is not None:
            self.arm(root, later[0], halved=later[1])

    def _again(self) -> None:
        """Forget what was read of a step that raised, and read the next one in its place."""
        self._began = None
        root, numbers, pictures = self._subject.root(), self._numbers, self._pictures
        if root is None:
            return
        if numbers is not None and numbers.step is None:
            numbers.close()
            self._numbers = None
        if pictures is not None and pictures.step is None:
            self._pictures = None
        self.arm(
            root,
            Plan(
                parameters=numbers is not None,
                exact=numbers is not None and numbers.exact,
                weights=() if pictures is None else self._wants,
            ),
            halved=True,  # it may be; nothing tells here
        )

    def counted(self) -> None:
        """Note that the step was finished by the optimizer that counts."""
        if self._numbers is not None and self._numbers.step is None:
            self._numbers.step = self._steps.count
        if self._pictures is not None:
            self._pictures.counted(self._steps.count)

    def finish(self, *, forced: bool = False, halved: bool = False) -> bool:
        """Hand over what was read, if the step is over.

        Args:
            forced: the next forward begins: an optimizer that did not step will not any more.
            halved: the last forward ran under float16 autocast.

        Returns:
            Whether a ``GradScaler`` skipped the step.
        """
        skipped = self._finish_numbers(forced=forced, halved=halved)
        self._finish_pictures(forced=forced)
        return skipped

    def _finish_numbers(self, *, forced: bool, halved: bool) -> bool:
        reader = self._numbers
        if reader is None or not reader.ready:
            return False
        # Scaled gradients that overflowed, and no step: a GradScaler skipped it.
        skipped = reader.step is None and halved and reader.overflowed()
        over = reader.step is not None and (forced or reader.complete)
        if not (over or skipped):
            return False
        self._numbers = None
        reader.close()
        setting = self._subject.setting
        with reader.timed(self._clock):
            read = reader.develop(setting.summarise_many, setting.scale(), skipped=skipped)
        self._clipping.learn(changed=reader.changed, unknown=reader.unknown)
        step = self._steps.count if reader.step is None else reader.step
        self._sink.parameters_read(read, step, reader.cost_s)
        return skipped

    def _finish_pictures(self, *, forced: bool) -> None:
        reader = self._pictures
        if reader is None or reader.step is None or not reader.ready:
            return
        if not (forced or reader.complete):
            return
        self._pictures = None
        with reader.timed(self._clock):
            read = reader.develop(self._subject.setting.summarise)
        self._sink.weights_read(read, reader.step, reader.cost_s)

    def _failed(self, error: BaseException) -> None:
        self.drop()
        self._fault("optimizer hook", error)
