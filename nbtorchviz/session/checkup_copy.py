"""Copy a model for experiments, and run them without a trace in any random stream."""

import copy
import random
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter, is_lazy

from nbtorchviz.capture.leaves import leaves

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class CannotCopyError(Exception):
    """A model cannot be copied; the message says why."""


def copied(model: nn.Module) -> nn.Module:
    """Return a deep copy that shares no memory with ``model``, without its gradients.

    Hooks that are plain functions are left off: they would write to objects of the user's.

    Raises:
        CannotCopyError: it cannot be copied, or its copy shares parameters with it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            twin = copy.deepcopy(model, _memo(model))
    except Exception as error:  # a deep copy runs any code of the user's
        raise CannotCopyError(f"{type(error).__name__}: {error}") from None
    ours = {_memory(tensor) for tensor in _tensors(model)} - {0}
    if twin is model or any(_memory(tensor) in ours for tensor in _tensors(twin)):
        raise CannotCopyError("its copy shares parameters or buffers with it")
    for module in twin.modules():
        for kind in _HOOKS:
            hooks = getattr(module, kind)
            for key in [k for k, hook in hooks.items() if isinstance(hook, types.FunctionType)]:
                del hooks[key]
    for parameter in twin.parameters():
        parameter.grad = None
    return twin


def plain_hooks(model: nn.Module) -> int:
    """Count the hooks that a copy is made without."""
    return sum(
        isinstance(hook, types.FunctionType)
        for module in model.modules()
        for kind in _HOOKS
        for hook in getattr(module, kind).values()
    )


def fill_zeros(model: nn.Module) -> list[str]:
    """Give parameters that are all zero small values, so that they let signals through.

    A last layer that begins at zero is no fault, but hides everything before it.

    Returns:
        The names of the weights among them, biases left out.
    """
    source = torch.Generator().manual_seed(0)
    filled = []
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if is_lazy(parameter) or not parameter.is_floating_point() or not parameter.numel():
                continue
            if not parameter.any():
                values = torch.randn(parameter.shape, generator=source) * 0.02
                parameter.copy_(values)
                if parameter.ndim > 1:
                    filled.append(name)
    return filled


@contextmanager
def experiment() -> Iterator[None]:
    """Give a block random streams of its own, gradients, and no warnings of the user's model.

    All streams begin at a fixed seed, so that two check-ups of one model agree; afterwards they
    are where they were.
    """
    with ExitStack() as stack:
        _keep_random(stack)
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        seed()
        yield


def seed() -> None:
    """Begin all random streams anew; only inside ``experiment()``."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the legacy stream is the one that user code draws from
    # Not torch.manual_seed: before CUDA is in use that leaves a note to seed it later.
    torch.default_generator.manual_seed(0)
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(0)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(0)


def _keep_random(stack: ExitStack) -> None:
    stack.callback(torch.set_rng_state, torch.get_rng_state())
    stack.callback(random.setstate, random.getstate())
    stack.callback(np.random.set_state, np.random.get_state())  # noqa: NPY002
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        for device in range(torch.cuda.device_count()):
            stack.callback(torch.cuda.set_rng_state, torch.cuda.get_rng_state(device), device)
    if torch.backends.mps.is_available():
        stack.callback(torch.mps.set_rng_state, torch.mps.get_rng_state())


def _memo(model: nn.Module) -> dict[int, object]:
    """Copy beforehand what deepcopy refuses: lazy parameters, and results kept as attributes."""
    memo: dict[int, object] = {}
    for module in model.modules():
        for parameter in module._parameters.values():
            if parameter is not None and is_lazy(parameter):
                memo[id(parameter)] = UninitializedParameter(
                    parameter.requires_grad, device=parameter.device, dtype=parameter.dtype
                )
        for buffer in module._buffers.values():
            if buffer is not None and is_lazy(buffer):
                make: Callable[..., Tensor] = UninitializedBuffer
                memo[id(buffer)] = make(device=buffer.device, dtype=buffer.dtype)
        for value in vars(module).values():
            for _, tensor in leaves(value):
                if not tensor.is_leaf:
                    memo[id(tensor)] = tensor.detach().clone()
    return memo


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    yield from (tensor for tensor in model.parameters() if not is_lazy(tensor))
    yield from (tensor for tensor in model.buffers() if not is_lazy(tensor))


def _memory(tensor: Tensor) -> int:
    try:
        return tensor.data_ptr()
    except RuntimeError:  # no storage of its own
        return 0
