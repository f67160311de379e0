"""Show the input of a model as a picture, and say by which rule its numbers became pixels."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.layouts import Axes
from nbtorchviz.analysis.normalisation import Normalisation
from nbtorchviz.analysis.quantise import Floats, pool

MAX_SIDE_PX = 224

_NORMALISATIONS: tuple[tuple[str, tuple[float, ...], tuple[float, ...]], ...] = (
    ("ImageNet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ("CIFAR-10", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    ("CIFAR-10", (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    ("0.498, 0.502", (0.498,) * 3, (0.502,) * 3),
    ("MNIST", (0.1307,), (0.3081,)),
    ("Fashion-MNIST", (0.2860,), (0.3530,)),
)
"""Usual means and standard deviations; a guess counts only if it gives back 8-bit levels."""

_FLAT_IMAGES = {784: (1, 28, 28), 3072: (3, 32, 32)}
_SMALLEST_MATRIX = 8
_BEYOND = 0.02
"""Resizing and rounding overshoot by so much."""
OWN_RANGE = "smallest black, largest white"
"""The rule where nothing is known of a picture's range."""


@dataclass(frozen=True, slots=True, eq=False)
class InputImage:
    """A model's input, ready to be shown."""

    pixels: NDArray[np.uint8] | None
    """Shape (h, w) or (h, w, 3), at most 224 a side; None when it is no picture."""
    layout: Literal["gray", "rgb", "none"]
    range: tuple[float, float] | None
    """Smallest and largest finite value; None when none is finite."""
    note: str
    """How numbers became pixels, or what the input is instead: ``"35 numbers"``."""
    image_hw: tuple[int, int] | None
    """Height and width of the input before shrinking; None when its axes are not an image's."""
    rule: "DisplayRule | None" = None
    """How numbers became brightness."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DisplayRule:
    """How the model's numbers become brightness from 0 to 1: ``values * scale + offset``."""

    scale: tuple[float, ...]
    """One per plane drawn, or one for all."""
    offset: tuple[float, ...]
    note: str

    def unit(self, planes: Floats) -> NDArray[np.float32]:
        """Return planes (C, h, w) as brightness, not clipped."""
        scale, offset = (np.array(part)[:, None, None] for part in (self.scale, self.offset))
        return np.asarray(planes.astype(np.float64) * scale + offset, np.float32)

    def value(self, brightness: float, plane: int = 0) -> float:
        """Return the model's number that is drawn this bright."""
        at = plane % len(self.scale)
        return (brightness - self.offset[at]) / self.scale[at]


