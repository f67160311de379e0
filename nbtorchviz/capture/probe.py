"""Run a model in eval mode and leave no trace: the guard around probes, twins and pinned inputs."""

import contextlib
import operator
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from nbtorchviz.errors import RunRefusedError

_CONTAINERS = (list, dict, set, deque)
_UNCHANGEABLE = frozenset({bool, int, float, str, tuple, type(None), OrderedDict})
"""Types of most attributes: they are passed over quickly (ordered dictionaries hold hooks)."""
_OWN_ENTRIES = frozenset({"_parameters", "_modules", "_buffers"})


@contextlib.contextmanager
def no_trace(root: nn.Module) -> Iterator[None]:
    """Put every module of ``root`` in eval mode; put everything back afterwards.

    Restored: training flags per module, buffers and tensors kept as attributes (the block works
    on copies of them), other attributes and the contents of plain containers, every random
    stream, grad mode, inference mode, the autocast cache. Parameters get no ``.grad``.

    Raises:
        RunRefusedError: the model has lazy parameters, or is sharded across ranks.
    """
    modules = list(root.modules())
    _refuse(root)
    with ExitStack() as stack:
        keep_random(stack)
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.no_grad())
        # A cast made here, without grad, would be reused by the user's own autocast region.
        stack.callback(torch.set_autocast_cache_enabled, torch.is_autocast_cache_enabled())
        torch.set_autocast_cache_enabled(False)
        copies: dict[int, Tensor] = {}
        for module in modules:
            stack.callback(_restore(module, copies, stack))
            module.training = False
        yield


def _refuse(root: nn.Module) -> None:
    for parameter in root.parameters():
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


def _restore(module: nn.Module, copies: dict[int, Tensor], stack: ExitStack) -> Callable[[], None]:
    """Give a module copies of its state; return what puts the originals back."""
    attributes = module.__dict__
    before = dict(attributes)
    buffers, parameters = dict(module._buffers), dict(module._parameters)
    hidden = set(module._non_persistent_buffers_set)
    for name, buffer in buffers.items():
        if buffer is not None:
            module._buffers[name] = _copy(buffer, copies)
    for name, value in before.items():
        kind = type(value)
        if kind in _UNCHANGEABLE or name.startswith("_forward") or name in _OWN_ENTRIES:
            continue
        if isinstance(value, Tensor):
            attributes[name] = _copy(value, copies)
        elif isinstance(value, torch.Generator):
            stack.callback(value.set_state, value.get_state())
        elif kind in _CONTAINERS:
            attributes[name] = value.copy()
    own_buffers, own_parameters = module._buffers, module._parameters

    def restore() -> None:
        _refill(attributes, before)
        _refill(own_buffers, buffers)
        _refill(own_parameters, parameters)
        module._non_persistent_buffers_set.clear()
        module._non_persistent_buffers_set.update(hidden)

    return restore


def _refill(mapping: dict[str, Any], before: dict[str, Any]) -> None:
    """Put entries back only where they differ: another thread may be reading."""
    if same_entries(mapping, before):
        return
    for name in mapping.keys() - before.keys():
        del mapping[name]
    for name, value in before.items():
        if name not in mapping or mapping[name] is not value:
            mapping[name] = value
    if list(mapping) != list(before):  # the order of buffers is that of the state_dict
        mapping.clear()
        mapping.update(before)


def same_entries(mapping: dict[str, Any], before: dict[str, Any]) -> bool:
    """Tell whether two dictionaries hold the very same objects in the same order."""
    return (
        len(mapping) == len(before)
        and all(map(operator.is_, mapping.values(), before.values()))
        and list(mapping) == list(before)
    )


def _copy(tensor: Tensor, copies: dict[int, Tensor]) -> Tensor:
    """Copy a tensor once, also when several modules hold it."""
    if tensor.requires_grad or isinstance(tensor, nn.Parameter) or tensor.device.type == "meta":
        return tensor
    if id(tensor) not in copies:
        copies[id(tensor)] = tensor.detach().clone()
    return copies[id(tensor)]


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
    for tensor in (*root.parameters(), *root.buffers()):
        return tensor.device
    return None
