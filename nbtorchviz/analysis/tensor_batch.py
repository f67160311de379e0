"""Arrange any tensor for showing without a model: which axis tells samples apart, and the rest."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nbtorchviz.analysis.images import OWN_RANGE, InputImage, input_image
from nbtorchviz.analysis.layouts import ACCEPTED_AXES, Axes
from nbtorchviz.analysis.normalisation import Normalisation, normalisation_of
from nbtorchviz.arguments import refusal, said

LAYOUTS = ("NCHW", "NHWC", "CHW", "HWC", "NHW", "HW", "NCDHW", "CDHW", "NCL", "CL", "NTD", "TD",
           "NF", "F")  # fmt: skip
"""Accepted words for ``layout``: N samples, C channels, D depth, H rows, W columns, L positions,
T tokens and D features, F numbers."""
MOST_AXES = 5
_COLOURS = (3, 4)
_IMAGE_CHANNELS = (1, 3, 4)


@dataclass(frozen=True, slots=True, eq=False)
class TensorBatch:
    """One tensor, read as samples."""

    values: NDArray[Any]
    """Shape (N, ...): samples first, floats or integers as they came, bfloat16 as float32."""
    axes: Axes
    """Meaning of the axes of one sample."""
    layout: str
    """How it was read, one of ``LAYOUTS``, ``""`` for a single number."""
    shape: tuple[int, ...]
    """Of the tensor that was given."""
    dtype: str
    batched: bool
    """Whether the tensor has an axis of samples."""
    notes: tuple[str, ...] = ()
    """What was done to it first, such as ``"dequantised"``."""

    def picture(self, index: int, most_px: int) -> InputImage:
        """Return sample ``index`` as gray or colour pixels, and the rule that made them."""
        image = input_image(self.values[index], self.axes, max_side_px=most_px)
        known = image.rule is None or image.rule.note != OWN_RANGE or image.image_hw is None
        if known or self.values.dtype.kind != "f" or any("undone" in note for note in self.notes):
            return image
        hint = "no normalisation is known: give transforms=, or mean= and std="
        return replace(image, note=f"{image.note} ({hint})")


def tensor_batch(
    tensor: Any,
    layout: str | None = None,
    *,
    mean: Sequence[float] | float | None = None,
    std: Sequence[float] | float | None = None,
    transforms: Any = None,
) -> TensorBatch:
    """Read a tensor, an array, a picture, or a list of them that have one shape, as a copy.

    Args:
        tensor: torch tensor of any device and dtype but complex, numpy array, PIL image, numbers.
        layout: one of ``LAYOUTS``; by default three axes are CHW, or HWC where the last has 3 or 4
            entries and the first cannot be colours; four are NCHW or NHWC by the same rule.
        mean: subtracted before, per channel or one; values become ``x * std + mean`` again.
        std: divided by before, per channel or one.
        transforms: where to find both instead, see ``analysis.normalisation``.

    Raises:
        TypeError: it holds no real numbers, or ``transforms`` are none.
        ValueError: more than five axes, an unknown layout or one that does not fit, or means for
            another number of channels.
    """
    if transforms is not None and (mean is not None or std is not None):
        raise ValueError("Give either transforms=, or mean= and std=, not both.")
    found = normalisation_of(transforms)
    array, dtype, notes = _read(tensor)
    shape = tuple(array.shape)
    word = _checked(layout, array) if layout is not None else _guess(array)
    if word in ("HW", "NHW"):  # one channel
        array = array[..., None, :, :]
    batched = word.startswith("N")
    if not batched:
        array = array[None]
    axes = _axes(word)
    if mean is not None or std is not None:
        array = _undone(array, axes, mean, std)
        notes = (*notes, "normalisation undone: x · std + mean")
    if found is not None:
        if found != Normalisation():
            array = _undone(array, axes, found.mean, found.std)
        notes = (*notes, found.text)
    return TensorBatch(array, axes, word, shape, dtype, batched, notes)


def _axes(word: str) -> Axes:
    letters = tuple(word.removeprefix("N"))
    axes = ("C", "H", "W") if letters == ("H", "W") else letters
    assert axes in ACCEPTED_AXES
    return axes


def _read(tensor: Any) -> tuple[NDArray[Any], str, tuple[str, ...]]:
    """Return an array in host memory, the dtype's own name, and what had to be done."""
    if isinstance(tensor, Tensor):
        return _of_tensor(tensor)
    if isinstance(tensor, list | tuple) and tensor and not isinstance(tensor[0], int | float):
        return _stacked(tensor)
    try:
        array = np.array(tensor)
    except Exception:
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        hint = " Show its real and imaginary part, or its size: show(abs(x))."
        raise TypeError(
            f"show() needs a tensor, an array or a picture of real numbers, got {said(tensor)}."
            + (hint if array.dtype.kind == "c" else "")
        )
    return array, str(array.dtype), ()


