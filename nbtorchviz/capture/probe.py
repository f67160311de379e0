"""Run a model in eval mode and leave no trace: the guard around probes, twins and pinned inputs."""

import contextlib
import functools
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from nbtorchviz.capture.module_state import ModuleState, ScriptedState, Written, state_of
from nbtorchviz.errors import RunRefusedError


@dataclass(slots=True)
class Guarded:
    """A model that runs for us."""

    modules: Sequence[nn.Module]
    """All of them once, the root first."""
    parameters: list[Tensor]
    """All of them once, in the order of ``named_parameters``."""
    written: Written = field(default_factory=list)
    """What the block wrote, known when it is left."""


@contextlib.contextmanager
def no_trace(root: nn.Module, modules: Sequence[nn.Module] | None = None) -> Iterator[Guarded]:
    """Put every module of ``root`` in eval mode; put everything back afterwards.

    Restored: training flags per module, buffers and tensors kept as attributes (the block works
    on copies of them), other attributes and the contents of plain containers, every random
    stream, grad mode, inference mode, the autocast cache. Parameters get no ``.grad``.

    Args:
        root: the user's module, unwrapped.
        modules: ``list(root.modules())``, from whoever has it.

    Raises:
        RunRefusedError: the model has lazy parameters, or is sharded across ranks.
    """
    modules = list(root.modules()) if modules is None else modules
    guarded = Guarded(modules, parameters_of(modules))
    _refuse(guarded.parameters)
    with ExitStack() as stack:
        keep_random(stack)
        stack.enter_context(out_of_inference())
        stack.enter_context(torch.no_grad())
        # A cast made here, without grad, would be reused by the user's own autocast region.
        stack.callback(torch.set_autocast_cache_enabled, torch.is_autocast_cache_enabled())
        torch.set_autocast_cache_enabled(False)
        copies: dict[int, Tensor] = {}
        states: list[ModuleState | ScriptedState] = []
        stack.callback(_put_back, states, guarded.written)
        for module in guarded.modules:  # one by one: those before a failure are put back
            states.append(state_of(module, copies))  # noqa: PERF401
        yield guarded


def _put_back(states: list[ModuleState | ScriptedState], written: Written) -> None:
    for state in states:
        state.put_back(written)


def parameters_of(modules: Iterable[nn.Module]) -> list[Tensor]:
    """List the parameters of some modules once each, in the order of ``named_parameters``."""
    found: dict[int, Tensor] = {}
    for module in modules:
        for parameter in module._parameters.values():
            if parameter is not None:
                found[id(parameter)] = parameter
    return list(found.values())


def _refuse(parameters: Iterable[Tensor]) -> None:
    for parameter in parameters:
        if type(parameter) is nn.Parameter:
            continue
        if is_lazy(parameter):
            raise RunRefusedError(
                "This model has lazy parameters that no forward has shaped yet. "
                "Run one training forward first."
            )
        if hasattr(parameter, "to_local"):
            raise RunRefusedError(
                "This model is sharded across ranks; a forward on one rank alone would hang. "
                "Look at training batches instead."
            )


def keep_random(stack: ExitStack) -> None:
    """Put every random stream back where it is now when ``stack`` is closed."""
    # Numpy's legacy stream is the one that user code draws from; its state as a dictionary is read
    # and written in less time than as a tuple.
    numpys = np.random.get_state(legacy=False)  # noqa: NPY002
    stack.callback(_put_back_random, torch.get_rng_state(), random.getstate(), numpys)
    # Where it has not begun nobody has drawn, and asking for its state would begin it.
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        for device in range(torch.cuda.device_count()):
            stack.callback(torch.cuda.set_rng_state, torch.cuda.get_rng_state(device), device)
    if _has_mps():
        stack.callback(torch.mps.set_rng_state, torch.mps.get_rng_state())


def _put_back_random(torchs: Tensor, pythons: Any, numpys: Any) -> None:
    torch.set_rng_state(torchs)
    random.setstate(pythons)
    np.random.set_state(numpys)  # noqa: NPY002


@functools.cache
def _has_mps() -> bool:
    return torch.backends.mps.is_available()


def out_of_inference() -> AbstractContextManager[object]:
    """Leave inference mode inside the block, where it is on.

    Torch's own context takes 60 µs beside a training step even where there is nothing to leave.
    """
    if torch.is_inference_mode_enabled():
        return torch.inference_mode(mode=False)
    return contextlib.nullcontext()


def device_of(root: nn.Module) -> torch.device | None:
    """Return the device of the first parameter or buffer; None when there is neither."""
    tensor = next(chain(root.parameters(), root.buffers()), None)
    return None if tensor is None else tensor.device
