"""Read the images that a viewer is given, and show them as pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils import _pytree as pytree

from nbtorchviz.analysis.images import OWN_RANGE, InputImage, input_image
from nbtorchviz.analysis.layouts import Axes, infer_layout
from nbtorchviz.analysis.normalisation import Normalisation
from nbtorchviz.arguments import refusal
from nbtorchviz.capture.plans import Inputs

MOST_IMAGES = 8
_ACCEPTED = (
    "a batch as the model takes it, such as a tensor (N, C, H, W), one image (C, H, W), or a list "
    "of images"
)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CamImages:
    """The inputs whose maps are shown."""

    inputs: Inputs
    """The model's arguments, at most ``MOST_IMAGES`` items."""
    names: tuple[str, ...]
    labels: tuple[int | None, ...]
    pictures: tuple[InputImage, ...]
    note: str = ""
    unedited: tuple[int, ...] = ()
    """Rows that were painted on; what they were before follows at the end of ``inputs``."""

    def __len__(self) -> int:
        return len(self.names)

    def joined(self, other: "CamImages") -> "CamImages":
        """Return these images and others, given in the same form."""
        first, second = pytree.tree_flatten(self.inputs.args), other.inputs.args
        leaves = [
            torch.cat([a, b]) if isinstance(a, Tensor) else a
            for a, b in zip(first[0], pytree.tree_leaves(second), strict=True)
        ]
        args = pytree.tree_unflatten(leaves, first[1])
        return replace(
            self,
            inputs=Inputs(args, self.inputs.kwargs),
            names=(*self.names, *other.names),
            labels=(*self.labels, *other.labels),
            pictures=(*self.pictures, *other.pictures),
        )


def cam_images(
    given: object,
    labels: object = None,
    names: Sequence[str] | None = None,
    *,
    normalisation: Normalisation | None = None,
) -> CamImages:
    """Read ``given`` as a batch of images.

    Args:
        given: a batch as the model takes it (a tensor or array, a tuple of several arguments);
            one image (C, H, W) or (H, W) without a batch axis; a list of images of one size.
        labels: class of each, or None.
        names: of each; ``"image 0"`` and so on by default, also of those beyond the last name.
        normalisation: to undo where they are shown.

    Raises:
        TypeError, ValueError: it is none of these; the message says what was given.
    """
    inputs = given if isinstance(given, Inputs) else Inputs(_arguments(given))
    first = first_batch(inputs)
    if first is None or not len(first):
        raise refusal("images", _ACCEPTED, given)
    count = len(first)
    kept = min(count, MOST_IMAGES)

    def cut(leaf: Any) -> Any:
        return leaf[:kept] if _is_batch(leaf) and len(leaf) == count else leaf

    args, kwargs = pytree.tree_map(cut, (inputs.args, inputs.kwargs))
    pixels = first[:kept].detach().to("cpu", torch.float32).numpy()
    axes = batch_axes(tuple(first.shape))
    note = f"the first {kept} of {count} images" if count > kept else ""
    return CamImages(
        inputs=Inputs(args, kwargs),
        names=(*(names or ()), *(f"image {at}" for at in range(len(names or ()), kept)))[:kept],
        labels=_labels(labels, count)[:kept],
        pictures=tuple(_picture(item, axes, normalisation) for item in pixels),
        note=note,
    )


def _picture(
    item: NDArray[np.float32], axes: Axes, normalisation: Normalisation | None
) -> InputImage:
    picture = input_image(item, axes, normalisation=normalisation)
    known = normalisation is not None or picture.image_hw is None
    if known or picture.rule is None or picture.rule.note != OWN_RANGE:
        return picture
    hint = "no normalisation is known: shown on its own range; give transforms="
    return replace(picture, note=f"{picture.note} ({hint})")


def _arguments(given: object) -> tuple[Any, ...]:
    if isinstance(given, tuple):
        return tuple(map(_tensor, given))
    if isinstance(given, list):
        items = [_tensor(item) for item in given]
        if not items or not all(isinstance(item, Tensor) for item in items):
            raise refusal("images", _ACCEPTED, given)
        shapes = {tuple(item.shape) for item in items}
        if len(shapes) > 1:
            raise ValueError(f"images in a list must have one size, got {sorted(shapes)}.")
        return (torch.stack([_image(item) for item in items]),)
    tensor = _tensor(given)
    if not isinstance(tensor, Tensor):
        raise refusal("images", _ACCEPTED, given)
    return (_image(tensor)[None] if _is_single(tensor) else tensor,)


def _tensor(value: object) -> Any:
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(value))
    return value


def _image(tensor: Tensor) -> Tensor:
    return tensor[None] if tensor.ndim == 2 else tensor


def _is_single(tensor: Tensor) -> bool:
    """Whether this looks like one image: (C, H, W) with few channels, or (H, W)."""
    shape = tuple(tensor.shape)
    if len(shape) not in (2, 3) or min(shape[-2:]) < 8:
        return False
    return shape[0] == shape[1] if len(shape) == 2 else shape[0] <= 4


def _is_batch(leaf: object) -> TypeGuard[Tensor]:
    return isinstance(leaf, Tensor) and leaf.ndim > 1


def batch_axes(shape: tuple[int, ...]) -> Axes:
    """Return what the axes of one item mean, for a batch of this shape."""
    return infer_layout(shape, module_type="input", batch_size=shape[0]).axes


def first_batch(inputs: Inputs) -> Tensor | None:
    """Return the argument that holds the images."""
    return next((leaf for leaf in pytree.tree_leaves(inputs.args) if _is_batch(leaf)), None)


def _labels(labels: object, count: int) -> tuple[int | None, ...]:
    if labels is None:
        return (None,) * count
    try:
        found = [int(label) for label in torch.as_tensor(labels).reshape(-1).tolist()]
    except (TypeError, ValueError, RuntimeError):
        raise refusal("labels", "class indices, one per image", labels) from None
    if len(found) != count:
        raise ValueError(f"labels must hold one class index per image: {len(found)} for {count}.")
    return tuple(found)
