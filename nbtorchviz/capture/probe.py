"""Run a model in eval mode and leave no trace: the guard around probes, twins and pinned inputs."""

import contextlib
import random
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from nbtorchviz.capture.module_state import ModuleState, ScriptedState, Written, state_of
from nbtorchviz.errors import RunRefusedError


@dataclass(slots=True)
class Guarded:
    """A model that runs for us."""

    modules: list[nn.Module]
    """All of them, the root first."""
    written: Written = field(default_factory=list)
    """What the block wrote, known when it is left."""


@contextlib.contextmanager
def no_trace(root: nn.Module) -> Iterator[Guarded]:
    """Put every module of ``root`` in eval mode; put everything back afterwards.

    Restored: training flags per module, buffers and tensors kept as attributes (the block works
    on copies of them), other attributes and the contents of plain containers, every random
    stream, grad mode, inference mode, the autocast cache. Parameters get no ``.grad``.

    Raises:
        RunRefusedError: the model has lazy parameters, or is sharded across ranks.
    """
    guarded = Guarded(list(root.modules()))
    _refuse(guarded.modules)
    with ExitStack() as stack:
        keep_random(stack)
        stack.enter_context(torch.inference_mode(mode=False))
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


def _refuse(modules: Iterable[nn.Module]) -> None:
    for parameter in parameters_of(modules):
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
    stack.callback(torch.set_rng_state, torch.get_rng_state())
    stack.callback(random.setstate, random.getstate())
    # The legacy global stream is the one that user code draws from.
    stack.callback(np.random.set_state, np.random.get_state())  # noqa: NPY002
    if torch.cuda.is_available():
        for device in range(torch.cuda.device_count()):
            stack.callback(torch.cuda.set_rng_state, torch.cuda.get_rng_state(device), device)
    if torch.backends.mps.is_available():
        stack.callback(torch.mps.set_rng_state, torch.mps.get_rng_state())


def device_of(root: nn.Module) -> torch.device | None:
    """Return the device of the first parameter or buffer; None when there is neither."""
    tensor = next(chain(root.parameters(), root.buffers()), None)
    return None if tensor is None else tensor.device