def _of_tensor(tensor: Tensor) -> tuple[NDArray[Any], str, tuple[str, ...]]:
    dtype, notes = str(tensor.dtype).removeprefix("torch."), []
    found = tensor.detach()
    if found.is_complex():
        raise TypeError(
            f"show() needs real numbers, got a {dtype} tensor. "
            "Show its real and imaginary part, or its size: show(x.abs())."
        )
    if found.layout != torch.strided:
        found = found.to_dense()
        notes.append("sparse, shown dense")
    if found.is_quantized:  # a kind that torch is giving up
        found = found.dequantize()
        notes.append("dequantised")
    if found.device.type == "meta":
        raise TypeError("show() needs values; this tensor is on the meta device and has none.")
    if found.dtype in (torch.bfloat16, torch.float16) or found.element_size() < 1:
        found = found.float()
    elif found.is_floating_point() and found.dtype not in (torch.float32, torch.float64):
        found = found.float()  # float8 kinds
    return np.array(found.cpu().numpy()), dtype, tuple(notes)


def _stacked(tensors: Sequence[Any]) -> tuple[NDArray[Any], str, tuple[str, ...]]:
    parts = [_read(each) for each in tensors]
    shapes = sorted({part[0].shape for part in parts})
    if len(shapes) > 1:
        words = ", ".join(str(tuple(shape)) for shape in shapes[:4])
        raise ValueError(
            f"show() needs items of one shape in a list, got {words}. Show them one by one."
        )
    return np.stack([part[0] for part in parts]), parts[0][1], parts[0][2]


def _checked(layout: str, array: NDArray[Any]) -> str:
    if layout not in LAYOUTS:
        accepted = f"one of {', '.join(LAYOUTS)}"
        raise refusal("layout", accepted, layout, typed=isinstance(layout, str))
    if len(layout) != array.ndim:
        raise ValueError(
            f"layout {layout!r} names {len(layout)} axes; this tensor has {array.ndim}: "
            f"{tuple(array.shape)}."
        )
    return layout


def _guess(array: NDArray[Any]) -> str:
    shape = array.shape
    if array.ndim > MOST_AXES:
        raise ValueError(
            f"show() reads at most {MOST_AXES} axes, got shape {tuple(shape)}. "
            "Join some first: show(x.flatten(0, 1))."
        )
    if array.ndim == 3:
        few = _COLOURS if array.dtype.kind == "f" else _IMAGE_CHANNELS
        return "HWC" if shape[-1] in few and shape[0] not in (1, 3) else "CHW"
    if array.ndim == 4:
        last = shape[-1] in _IMAGE_CHANNELS and shape[1] not in _IMAGE_CHANNELS
        return "NHWC" if last else "NCHW"
    return {0: "", 1: "F", 2: "HW", 5: "NCDHW"}[array.ndim]


def _undone(array: NDArray[Any], axes: Axes, mean: Any, std: Any) -> NDArray[np.float32]:
    """Return ``array * std + mean`` along the channels."""
    at = 1 + axes.index("C") if "C" in axes else None
    count = 1 if at is None else array.shape[at]
    found = array.astype(np.float32)
    for name, given, apply in (("std", std, np.multiply), ("mean", mean, np.add)):
        if given is None:
            continue
        numbers = np.asarray(given, np.float32).reshape(-1)
        if len(numbers) not in (1, count):
            raise ValueError(
                f"{name} must be one number or one for each of {count} channels, "
                f"got {len(numbers)} numbers."
            )
        along = [1] * array.ndim
        if at is not None:
            along[at] = len(numbers)
        found = apply(found, numbers.reshape(along) if len(numbers) > 1 else numbers[0])
    return np.asarray(found, np.float32)
