"""Follow one ``ParameterReader`` from the forward that arms it to the step it has read."""

from collections.abc import Callable

from torch import nn
from torch.optim import Optimizer

from nbtorchviz.capture.boundaries import Steps
from nbtorchviz.capture.parameters import ParameterReader, WeightNorms
from nbtorchviz.capture.plans import CatchSink
from nbtorchviz.capture.subject import Subject


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
        self._weight_norms = WeightNorms()
        self.reader: ParameterReader | None = None
        """None most of the time."""

    def arm(self, root: nn.Module) -> None:
        """Read the step that this forward belongs to; one that is being read goes on."""
        if self.reader is None:
            raw = self._subject.compiled_how is None  # a hook on a parameter would recompile it
            self.reader = ParameterReader(
                root, self._steps.known, raw=raw, weight_norms=self._weight_norms
            )

    def drop(self) -> None:
        """Forget it, hooks and copies."""
        reader, self.reader = self.reader, None
        if reader is not None:
            reader.close()

    def before_step(self, optimizer: Optimizer, *, closure: bool) -> None:
        """Read what an optimizer of this model finds."""
        reader = self.reader
        try:
            if reader is not None and self._steps.trains(optimizer):
                with reader.timed(self._clock):
                    reader.before_step(optimizer, closure=closure)
        except Exception as error:
            self._failed(error)

    def after_step(self, optimizer: Optimizer) -> None:
        """Read what it changed."""
        reader = self.reader
        try:
            if reader is not None and self._steps.trains(optimizer):
                with reader.timed(self._clock):
                    reader.after_step(optimizer)
        except Exception as error:
            self._failed(error)

    def counted(self) -> None:
        """Note that the step was finished by the optimizer that counts."""
        if self.reader is not None and self.reader.step is None:
            self.reader.step = self._steps.count

    def finish(self, *, forced: bool = False, halved: bool = False) -> None:
        """Hand over what was read, if the step is over.

        Args:
            forced: the next forward begins: an optimizer that did not step will not any more.
            halved: the last forward ran under float16 autocast.
        """
        reader = self.reader
        if reader is None or not reader.ready:
            return
        # Scaled gradients that overflowed, and no step: a GradScaler skipped it.
        skipped = reader.step is None and halved and reader.overflowed()
        over = reader.step is not None and (forced or reader.complete)
        if not (over or skipped):
            return
        self.drop()
        setting = self._subject.setting
        with reader.timed(self._clock):
            read = reader.develop(setting.summarise_many, setting.scale(), skipped=skipped)
        step = self._steps.count if reader.step is None else reader.step
        self._sink.parameters_read(read, step, reader.cost_s)

    def _failed(self, error: BaseException) -> None:
        self.drop()
        self._fault("optimizer hook", error)
