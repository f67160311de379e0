"""The facade of capture: one ``ModelTap`` per watched model."""

import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import NoReturn

from torch import nn
from torch.optim import Optimizer

from nbtorchviz.capture.boundaries import dispatcher
from nbtorchviz.capture.compiled import check_choice
from nbtorchviz.capture.course import Course
from nbtorchviz.capture.failures import raised_in
from nbtorchviz.capture.hooks import CriterionPreHook, RootPostHook, RootPreHook
from nbtorchviz.capture.known import Known, held_unless
from nbtorchviz.capture.layers import Tree, unwrap
from nbtorchviz.capture.plans import (
    Boundary,
    Catch,
    CatchSink,
    Caught,
    ForwardFailure,
    Inputs,
    Plan,
    PlanSource,
    Summarise,
    Want,
)
from nbtorchviz.capture.report import Reporter, Scaler
from nbtorchviz.capture.shapes import BatchLike, LayoutBook, LayoutLike
from nbtorchviz.capture.spreads import SummariseMany
from nbtorchviz.capture.steps import Steps
from nbtorchviz.capture.subject import Subject
from nbtorchviz.capture.windows import Setting

__all__ = [
    "Boundary",
    "Catch",
    "CatchSink",
    "Caught",
    "ForwardFailure",
    "Inputs",
    "ModelTap",
    "Plan",
    "PlanSource",
    "Want",
    "unwrap",
]


