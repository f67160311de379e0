"""Put pictures that a user painted on in the place of the images that a viewer was given."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from nbtorchviz.analysis.images import input_image
from nbtorchviz.capture.plans import Inputs
from nbtorchviz.session.cam_images import CamImages, batch_axes, first_batch

if TYPE_CHECKING:
    from nbtorchviz.session.session import Session


def picture_of(images: CamImages, row: int) -> Tensor:
    """Return one image as a picture (C, H, W) in the model's own numbers.

    Raises:
        ValueError: the input is no picture.
    """
    leaf = first_batch(images.inputs)
    axes = () if leaf is None else batch_axes(tuple(leaf.shape))
    if leaf is None or axes not in (("C", "H", "W"), ("H", "W", "C")) or leaf.is_complex():
        kind = images.pictures[row].note or "something else"
        raise ValueError(
            f"Only pictures of shape (C, H, W) or (H, W, C) can be painted on; {images.names[row]} "
            f"is {kind if axes else 'no tensor'}."
        )
    return _as_picture(leaf[row].detach(), axes)


def edited_images(images: CamImages, edits: Mapping[int, Tensor]) -> CamImages:
    """Return the images with edited pictures in their places.

    What an edited image was before is added to the model's inputs, unseen: its probabilities by
    the same weights are what the new ones are compared with.

    Args:
        images: as they were given.
        edits: pictures (C, H, W) by row.
    """
    leaf = first_batch(images.inputs)
    if leaf is None:
        return images
    count, rows = len(leaf), tuple(sorted(edits))
    axes = batch_axes(tuple(leaf.shape))
    painted, pictures, names = leaf.detach().clone(), list(images.pictures), list(images.names)
    for row in rows:
        painted[row] = _as_item(edits[row], axes).to(leaf)
        item = painted[row].to("cpu", torch.float32).numpy()
        pictures[row] = input_image(item, axes, rule=images.pictures[row].rule)
        names[row] = f"{names[row]}, edited"
    before = torch.tensor(rows, device=leaf.device)

    def joined(each: Any) -> Any:
        if not isinstance(each, Tensor) or each.ndim < 2 or len(each) != count:
            return each
        return torch.cat([painted if each is leaf else each, each[before.to(each.device)]])

    args, kwargs = pytree.tree_map(joined, (images.inputs.args, images.inputs.kwargs))
    return replace(
        images,
        inputs=Inputs(args, kwargs),
        names=tuple(names),
        pictures=tuple(pictures),
        unedited=rows,
    )


def edit_pin(session: "Session", old: Tensor, new: Tensor) -> bool:
    """Put ``new`` in the place of ``old`` wherever the session has pinned it.

    Widgets that show the pinned input follow.

    Args:
        session: whose pinned input may hold the picture.
        old: picture (C, H, W), as it is pinned.
        new: picture (C, H, W) to be shown.

    Returns:
        Whether ``old`` was pinned.
    """
    pinned = session.recorder.pinned_inputs
    if pinned is None or (leaf := first_batch(pinned[0])) is None:
        return False
    axes = batch_axes(tuple(leaf.shape))
    if axes not in (("C", "H", "W"), ("H", "W", "C")):
        return False
    rows = [
        row
        for row, item in enumerate(leaf)
        if torch.equal(_as_picture(item.detach(), axes).to(old), old)
    ]
    if not rows:
        return False
    painted = leaf.detach().clone()
    for row in rows:
        painted[row] = _as_item(new, axes).to(leaf)
    args, kwargs = pytree.tree_map(
        lambda each: painted if each is leaf else each, (pinned[0].args, pinned[0].kwargs)
    )
    session.recorder.pin(Inputs(args, kwargs), pinned[1])
    return True


def _as_picture(item: Tensor, axes: Sequence[str]) -> Tensor:
    return item if axes[0] == "C" else item.movedim(-1, 0)


def _as_item(picture: Tensor, axes: Sequence[str]) -> Tensor:
    return picture if axes[0] == "C" else picture.movedim(0, -1)
