"""Know when a step is finished: two process-wide optimizer hooks, and whose step counts."""

import sys
import weakref
from collections.abc import Iterable, Iterator
from threading import Lock
from types import CodeType, FrameType
from typing import Any, Protocol

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.utils.hooks import RemovableHandle

from nbtorchviz.capture.hooks import generation

PATIENCE = 3
"""Root forwards without a matching step after which the forward itself is the boundary."""

MOST_ACCUMULATED = 256


class StepListener(Protocol):
    """Who hears of optimizer steps."""

    @property
    def reading(self) -> bool:
        """Whether the next step is to be read."""
        ...

    def optimizer_steps(self, optimizer: Optimizer, *, closure: bool) -> None:
        """Hear that an optimizer of any model begins its step, while ``reading``."""

    def optimizer_stepped(self, optimizer: Optimizer) -> None:
        """Hear that an optimizer of any model finished its step."""


class _Dispatcher:
    """Holds the hooks, for as long as somebody listens."""

    def __init__(self) -> None:
        self._listeners: tuple[weakref.ref[StepListener], ...] = ()
        self._handles: tuple[RemovableHandle, ...] = ()
        self._announced = False
        self._code: CodeType | None = None
        """Of torch's function around ``step``, which calls the hooks."""
        self._begun: set[int] = set()
        """Ids of optimizers whose step began and has not ended, and of those where it raised."""
        self._nested: set[int] = set()
        """Ids of those whose step was seen to call the step of a parent class."""
        self._lock = Lock()

    def join(self, listener: StepListener) -> None:
        """Tell this listener of every step; it is held weakly."""
        with self._lock:
            self._listeners = (*self._alive(listener), weakref.ref(listener, self._lost))
            self._begun.clear()  # of optimizers that are gone
            if not self._handles:
                self._handles = (
                    register_optimizer_step_pre_hook(self._steps),
                    register_optimizer_step_post_hook(self._stepped),
                )

    def announce(self) -> None:
        """Say that a listener is ``reading`` from now on: before, none of them is asked."""
        self._announced = True

    @property
    def inside(self) -> Optimizer | None:
        """The optimizer whose step runs forwards now, on this thread, in a closure.

        Read from the stack: no hook tells of a step that raised, in its closure or elsewhere.
        """
        return next(self._around(sys._getframe(1)), None)

    def runs(self, optimizer: Optimizer | None) -> bool:
        """Whether a step of it that was heard to begin still runs, on this thread."""
        return any(other is optimizer for other in self._around(sys._getframe(1)))

    def leave(self, listener: StepListener) -> None:
        """Stop telling it; without listeners the hook is removed."""
        with self._lock:
            self._listeners = self._alive(listener)
            self._tidy()

    def _alive(self, without: StepListener) -> tuple[weakref.ref[StepListener], ...]:
        return tuple(ref for ref in self._listeners if ref() not in (None, without))

    def _lost(self, ref: "weakref.ref[StepListener]") -> None:
        # No lock: a garbage collection inside join() calls this on the same thread.
        self._listeners = tuple(other for other in self._listeners if other is not ref)
        self._tidy()

    def _tidy(self) -> None:
        if not self._listeners:
            handles, self._handles = self._handles, ()
            for handle in handles:
                handle.remove()

    def _steps(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        key = id(optimizer)
        if key in self._begun:  # a class calls its parent's step, or the last step raised
            self._code = sys._getframe(1).f_code
            if optimizer in self._around(sys._getframe(2)):
                self._nested.add(key)
                return
        else:
            self._begun.add(key)
        given = args[1] if len(args) > 1 else kwargs.get("closure")
        if given is None and not self._announced:
            return
        self._code = sys._getframe(1).f_code
        if not self._announced:
            return
        self._announced = False  # before they are asked: one may announce itself meanwhile
        for ref in self._listeners:
            listener = ref()
            if listener is not None and listener.reading:
                self._announced = True
                listener.optimizer_steps(optimizer, closure=given is not None)

    def _stepped(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        key = id(optimizer)
        if key in self._nested:
            if optimizer in self._around(sys._getframe(2)):
                return
            self._nested.discard(key)
        self._begun.discard(key)
        for ref in self._listeners:
            listener = ref()
            if listener is not None:
                listener.optimizer_stepped(optimizer)

    def _around(self, frame: FrameType | None) -> Iterator[Optimizer]:
        """Go through the optimizers whose steps ``frame`` is part of, the innermost first."""
        while frame is not None:
            if frame.f_code is self._code and isinstance(
                found := frame.f_locals.get("self"), Optimizer
            ):
                yield found
            frame = frame.f_back


dispatcher = _Dispatcher()


class Steps:
    """Counts the steps of the one optimizer that matters to a model.

    The first optimizer given counts; without one, the first seen to own parameters of this model.
    When that one is gone, or silent while another keeps stepping, the other takes its place.
    """

    def __init__(self, root: "weakref.ref[nn.Module]", optimizers: Iterable[Optimizer]) -> None:
        self.count = 0
        self.silent = 0
        """Grad-enabled root forwards since the last step that counted."""
        self.forwards = 0
        """Root forwards of any kind since then."""
        self._accumulated = 0
        """Root forwards that the last step took."""
        self._rivals: weakref.WeakKeyDictionary[Optimizer, int] = weakref.WeakKeyDictionary()
        """Steps of other optimizers that own parameters, since the last step that counted."""
        self._rivalled = False
        """Whether there are any."""
        self._root = root
        self._born = generation()
        self._given: tuple[weakref.ref[Optimizer], ...] = ()
        self._chosen: weakref.ref[Optimizer] | None = None
        self._owns: weakref.WeakKeyDictionary[Optimizer, tuple[int, bool]] = (
            weakref.WeakKeyDictionary()
        )
        self.give(optimizers)

    def give(self, optimizers: Iterable[Optimizer]) -> None:
        """Name the optimizers; the first one's steps are counted."""
        self._given = tuple(weakref.ref(optimizer) for optimizer in optimizers)
        self._chosen = None

    @property
    def given(self) -> bool:
        """True while an optimizer that was named is alive."""
        return bool(self._given) and self._given[0]() is not None

    @property
    def counting(self) -> "weakref.ref[Optimizer] | None":
        """The optimizer whose steps are counted; None while none was seen."""
        return self._given[0] if self.given else self._chosen

    @property
    def learning_rate(self) -> float | None:
        """Of the first parameter group of the optimizer that counts; None when not known."""
        ref = self.counting
        optimizer = None if ref is None else ref()
        if optimizer is None or not optimizer.param_groups:
            return None
        rate = optimizer.param_groups[0].get("lr")
        if isinstance(rate, torch.Tensor):
            if rate.device.type != "cpu" or rate.numel() != 1:
                return None  # a rate on a GPU is not waited for
            return float(rate.item())
        return float(rate) if isinstance(rate, int | float) else None

    @property
    def known(self) -> list[Optimizer]:
        """The optimizers that were named, or the one that was found."""
        refs = self._given or ((self._chosen,) if self._chosen is not None else ())
        return [optimizer for ref in refs if (optimizer := ref()) is not None]

    @property
    def seen(self) -> list[Optimizer]:
        """All of those, and any other that was seen to own parameters of the model."""
        owners = [optimizer for optimizer, (_, owns) in self._owns.items() if owns]
        return list(dict.fromkeys([*self.known, *owners]))

    def trains(self, optimizer: Optimizer) -> bool:
        """Whether ``optimizer`` owns parameters of this model."""
        return self._born == generation() and self._owned(optimizer)

    def matches(self, optimizer: Optimizer) -> bool:
        """Count this step if it is one that counts."""
        if self._born != generation():
            return False
        known = self._given[0]() if self._given else None
        if known is not None:
            if known is not optimizer:
                return False
        else:
            chosen = self._chosen() if self._chosen is not None else None
            if chosen is not optimizer:
                if not self._owned(optimizer):
                    return False
                self._rivalled = True
                steps = self._rivals[optimizer] = self._rivals.get(optimizer, 0) + 1
                if chosen is not None and steps < PATIENCE:
                    return False
                self._chosen = weakref.ref(optimizer)
        self.count += 1
        if self._rivalled:  # to ask the dictionary takes as long as all the rest
            self._rivalled = False
            self._rivals.clear()
        if 0 < self.silent <= MOST_ACCUMULATED:  # 0: nobody looked at the forwards
            self._accumulated = self.silent
        self.silent = self.forwards = 0
        return True

    def skipped(self) -> None:
        """Note that the forwards since the last step belong to one that a scaler skipped."""
        self.silent = self.forwards = 0

    def by_forward(self, *, grad: bool) -> bool:
        """Tell whether the end of the present root forward is the boundary.

        Gradient accumulation over more micro-batches than ``PATIENCE`` is learnt at its first
        step.
        """
        if grad:
            return self.silent > max(PATIENCE, 2 * self._accumulated)
        return self.count == 0 and not self._given and self.forwards > PATIENCE

    def _owned(self, optimizer: Optimizer) -> bool:
        size = sum(len(group["params"]) for group in optimizer.param_groups)
        known = self._owns.get(optimizer)
        if known is not None and known[0] == size:
            return known[1]
        root = self._root()
        mine = {id(parameter) for parameter in root.parameters()} if root is not None else set()
        owned = any(
            id(parameter) in mine
            for group in optimizer.param_groups
            for parameter in group["params"]
        )
        self._owns[optimizer] = (size, owned)
        return owned
