"""Read a few hundred values of a tensor, at a fixed stride, as fast as Python can."""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nbtorchviz.capture.leaves import refusal
from nbtorchviz.capture.reductions import spread, spread_any, stride_of
from nbtorchviz.capture.tensors import HostCopy

LIMIT = 512
"""Values read of each tensor."""
WHOLE = 2_048
"""Parameters up to so many values are read whole: their updates are then no estimates."""
_SAMPLES, _PLACES = 8, 64
"""Samples and positions that are compared to tell whether an output depends on its input."""

_FLOATS = frozenset({torch.float32, torch.float64, torch.float16, torch.bfloat16})
_PLAIN = (Tensor, nn.Parameter)

Copy = HostCopy | NDArray[Any]
"""Values that were copied: at once by numpy where that can read them, which takes two thirds of
the time that torch takes for a few hundred values, else by torch."""


def as_numpy(tensor: Tensor) -> NDArray[Any] | None:
    """Return a view of the values; None where numpy cannot read them as they are."""
    if type(tensor) not in _PLAIN or not tensor.is_cpu or tensor.is_complex():
        return None
    try:
        return tensor.detach().numpy()
    except (RuntimeError, TypeError):  # bfloat16, sparse, nested, quantised, under vmap ...
        return None


def copied(tensor: Tensor, values: NDArray[Any] | None, whole: int = LIMIT) -> Copy | None:
    """Copy some values at a fixed stride, all of up to ``whole``; None when there are none."""
    if values is not None:
        if values.size <= whole:
            return values.flatten()
        order, step, _ = _way(values.shape, values.strides, values.itemsize)
        if order is not None:
            values = values.transpose(order)
        if step:
            return values.reshape(-1)[::step].copy()
    part = spread_any(tensor, LIMIT)
    return None if part is None else HostCopy(part)


def real_of(tensor: Tensor) -> Tensor:
    """Return complex numbers as pairs of real ones, which have the same norm; others as they are.

    The result shares memory and needs no gradient.
    """
    tensor = tensor.detach()
    if tensor.is_complex() and tensor.layout is torch.strided:
        return torch.view_as_real(tensor.resolve_conj())
    return tensor


def limit_of(tensor: Tensor) -> int:
    """Return how many values are read of a parameter."""
    return WHOLE if tensor.numel() <= WHOLE else LIMIT


def floats_of(tensor: Tensor) -> Copy | None:
    """Copy some values of a parameter or its gradient; None where not dense or not of floats."""
    values = as_numpy(tensor)
    if values is not None and values.dtype.kind == "f":
        return copied(tensor, values, WHOLE)
    return HostCopy(spread(tensor.detach(), limit_of(tensor))) if dense_floats(tensor) else None


def dense_floats(tensor: Tensor) -> bool:
    """Whether torch can read some values of it: no shard, not sparse, and not without values."""
    plain = tensor.layout is torch.strided and not hasattr(tensor, "device_mesh")
    return plain and tensor.dtype in _FLOATS and tensor.device.type != "meta"


def rows_in(values: NDArray[Any]) -> NDArray[Any] | None:
    """Return some positions of the first samples; None where there is no batch of numbers."""
    if values.ndim < 2 or len(values) < 2 or values.dtype.kind != "f":
        return None
    return values[_way(values.shape, values.strides, values.itemsize).rows].copy()


class _Way(NamedTuple):
    """How to read an array of some shape and strides; worked out once for all steps."""

    order: tuple[int, ...] | None
    """Of its axes, so that memory is met in order: channels_last becomes contiguous, at no cost.
    None: as they are."""
    step: int
    """Distance of the values to be read; 0: there are gaps in memory."""
    rows: tuple[slice | int, ...]
    """Index of the rows."""


@functools.lru_cache(4_096)
def _way(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> _Way:
    order = tuple(sorted(range(len(shape)), key=lambda axis: (-strides[axis], axis)))
    dense, held = True, itemsize
    for axis in reversed(order):
        dense = dense and (shape[axis] == 1 or strides[axis] == held)
        held *= shape[axis]
    count = math.prod(shape)
    places: list[slice | int] = [slice(None, _SAMPLES), *[slice(None)] * (len(shape) - 1)]
    left = list(range(1, len(shape)))
    while len(left) > 1:
        longest = max(left, key=lambda axis: shape[axis])
        places[longest] = shape[longest] // 2
        left.remove(longest)
    if left:
        apart = max(1, shape[left[0]] // _PLACES)
        places[left[0]] = slice(None, apart * _PLACES, apart)
    same = order == tuple(range(len(shape)))
    return _Way(None if same else order, stride_of(count, LIMIT) if dense else 0, tuple(places))


def rows_of(tensor: Tensor) -> HostCopy | None:
    """Do the same for what numpy cannot read."""
    dense = not tensor.is_nested and tensor.layout is torch.strided and not tensor.is_quantized
    if not dense or refusal(tensor) or tensor.ndim < 2 or tensor.shape[0] < 2:
        return None
    if not tensor.is_floating_point():
        return None
    rows = tensor.detach()[:_SAMPLES]
    while rows.ndim > 2:  # a thin view: nothing is copied but what is read
        longest = max(range(1, rows.ndim), key=lambda axis: rows.shape[axis])
        rows = rows.select(longest, rows.shape[longest] // 2)
    return HostCopy(rows[:, :: max(1, rows.shape[1] // _PLACES)][:, :_PLACES])


def vector_of(copy: Copy) -> NDArray[Any]:
    """Return the values of a copy that numpy can compute with, shape (N,)."""
    if not isinstance(copy, HostCopy):
        return copy.astype(np.float32) if copy.dtype == np.float16 else copy
    tensor = copy.host()
    if tensor.dtype in (torch.bfloat16, torch.float16) or "float8" in str(tensor.dtype):
        tensor = tensor.float()
    if tensor.is_complex():
        tensor = tensor.abs()
    return tensor.resolve_neg().numpy().reshape(-1)
