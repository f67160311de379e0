"""Cut small rectangles out of tensors, around the place where NaN or infinity began."""

import numpy as np
import torch
from torch import Tensor

from nbtorchviz.capture.nonfinite_ranges import described
from nbtorchviz.nonfinite import MOST_VALUES, TensorPiece

SIDE = 64
"""Rows and columns of a piece; more of one where there are fewer of the other."""
LONGEST = 128
Index = tuple[int, ...]


def first_bad(tensor: Tensor) -> Index:
    """Return the index of the first NaN, else of the first infinite value; ``()``: none."""
    values = tensor.detach()
    for bad in (torch.isnan(values), ~torch.isfinite(values)):
        if values.numel() and bool(bad.any()):
            flat = int(bad.reshape(-1).to(torch.uint8).argmax())
            return tuple(int(at) for at in np.unravel_index(flat, tuple(values.shape)))
    return ()


def place_in(tensor: Tensor, where: Index, result: tuple[int, ...]) -> Index:
    """Return the index in an input that belongs to ``where`` in a result of the shape ``result``.

    Axes of the same size are taken to be the same, as far as they agree from the left; where
    there is no such axis, the value of the largest size is what one wants to see.
    """
    shape = tuple(tensor.shape)
    if shape == result:
        return where
    alike = 0
    while alike < min(len(shape), len(result), len(where)) and shape[alike] == result[alike]:
        alike += 1
    if alike:
        return where[:alike] + (0,) * (len(shape) - alike)
    if not tensor.numel():
        return (0,) * len(shape)
    size = torch.nan_to_num(tensor.detach().abs().float(), nan=0.0, posinf=0.0)
    flat = int(size.reshape(-1).argmax())
    return tuple(int(at) for at in np.unravel_index(flat, shape))


def piece_of(name: str, tensor: Tensor, around: Index = ()) -> TensorPiece:
    """Copy at most ``MOST_VALUES`` values around an index, as float32; complex ones as their size.

    Args:
        name: what it is called.
        tensor: ``readable``.
        around: an index that the piece holds; ``()``: the first.
    """
    values = tensor.detach()
    if values.is_complex():
        values = values.abs()
    at = around or (0,) * values.ndim
    plane = values[at[:-2]] if values.ndim > 2 else values
    while plane.ndim < 2:
        plane = plane[None]
    rows, columns = plane.shape
    tall = min(rows, LONGEST, max(SIDE, MOST_VALUES // max(columns, 1)))
    wide = min(columns, LONGEST, max(SIDE, MOST_VALUES // max(tall, 1)))
    tall = min(tall, max(1, MOST_VALUES // max(wide, 1)))
    row, column = (0, 0, *at)[-2:]
    top, left = _begin(row, tall, rows), _begin(column, wide, columns)
    cut = plane[top : top + tall, left : left + wide].to("cpu", torch.float32, copy=True)
    start = (*at[:-2], top, left)[-values.ndim :] if values.ndim else ()
    whole = described(name, tensor)
    return TensorPiece(name=name, whole=whole, values=cut.contiguous().numpy(), start=start)


def _begin(at: int, size: int, most: int) -> int:
    """Where a stretch of ``size`` around ``at`` begins; at 0 where it fits."""
    return 0 if at < size else min(at - size // 2, most - size)