def input_image(
    values: NDArray[Any],
    axes: Axes,
    *,
    max_side_px: int = MAX_SIDE_PX,
    rule: DisplayRule | None = None,
    normalisation: Normalisation | None = None,
) -> InputImage:
    """Turn one input sample into gray or RGB pixels.

    Args:
        values: one sample in its own order; floats, or integers of any kind.
        axes: meaning of each axis, from ``layouts.infer_layout``.
        max_side_px: larger pictures are shrunk by averaging whole blocks.
        rule: of a picture that this one is to look like; by default guessed from the values.
        normalisation: what to undo, in place of a guess.

    Raises:
        ValueError: the normalisation is for another number of channels.
    """
    array = np.asarray(values)
    integral = array.dtype.kind in "biu"
    array = array.astype(np.float32, copy=False)
    finite = np.isfinite(array)
    span = (float(array[finite].min()), float(array[finite].max())) if finite.any() else None
    planes, note, is_image = _planes(array, axes, integral)
    if planes is None or span is None:
        reason = note if planes is None else "no finite value"
        return InputImage(None, "none", span, reason, None)
    hw = (planes.shape[1], planes.shape[2])
    notes = [note] if note else []
    channels = len(planes)
    if channels not in (1, 3):
        if len(planes) == 4:
            planes, words = planes[:3], "4 channels: the first three as red, green, blue"
        else:
            count = len(planes)
            planes, words = planes.mean(axis=0, keepdims=True), f"mean of {count} channels"
        notes.append(words)
    bad = int(np.count_nonzero(~np.isfinite(planes)))
    if bad:
        planes = np.where(np.isfinite(planes), planes, np.float32(span[0]))
        notes.append(f"{bad} value{'s' * (bad > 1)} not finite, drawn as the smallest")
    if rule is None and normalisation is not None:
        rule = _told_rule(planes, normalisation, channels)
    rule = rule or display_rule(planes)
    unit = rule.unit(planes)
    notes.append(rule.note)
    factor = -(-max(hw) // max_side_px)
    if factor > 1:
        unit = pool(unit, factor)
        notes.append(f"shown at 1/{factor}")
    pixels = np.rint(unit.clip(0, 1) * 255).astype(np.uint8)
    text = "; ".join(part for part in notes if part)
    kept = hw if is_image else None
    if len(pixels) == 1:
        return InputImage(pixels[0], "gray", span, text, kept, rule)
    pixels = np.ascontiguousarray(np.moveaxis(pixels, 0, -1))
    return InputImage(pixels, "rgb", span, text, kept, rule)


def _planes(
    array: NDArray[np.float32], axes: Axes, integral: bool
) -> tuple[NDArray[np.float32] | None, str, bool]:
    """Return planes (C, h, w), what was assumed, and whether these are an image's axes."""
    if array.size == 0:
        return None, "empty", False
    if axes == ("C", "H", "W"):
        return array, "", True
    if axes == ("H", "W", "C"):
        return np.moveaxis(array, -1, 0), "", True
    if axes == ("C", "D", "H", "W"):
        middle = array.shape[1] // 2
        return array[:, middle], f"slice {middle} of {array.shape[1]}", True
    if len(axes) == 2 and array.ndim == 2:
        if min(array.shape) >= _SMALLEST_MATRIX:
            return array[None], f"matrix of {array.shape[0]}×{array.shape[1]}", False
        return None, f"{array.shape[0]}×{array.shape[1]} numbers", False
    if array.size in _FLAT_IMAGES and not integral:
        shape = _FLAT_IMAGES[array.size]
        return array.reshape(shape), f"{array.size} values as {shape[1]}×{shape[2]} (guess)", False
    what = "token ids" if integral and array.ndim else "numbers"
    return None, f"{array.size} {what}" if array.size != 1 else "1 number", False


def _told_rule(planes: Floats, normalisation: Normalisation, channels: int) -> DisplayRule | None:
    """Undo a normalisation, and say what does not fit into [0, 1] afterwards.

    None for the mean of channels that were not normalised alike: nothing undoes that.
    """
    mean, std = normalisation.for_channels(channels)
    if len(mean) > 1 and len(planes) == 1:
        return None
    rule = DisplayRule(scale=std[: len(planes)], offset=mean[: len(planes)], note="")
    undone, note = rule.unit(planes), normalisation.text
    lo, hi = float(undone.min()), float(undone.max())
    if lo < -_BEYOND or hi > 1 + _BEYOND:
        note += f": {lo:.2g} to {hi:.2g} afterwards, clipped to 0 to 1"
    return replace(rule, note=note)


def display_rule(planes: Floats) -> DisplayRule:
    """Guess how finite values (C, h, w), of 1 or 3 planes, are to be drawn, and name the rule."""
    lo, hi = float(planes.min()), float(planes.max())
    values: NDArray[np.float32] = planes.astype(np.float32, copy=False)
    if lo >= 0 and hi <= 1:
        return DisplayRule(scale=(1.0,), offset=(0.0,), note="")
    if lo >= 0 and 2 < hi <= 255 and _has_levels(values):
        return DisplayRule(scale=(1 / 255,), offset=(0.0,), note="")
    for name, means, stds in _NORMALISATIONS:
        if len(means) != len(values):
            continue
        rule = DisplayRule(scale=stds, offset=means, note=f"normalisation undone: {name} (guess)")
        undone = rule.unit(values)
        if undone.min() > -0.01 and undone.max() < 1.01 and _has_levels(undone * 255):
            return rule
    if lo >= -1 and hi <= 1:
        return DisplayRule(scale=(0.5,), offset=(0.5,), note="from [−1, 1]")
    if hi == lo:
        return DisplayRule(scale=(1.0,), offset=(0.5 - lo,), note="constant")
    scale = 1 / (hi - lo)  # Python's numbers: the span of two huge values fits
    return DisplayRule(scale=(scale,), offset=(-lo * scale,), note=OWN_RANGE)


def _has_levels(values: NDArray[np.float32]) -> bool:
    """Whether values lie on whole numbers, as those of an 8-bit image do."""
    return bool(np.abs(values - np.rint(values)).max() < 0.05)