class ModelTap(Known):
    """Reads what chosen layers of one model put out, while the user's own loop trains it.

    The model is held weakly and nothing is stored on it. Between ``look()`` and ``rest()`` two
    hooks sit on the root module; during a window more sit on the planned layers. Everything but
    ``look``, ``rest`` and ``close`` happens on the training thread.

    Args:
        model: the module, or a DDP, DataParallel or compiled wrapper of it.
        source: asked for a plan at each matching root forward.
        sink: hears of boundaries, failures and faults.
        optimizers: the steps of the first one are counted; none: the first seen to own parameters.
        criterion: loss module whose targets are the labels; a function cannot be watched.
        layout: axes per layer name, overriding what is inferred.
        compiled: ``"eager_twin"`` or ``"force_eager"``.
        infer_layout: ``analysis.layouts.infer_layout``.
        summarise: ``analysis.statistics.summarise``.
        summarise_many: ``analysis.many_statistics.summarise_many``.
        root_batch: ``analysis.root_batch.root_batch_size``; None: axis 0 of the first input tensor.
        clock: seconds, monotonic; measures what hooks and boundaries cost.
    """

    def __init__(
        self,
        model: nn.Module,
        source: PlanSource,
        sink: CatchSink,
        *,
        optimizers: Iterable[Optimizer] = (),
        criterion: object = None,
        layout: Mapping[str, Sequence[str]] | None = None,
        compiled: str = "eager_twin",
        infer_layout: Callable[..., LayoutLike],
        summarise: Summarise,
        summarise_many: SummariseMany,
        root_batch: Callable[..., BatchLike] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_choice(compiled)
        report = Reporter(sink)
        self._scaler = Scaler()
        book = LayoutBook(infer_layout, root_batch, layout)
        scale, find = self._scaler.scale, self._scaler.find

        def setting(root: nn.Module) -> Setting:
            return Setting(Tree(root), book, summarise, summarise_many, report, scale, find, clock)

        self._subject = Subject(model, setting, compiled)
        self._steps = Steps(self._subject.root, optimizers)
        self._course = Course(self._subject, source, sink, self._steps, report)
        self._criterion: Callable[[], nn.Module | None] | None = None
        self._hooks = ExitStack()
        self._hooking = threading.RLock()
        self.set_criterion(criterion)
        self._finalizer = weakref.finalize(self, self._hooks.close)
        dispatcher.join(self._course)

    # What may change

    def adopt(self, model: nn.Module) -> None:
        """Take another form of the same model: wrapped, compiled or bare."""
        self._subject.adopt(model)
        self._look_again()

    def set_compiled(self, compiled: str) -> None:
        """Change how a compiled model is looked into.

        Raises:
            ValueError: not a way, or this torch lacks it.
        """
        check_choice(compiled)
        self._subject.choose(compiled)
        self._look_again()

    def watch_optimizer(self, optimizers: Iterable[Optimizer]) -> None:
        """Count the steps of the first of these."""
        self._steps.give(optimizers)
        self._course.attend()
        dispatcher.tell_all()  # steps of these may be counted for another model only

    def set_criterion(self, criterion: object) -> None:
        """Read labels from this loss module; anything but a module is left alone."""
        self._criterion = None
        if isinstance(criterion, nn.Module):
            self._criterion = held_unless(self.model, criterion)
        self._look_again()

    def set_layout(self, layout: Mapping[str, Sequence[str]] | None) -> None:
        """Replace the axes given per layer name."""
        self._subject.setting.book.override(layout)

    # Looking

    def look(self) -> None:
        """Install the two root hooks (and the criterion's). Idempotent."""
        course = self._course
        if course.looking or course.closed or self.gone:
            return
        course.looking = True
        course.attend()
        with self._hooking:
            self._hook()

    def _hook(self) -> None:
        course = self._course
        entry = self._subject.entry
        if entry is not None:
            pre = entry.register_forward_pre_hook(RootPreHook(course), with_kwargs=True)
            post = entry.register_forward_hook(RootPostHook(course), always_call=True)
            self._hooks.callback(pre.remove)
            self._hooks.callback(post.remove)
        criterion = self.criterion
        if criterion is not None:
            label = criterion.register_forward_pre_hook(CriterionPreHook(course), with_kwargs=True)
            self._hooks.callback(label.remove)

    def rest(self) -> None:
        """Remove every hook from the model; step counting goes on. Idempotent."""
        with self._hooking:
            self._hooks.close()
            self._course.rest()

    def doze(self) -> bool:
        """Take the root hooks off until ``wake()``; call at a boundary only.

        Returns:
            False when they were off already, or have to stay.

        Where a step takes less than a millisecond, what torch itself does to call two empty root
        hooks is 1.3 % of it (measured: 10 us). Steps go on being heard.
        """
        course = self._course
        with self._hooking:
            plain = self.compiled_how is None and self._subject.entry is self.model
            if plain and course.can_doze():
                self._hooks.close()
                course.dozing = True
                return True
        return False

    def coast(self, steps: int) -> None:
        """While no root hook is on, only count the next ``steps`` steps.

        The sink hears of none of them. Whoever wants a boundary before calls ``attend()``; what
        may have been asked for just before this call is to be looked at after it.
        """
        self._course.coast(steps)

    def attend(self) -> None:
        """Let the sink hear of the very next step. Any thread may call it; idempotent."""
        self._course.attend()

    def wake(self) -> None:
        """Put the root hooks back. Idempotent."""
        course = self._course
        with self._hooking:
            if course.dozing:
                course.dozing = False
                course.attend()
                self._hook()
        course.attend()

    def explain(self, error: BaseException) -> None:
        """Hear of an exception that went through the user's code while root forwards went unseen.

        One that a forward of this model raised is reported as if the root hook had seen it.
        """
        if self._course.dozing and raised_in(error, self.model):
            self._course.failed(error)

    def close(self) -> None:
        """Stop for good and leave nothing behind. Idempotent."""
        self.rest()
        self._course.stop()
        dispatcher.leave(self._course)

    def _look_again(self) -> None:
        if self._course.looking:
            self.rest()
            self.look()

    # A forward of our own

    def probe(self, inputs: object, plan: Plan, *, labels: object = None) -> Catch:
        """Run the model once in eval mode on these inputs and leave no trace.

        Args:
            inputs: a tensor, a tuple of arguments, a dictionary of keywords, or ``Inputs``.
            plan: what to catch; there is no gradient.
            labels: class indices (N,), one per sample; may be None.

        Raises:
            ModelGoneError: the model was garbage-collected.
            RunRefusedError: a forward now would leave a trace or hang.
        """
        window = self._subject.open(
            plan, phase="eval", forward=self.forward, micro=self.micro, source="probe"
        )
        return self._subject.run(window, inputs, labels=labels, step=self.step)

    def __reduce__(self) -> NoReturn:
        raise TypeError("A ModelTap watches a live model and cannot be pickled; pickle the model.")
