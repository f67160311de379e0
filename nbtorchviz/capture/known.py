"""What a tap knows about its model and how far training is; all of it only read."""

import weakref
from collections.abc import Callable, Iterable
from types import MethodType

from torch import nn
from torch.optim import Optimizer

from nbtorchviz.capture.course import Course
from nbtorchviz.capture.plans import Inputs
from nbtorchviz.capture.steps import Steps, Tally
from nbtorchviz.capture.subject import Subject
from nbtorchviz.events import LayerInfo


def held_unless(model: nn.Module | None, criterion: nn.Module) -> Callable[[], nn.Module | None]:
    """Return what gives the criterion, held weakly, as the model is, where it holds the model."""
    for module in criterion.modules():
        for value in (module, *vars(module).values()):
            parts: Iterable[object] = (value,)
            if isinstance(value, dict):
                parts = value.values()
            elif isinstance(value, list | tuple):
                parts = value
            elif isinstance(value, MethodType):
                parts = (value.__self__,)
            if any(part is model for part in parts):
                return weakref.ref(criterion)
    return lambda: criterion


class Known:
    """The read-only half of a ``ModelTap``, which sets the four attributes."""

    _subject: Subject
    _steps: Steps
    _course: Course
    _criterion: Callable[[], nn.Module | None] | None

    @property
    def model(self) -> nn.Module | None:
        """The user's module without wrappers; None when it was garbage-collected."""
        return self._subject.root()

    @property
    def entry(self) -> nn.Module | None:
        """Where root hooks belong; None: the model is gone or hides its forwards."""
        return self._subject.entry

    @property
    def gone(self) -> bool:
        """True when the model no longer exists."""
        return self._subject.root() is None

    @property
    def model_name(self) -> str:
        """Class name of the user's module."""
        return self._subject.name

    @property
    def parameters(self) -> int:
        """How many numbers the parameters hold; lazy ones count from their first forward."""
        return self._subject.parameters

    @property
    def layers(self) -> tuple[LayerInfo, ...]:
        """``input`` first; ``named_modules`` order until surveyed, then the order of calls."""
        return self._subject.layers

    @property
    def frozen(self) -> frozenset[str]:
        """Layers with parameters of their own, none of which is learned. Walks the whole model."""
        root, tree = self._subject.root(), self._subject.setting.tree
        if root is None:
            return frozenset()
        modules = dict(root.named_modules(remove_duplicate=False))
        return frozenset(
            name
            for name, entry in tree.entries.items()
            if (module := modules.get(entry.raw)) is not None
            and (own := tuple(module.parameters(recurse=False)))
            and not any(parameter.requires_grad for parameter in own)
        )

    @property
    def outdated(self) -> bool:
        """Whether the user added, removed or exchanged layers since ``layers`` was made."""
        root = self._subject.root()
        return root is not None and self._subject.setting.tree.outdated(root)

    @property
    def compiled_how(self) -> str | None:
        """How the model is compiled and what is shown instead, for the chip; None: it is not."""
        return self._subject.compiled_how

    @property
    def step(self) -> int:
        """Finished steps of the optimizer that counts."""
        return self._steps.count

    @property
    def forward(self) -> int:
        """Root forwards seen while looking; the first is 1."""
        return self._course.forward

    @property
    def micro(self) -> int:
        """Which root forward within the step, from 0."""
        return self._course.micro

    @property
    def tally(self) -> Tally:
        """Counts the finished steps, for one who asks very often."""
        return self._steps.tally

    def place(self) -> tuple[int, int]:
        """Return ``forward`` and ``micro`` at once."""
        return self._course.forward, self._course.micro

    @property
    def looking(self) -> bool:
        """Whether root forwards are to be noticed, by hooks that may rest between samples."""
        return self._course.looking

    @property
    def closed(self) -> bool:
        """True after ``close()``."""
        return self._course.closed

    @property
    def criterion(self) -> nn.Module | None:
        """The loss module whose targets are the labels, where one was given."""
        return None if self._criterion is None else self._criterion()

    @property
    def optimizers(self) -> list[Optimizer]:
        """Those that were named, or the one that was found to train the model."""
        return self._steps.known

    @property
    def strangers(self) -> bool:
        """Whether optimizers were named and none of them owns a parameter of the model."""
        return self._steps.strangers

    @property
    def optimizer_lost(self) -> bool:
        """Whether optimizers were named and none of them exists any more."""
        return self._steps.lost

    @property
    def learning_rate(self) -> float | None:
        """Of the optimizer whose steps are counted; None when not known."""
        return self._steps.learning_rate

    @property
    def largest_rate(self) -> float | None:
        """The largest learning rate of all groups of the known optimizers; None when not known."""
        return self._steps.largest_rate

    def find(self, key: str) -> str:
        """Return the canonical key of a layer given by any of its names.

        Raises:
            LayerNotFoundError: no such layer; the message lists the nearest names.
        """
        return self._subject.setting.tree.find(key, [info.key for info in self.layers])

    def last_batch(self) -> Inputs | None:
        """Return a clone of the input sample of the last window; None when there is none."""
        return self._course.last

    @property
    def unseeing(self) -> bool:
        """Whether no root hook is on: nobody looks, or they rest."""
        return self._course.unseeing

    @property
    def dozing(self) -> bool:
        """Whether root forwards go unnoticed although somebody looks."""
        return self._course.dozing
