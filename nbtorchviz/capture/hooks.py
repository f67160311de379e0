"""The hooks themselves: small objects that return None, hold no tensor and copy to nothing.

A model may be pickled, deep-copied or saved while a window is open. The copy of each hook is then
a standard-library callable that does nothing, so that a checkpoint needs no nbtorchviz to load.
"""

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn

_SCRIPT_REFUSED = (
    "nbtorchviz is watching this model, and torch.jit.script cannot compile its hooks. "
    "Call session.close() before torch.jit.script(model)."
)


class _Process:
    """Counts forks, so that what was built before a fork is inert in the child."""

    generation = 0


def _forked() -> None:
    _Process.generation += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def generation() -> int:
    """Return how many forks lie between this process and the first import."""
    return _Process.generation


_own_forwards: dict[int, int] = {}
"""Thread -> how many forwards of ours it is inside of."""


@contextlib.contextmanager
def own_forward() -> Iterator[None]:
    """Keep the root hooks from taking a forward of ours, on this thread, for one of training."""
    thread = threading.get_ident()
    _own_forwards[thread] = _own_forwards.get(thread, 0) + 1
    try:
        yield
    finally:
        _own_forwards[thread] -= 1
        if not _own_forwards[thread]:
            del _own_forwards[thread]


def _of_ours() -> bool:
    return bool(_own_forwards) and threading.get_ident() in _own_forwards


def inert_copy() -> Callable[..., None]:
    """Return a standard-library callable that takes any positional arguments and returns None."""
    return contextlib.nullcontext().__exit__


# Private: without it a recomputation counts as another call.
_graph_task: Callable[[], int] = getattr(torch._C, "_current_graph_task_id", lambda: -1)


def in_backward() -> bool:
    """Tell whether this thread is running a backward pass."""
    return _graph_task() != -1


class _Root(Protocol):
    def root_began(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Hear that the root forward begins."""

    def root_ended(self, module: nn.Module, output: object) -> None:
        """Hear that the root forward returned or raised."""

    def criterion_began(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Hear that the loss is about to be computed."""


class _Layer(Protocol):
    def layer_began(self, name: str, args: tuple[Any, ...]) -> None:
        """Hear that a module's call begins."""

    def layer_ended(self, name: str, output: object) -> None:
        """Hear that a module's call returned."""

    def gradient_came(self, index: int, gradient: Tensor) -> None:
        """Hear the gradient of the loss with respect to an output somebody wants."""


class Hook:
    """What all hooks share: a weak owner, and copies that do nothing."""

    __slots__ = ("__weakref__", "_born", "_owner", "name")

    def __init__(self, owner: object, name: str = "") -> None:
        self._owner: Callable[[], Any] = weakref.ref(owner)
        self._born = _Process.generation
        self.name = name

    @property
    def __name__(self) -> str:
        # torch.jit.script asks for it first; getattr(hook, "__name__", default) still works.
        raise AttributeError(_SCRIPT_REFUSED)

    def __deepcopy__(self, memo: object) -> Callable[..., None]:
        return inert_copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (contextlib.nullcontext(), "__exit__")


class RootPreHook(Hook):
    """Forward pre-hook (with keywords) of the root module."""

    __slots__ = ()

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Announce the root forward."""
        if torch.compiler.is_compiling() or self._born != _Process.generation or _of_ours():
            return
        owner: _Root | None = self._owner()
        if owner is not None:
            owner.root_began(module, args, kwargs)


class RootPostHook(Hook):
    """Forward hook of the root module, also called when its forward raised."""

    __slots__ = ()

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: object) -> None:
        """Announce the end of the root forward."""
        if torch.compiler.is_compiling() or self._born != _Process.generation or _of_ours():
            return
        owner: _Root | None = self._owner()
        if owner is not None:
            owner.root_ended(module, output)


class CriterionPreHook(Hook):
    """Forward pre-hook (with keywords) of the loss module: knows the labels."""

    __slots__ = ()

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Announce the labels."""
        if torch.compiler.is_compiling() or self._born != _Process.generation or _of_ours():
            return
        owner: _Root | None = self._owner()
        if owner is not None:
            owner.criterion_began(args, kwargs)


class LayerPreHook(Hook):
    """Forward pre-hook of a surveyed module."""

    __slots__ = ()

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Announce that the module's call begins."""
        if torch.compiler.is_compiling() or self._born != _Process.generation:
            return
        owner: _Layer | None = self._owner()
        if owner is not None:
            owner.layer_began(self.name, args)


class LayerHook(Hook):
    """Forward hook of a planned module."""

    __slots__ = ()

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: object) -> None:
        """Hand over the output."""
        if torch.compiler.is_compiling() or self._born != _Process.generation:
            return
        owner: _Layer | None = self._owner()
        if owner is not None:
            owner.layer_ended(self.name, output)


class _Parameters(Protocol):
    def accumulated(self, name: str, parameter: Tensor) -> None:
        """Hear that a gradient was added to a parameter; never raises."""


class ParameterHook(Hook):
    """Hook of a parameter whose gradient was just accumulated; ``name`` says which."""

    __slots__ = ()

    def __call__(self, parameter: Tensor) -> None:
        """Hand over the parameter."""
        if self._born != _Process.generation:
            return
        owner: _Parameters | None = self._owner()
        if owner is not None:
            owner.accumulated(self.name, parameter)


class _Spread(Protocol):
    def gradient_came(self, key: str, gradient: Tensor) -> None:
        """Hear the gradient of the loss with respect to one call's output; never raises."""


class SpreadHook(Hook):
    """Tensor hook of an output whose gradient is sub-sampled; ``name`` is the layer key."""

    __slots__ = ()

    def __call__(self, gradient: Tensor | None) -> None:
        """Hand over the gradient; None: none reached this output of a function with several."""
        if gradient is None or self._born != _Process.generation:
            return
        owner: _Spread | None = self._owner()
        if owner is not None:
            owner.gradient_came(self.name, gradient)


class GradientHook(Hook):
    """Tensor hook of an output, for the want at ``index`` of the plan."""

    __slots__ = ("index",)

    def __init__(self, owner: object, index: int) -> None:
        super().__init__(owner)
        self.index = index

    def __call__(self, gradient: Tensor | None) -> None:
        """Hand over the gradient; None: none reached this output of a function with several."""
        if gradient is None or self._born != _Process.generation:
            return
        owner: _Layer | None = self._owner()
        if owner is not None:
            owner.gradient_came(self.index, gradient)
