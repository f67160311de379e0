"""Tell whether tensors hold NaN or infinite values, and describe them in a few numbers."""

from collections.abc import Iterable

import torch
from torch import Tensor

from nbtorchviz.capture.leaves import dtype_name, refusal
from nbtorchviz.nonfinite import TensorRange


def readable(tensor: Tensor) -> bool:
    """Whether a tensor has floating values that can be looked at."""
    if not (tensor.is_floating_point() or tensor.is_complex()) or refusal(tensor):
        return False
    plain = tensor.layout is torch.strided and not tensor.is_nested
    return plain and not hasattr(tensor, "to_local")


def flag_of(tensors: Iterable[Tensor]) -> Tensor | None:
    """Return one number on the device that is finite only if all values of all tensors are.

    It may overflow where no value is infinite: ask ``bad_in`` then. One fused pass, no waiting.
    """
    groups: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for tensor in tensors:
        if tensor.layout is torch.strided and tensor.is_floating_point() and tensor.numel():
            groups.setdefault((tensor.device, tensor.dtype), []).append(tensor)
    if not groups:
        return None
    with torch.no_grad():
        totals = [torch.stack(torch._foreach_norm(group)).sum() for group in groups.values()]
        if len(totals) == 1:
            return totals[0]
        first = totals[0].device
        return torch.stack([total.to(first, torch.float32) for total in totals]).sum()


def own_values(tensor: Tensor) -> Tensor:
    """Return the values that lie here: of a sparse tensor, or of a shard of one."""
    if type(tensor) is Tensor and tensor.layout is torch.strided:  # the usual case
        return tensor
    if hasattr(tensor, "to_local"):  # looking at the whole would be a collective
        shard: Tensor = tensor.to_local()
        return shard
    return tensor._values() if tensor.is_sparse else tensor


def bad_in(tensor: Tensor) -> tuple[int, int]:
    """Count NaN and infinite values, exactly."""
    values = tensor.detach()
    nan = int(torch.isnan(values).sum())
    return nan, int((~torch.isfinite(values)).sum()) - nan


def has_nan(tensor: Tensor) -> bool:
    """Whether any value is NaN; infinite values alone are not."""
    values = tensor.detach()
    if not values.numel():
        return False
    # One pass without a mask: only where the sum is NaN is it worth to look closely.
    total = values.sum().item()
    return total != total and bool(torch.isnan(values).any())  # NaN differs from itself


def described(name: str, tensor: Tensor) -> TensorRange:
    """Describe a tensor that is ``readable``."""
    values = tensor.detach()
    if values.is_complex():
        values = values.abs()
    nan, infinite = bad_in(values)
    lowest = highest = None
    if nan + infinite < values.numel():
        finite = values if not nan + infinite else values[torch.isfinite(values)]
        low, high = torch.aminmax(finite)
        lowest, highest = float(low), float(high)
    shape = tuple(int(size) for size in tensor.shape)
    return TensorRange(
        name=name,
        shape=shape,
        dtype=dtype_name(tensor),
        lowest=lowest,
        highest=highest,
        nan=nan,
        infinite=infinite,
    )
