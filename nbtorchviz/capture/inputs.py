"""Own copies of what was given to a root forward: one sample of each batched tensor."""

from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from nbtorchviz.capture.leaves import refusal
from nbtorchviz.capture.plans import Inputs

MOST_VALUES = 4_000_000
_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, slice)


class _Unowned(Exception):  # noqa: N818 (control flow, never leaves this module)
    pass


def own_inputs(
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    batch_size: int | None,
    batch_axis: int | None,
    sample: int,
) -> Inputs | None:
    """Clone one sample of the arguments of a forward.

    Returns:
        The arguments with a batch of one, or None where they hold something that cannot be
        owned: an object of unknown type, a nested tensor, more than 4M values.
    """
    if batch_size is not None:
        sample = min(max(sample, 0), max(batch_size - 1, 0))

    def own(leaf: object) -> object:
        if not isinstance(leaf, Tensor):
            if isinstance(leaf, _PLAIN):
                return leaf
            raise _Unowned
        if refusal(leaf) or leaf.is_nested or leaf.layout is not torch.strided:
            raise _Unowned
        tensor = leaf.detach()
        axis = batch_axis
        if axis is not None and tensor.ndim > axis and tensor.shape[axis] == batch_size:
            tensor = tensor.narrow(axis, sample, 1) if batch_size else tensor
        if tensor.numel() > MOST_VALUES:
            raise _Unowned
        return tensor.clone()

    try:
        if not kwargs and all(type(arg) is Tensor for arg in args):  # a third of the time
            return Inputs(tuple(own(arg) for arg in args), {}, sample, batch_size or 1)
        args, kwargs = pytree.tree_map(own, (tuple(args), dict(kwargs)))
    except _Unowned:
        return None
    return Inputs(args, kwargs, sample, batch_size or 1)


def as_inputs(given: object) -> Inputs:
    """Read what a caller passed to ``probe``: a tensor, a tuple of arguments or a dictionary."""
    if isinstance(given, Inputs):
        return given
    if isinstance(given, dict):
        return Inputs((), given)
    if isinstance(given, (tuple, list)):
        return Inputs(tuple(given))
    return Inputs((given,))


def moved(inputs: Inputs, device: torch.device) -> Inputs:
    """Return the same inputs on another device."""

    def move(leaf: object) -> object:
        return leaf.to(device) if isinstance(leaf, Tensor) else leaf

    args, kwargs = pytree.tree_map(move, (inputs.args, inputs.kwargs))
    return Inputs(args, kwargs, inputs.sample, inputs.batch_size)
