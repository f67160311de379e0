"""Make a tensor small on its device: one sample, a sub-sample, averages, channels of zeros."""

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from nbtorchviz.capture.leaves import refusal

EXACT_LIMIT = 4_000_000
SPREAD_LIMIT = 2_048
_SPATIAL = frozenset("HWDLT")


def select(tensor: Tensor, axis: int | None, sample: int) -> tuple[Tensor, tuple[str, ...]]:
    """View one sample of a detached tensor as a plain dense tensor where that is possible."""
    notes: tuple[str, ...] = ()
    if hasattr(tensor, "to_local"):  # DTensor: a full read would be a collective
        tensor, notes = tensor.to_local(), ("this rank's shard",)
    if tensor.is_nested:
        return tensor.unbind()[sample], (*notes, "nested: true length of this sample")
    if tensor.layout is not torch.strided:
        return _of_sparse(tensor, axis, sample, notes)
    if axis is not None and tensor.ndim > axis:
        tensor = tensor.select(axis, min(sample, tensor.shape[axis] - 1))
    if tensor.is_quantized:
        return tensor.dequantize(), (*notes, "dequantised")
    if tensor.is_complex():
        return tensor.abs(), (*notes, "|z| of complex")
    return tensor, notes


def _of_sparse(
    tensor: Tensor, axis: int | None, sample: int, notes: tuple[str, ...]
) -> tuple[Tensor, tuple[str, ...]]:
    stored, count = tensor._nnz() * tensor.dense_dim() or tensor._nnz(), math.prod(tensor.shape)
    if count > EXACT_LIMIT:
        return tensor.values().reshape(-1), (*notes, "sparse: stored values only")
    dense = tensor.to_dense()
    share = 100 * stored / max(count, 1)
    words = f"sparse, {format(share, '.0f' if share >= 10 else '.2g')} % stored"
    return (dense if axis is None else dense.select(axis, sample)), (*notes, words)


def spread(tensor: Tensor, limit: int = SPREAD_LIMIT) -> Tensor:
    """Sub-sample a dense tensor at a fixed stride that meets every channel and column.

    Returns:
        Vector of at most ``limit`` values, still on the device; a view or a small copy.
    """
    count = tensor.numel()
    if count <= limit:
        return tensor.reshape(-1)
    step = stride_of(count, limit)
    if not tensor.is_contiguous():
        strides = tensor.stride()
        order = sorted(range(tensor.ndim), key=lambda axis: (-strides[axis], axis))
        tensor = tensor.permute(order)  # channels_last becomes contiguous, at no cost
    if tensor.is_contiguous():
        return tensor.view(-1)[::step]
    flat = torch.arange(0, count, step, device=tensor.device)
    return tensor[torch.unravel_index(flat, tensor.shape)]


@functools.lru_cache(1024)
def stride_of(count: int, limit: int) -> int:
    """Return a stride that leaves at most ``limit`` of ``count`` values, of every column some."""
    step = -(-count // limit)
    while math.gcd(step, count) > 1:  # else only some columns would ever be met
        step += 1
    return step


def spread_any(tensor: Tensor, limit: int = SPREAD_LIMIT) -> Tensor | None:
    """Sub-sample a whole output of any kind; None when it has no values."""
    if refusal(tensor):
        return None
    tensor = tensor.detach()
    if tensor.is_nested:
        tensor = tensor.values() if tensor.layout is torch.jagged else tensor.unbind()[0]
    elif tensor.layout is not torch.strided:
        tensor = (
            tensor.coalesce().values() if tensor.layout is torch.sparse_coo else tensor.values()
        )
    part, _ = select(spread(tensor, limit) if not tensor.is_quantized else tensor, None, 0)
    return part


def pool(tensor: Tensor, axes: tuple[str, ...], limit: int) -> tuple[Tensor, int]:
    """Average-pool the spatial axes by the smallest whole factor that leaves <= ``limit`` values.

    Returns:
        The pooled tensor and the factor. Where even one value per channel is too many, only
        the first ``limit`` channels are kept.
    """
    if tensor.numel() <= limit or tensor.ndim == 0:
        return tensor, 1
    where = [at for at, axis in enumerate(axes) if axis in _SPATIAL or axes == ("F",)]
    if len(axes) != tensor.ndim or not where:
        where = [tensor.ndim - 1]
    where = where[-3:]
    sizes = [tensor.shape[at] for at in where]
    others = tensor.numel() // math.prod(sizes)
    factor = 2
    while others * math.prod(-(-size // factor) for size in sizes) > limit and factor < max(sizes):
        factor += 1
    ends = list(range(-len(where), 0))
    moved = tensor.movedim(where, ends)
    lead = moved.shape[: moved.ndim - len(where)]
    flat = moved.reshape(-1, 1, *sizes)
    flat = flat if flat.dtype in (torch.float32, torch.float64) else flat.float()
    mean = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[len(where) - 1]
    kernel = tuple(min(factor, size) for size in sizes)
    small = mean(flat, kernel, ceil_mode=True, count_include_pad=False)
    result = small.reshape(*lead, *small.shape[2:]).movedim(ends, where)
    if result.numel() > limit and result.shape[0] > 1:
        result = result[: max(limit * result.shape[0] // result.numel(), 1)]
    return result, factor


def zero_channels(tensor: Tensor, axis: int) -> Tensor:
    """Tell for each channel whether it is exactly zero in the whole batch.

    On the CPU the tensor is looked at ever less thinly, and only the channels that were zero so
    far are looked at again: an active layer costs microseconds whatever its size.
    """
    tensor = tensor.detach()
    if tensor.device.type != "cpu":  # nonzero() would wait for the device
        return _all_zero(tensor, axis)
    channels = torch.arange(tensor.shape[axis], device="cpu")
    for points in (3, 12, 0):  # per axis; 0: all
        thin = tuple(
            slice(None) if at == axis or not points else slice(None, None, -(-size // points) or 1)
            for at, size in enumerate(tensor.shape)
        )
        part = tensor[thin]
        if len(channels) < tensor.shape[axis]:
            part = part.index_select(axis, channels)
        channels = channels[_all_zero(part, axis)]
        if not len(channels):
            break
    zero = torch.zeros(tensor.shape[axis], dtype=torch.bool, device="cpu")
    zero[channels] = True
    return zero


def _all_zero(tensor: Tensor, axis: int) -> Tensor:
    others = [at for at in range(tensor.ndim) if at != axis]
    if tensor.dtype is torch.bool or tensor.is_complex():
        return ~(tensor != 0).any(dim=others)
    return (tensor.amax(dim=others) == 0) & (tensor.amin(dim=others) == 0)
