"""Know when a step begins and when it is finished: two process-wide optimizer hooks."""

import inspect
import sys
import weakref
from collections.abc import Iterator
from threading import RLock
from types import CodeType, FrameType
from typing import Any, Protocol

from torch.optim import Optimizer
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.utils.hooks import RemovableHandle

from nbtorchviz.capture.steps import Tally


class StepListener(Protocol):
    """Who hears of optimizer steps."""

    @property
    def reading(self) -> bool:
        """Whether the next step is to be read."""
        ...

    def ignores(self, optimizer: Optimizer) -> bool:
        """Whether steps of this optimizer mean nothing to it."""
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
        self._tallies: dict[int, Tally] = {}
        """By the id of an optimizer: where its steps are counted, and nobody is told. Replaced as
        a whole, because any thread may do that."""
        self._quiet = False
        """Whether the steps of the only listener are just counted."""
        self._code: CodeType | None = None
        """Of torch's function around ``step``, which calls the hooks."""
        self._begun: set[int] = set()
        """Ids of optimizers whose step began and has not ended, and of those where it raised."""
        self._nested: set[int] = set()
        """Ids of those whose step was seen to call the step of a parent class."""
        self._lock = RLock()
        """Taken again by one thread: a garbage collection inside may end a listener."""

    def join(self, listener: StepListener) -> None:
        """Tell this listener of every step; it is held weakly."""
        with self._lock:
            self._change(listener, weakref.ref(listener, self._lost))
            self._begun.clear()  # of optimizers that are gone
            self.tell_all()
            if not self._handles:
                self._handles = (
                    register_optimizer_step_pre_hook(self._steps),
                    register_optimizer_step_post_hook(self._stepped),
                )

    def announce(self) -> None:
        """Say that a listener is ``reading`` from now on: before, none of them is asked."""
        self._announced = True
        self.tell_all()

    def tally(self, listener: StepListener, optimizer: Optimizer, tally: Tally) -> None:
        """Count the steps of ``optimizer`` here, unless anybody but ``listener`` is to be told.

        That a step calls the step of its parent class only the full account of steps finds out.
        """
        if _may_nest(type(optimizer)):
            return
        with self._lock:
            listeners = [other for ref in self._listeners if (other := ref()) is not None]
            others = [other for other in listeners if other is not listener]
            if len(others) == len(listeners):
                return  # it left just now
            if not all(other.ignores(optimizer) for other in others):
                return
            left = {k: t for k, t in self._tallies.items() if t is not tally and t.left}
            self._tallies = {**left, id(optimizer): tally}
            self._quiet = not others

    def tell_all(self) -> None:
        """Tell every listener of the very next step again. Any thread may call it."""
        self._quiet, self._tallies = False, {}

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
            self._change(listener)
            self.tell_all()
            self._tidy()

    def _change(self, without: StepListener, *joined: weakref.ref[StepListener]) -> None:
        while True:
            before = self._listeners
            after = (*self._alive(without), *joined)
            if self._listeners is before:  # nobody left while that was made
                self._listeners = after
                return

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
        if self._quiet:
            return
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
        # These lines run cold at most steps, so they touch as little as possible.
        key = id(optimizer)
        tally = self._tallies.get(key)
        if tally is not None:
            if tally.left:
                tally.left -= 1
                tally.count += 1
                return
            self.tell_all()
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


def _may_nest(kind: type[Optimizer]) -> bool:
    """Whether a step of this class may call a step of a parent, for which torch may call hooks."""
    own = kind.__mro__[: kind.__mro__.index(Optimizer)]
    steps = {inspect.unwrap(vars(base)["step"]) for base in own if "step" in vars(base)}
    return len(steps) > 1


dispatcher = _Dispatcher()
