"""Detect compiled models, which do not call hooks, and run them eagerly where that is asked."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from nbtorchviz.capture.layers import is_compiled_wrapper, wrapped_name

CHOICES = ("eager_twin", "force_eager")


def check_choice(compiled: str) -> None:
    """Refuse an unknown choice, and ``"force_eager"`` where torch cannot do it.

    Raises:
        ValueError: the choice is unknown, or this torch has no ``set_stance``.
    """
    if compiled not in CHOICES:
        raise ValueError(f"compiled must be one of {', '.join(CHOICES)}, got {compiled!r}")
    if compiled == "force_eager" and _set_stance() is None:
        raise ValueError(
            f"compiled='force_eager' needs torch.compiler.set_stance (torch 2.6 or newer); this is "
            f"torch {torch.__version__}. Use compiled='eager_twin'."
        )


def entry_of(model: nn.Module) -> nn.Module | None:
    """Return the outermost compiled wrapper, whose own hooks run eagerly; None without one."""
    while True:
        if is_compiled_wrapper(model):
            return model
        name = wrapped_name(model)
        inner = model._modules.get(name) if name is not None else None
        if inner is None:
            return None
        model = inner


def compiled_how(entry: nn.Module | None, root: nn.Module) -> str | None:
    """Say in words how a model is compiled; None when it is not."""
    if entry is not None:
        return "torch.compile(model)"
    if getattr(root, "_compiled_call_impl", None) is not None:
        return "model.compile()"
    for name, module in root.named_modules():
        if is_compiled(module):
            return f"{name} is compiled"
    return None


def is_compiled(module: nn.Module) -> bool:
    """Tell whether this very module is compiled."""
    if is_compiled_wrapper(module):
        return True
    return getattr(module, "_compiled_call_impl", None) is not None


def hides_root(root: nn.Module) -> bool:
    """Tell whether ``model.compile()`` swallows the root's hooks as well."""
    return getattr(root, "_compiled_call_impl", None) is not None


def eager(*, needed: bool) -> AbstractContextManager[None]:
    """Run compiled modules eagerly inside the block, without a recompilation.

    Raises:
        RuntimeError: it is needed and this torch cannot do it.
    """
    return _eager() if needed else contextlib.nullcontext()


@contextlib.contextmanager
def _eager() -> Iterator[None]:
    set_stance = _set_stance()
    if set_stance is None:
        raise RuntimeError(
            "parts of this model are compiled, and running them eagerly needs "
            f"torch.compiler.set_stance (torch 2.6 or newer); this is torch {torch.__version__}"
        )
    with set_stance("force_eager"):
        yield


def _set_stance() -> Callable[..., Any] | None:
    return getattr(torch.compiler, "set_stance", None)
