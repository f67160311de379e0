"""Maps of pinned images while a model trains: every layer, the classes that lead, in one pass."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from nbtorchviz.attribution.passes import CamPass


@dataclass(frozen=True, slots=True, eq=False)
class PinnedMaps:
    """Raw maps of several layers and classes, of one forward."""

    logits: NDArray[np.float32]
    """Class scores, shape (N, K)."""
    classes: NDArray[np.int64]
    """Shape (J, N): which class the j-th map of the n-th image explains."""
    maps: dict[str, NDArray[np.float32]]
    """By layer key, in the order of execution: raw maps of shape (J, N, *S)."""
    axes: dict[str, tuple[str, ...]]
    """By layer key: what the axes S are."""
    notes: dict[str, tuple[str, ...]]
    """By layer key: what to know before reading the maps."""
    default: str
    """The layer that ``gradcam`` shows unless told otherwise."""


def pinned_maps(
    model: nn.Module,
    images: object,
    *,
    top: int = 1,
    classes: Sequence[int] = (),
    layers: Iterable[str] | None = None,
    method: str = "gradcam",
) -> PinnedMaps:
    """Map images at every layer for the classes that lead, with one guarded forward.

    Call it on the training thread between two steps. Each class costs one backward, for all
    images at once; a forward and a backward of a few images cost far less than a training step.

    Args:
        model: a classifier.
        images: what ``model(images)`` takes.
        top: how many of each image's leading classes.
        classes: further classes, the same for every image.
        layers: names whose calls are mapped; None: all with positions.
        method: as in ``gradcam``.

    Raises:
        ValueError: the model puts out no class scores, or there is no such class or method.
        NoMapError: no layer has positions.
    """
    with CamPass(model, images, layers=layers) as kept:
        if kept.logits is None:
            raise ValueError("This model puts out no class scores (N, K), so no class leads.")
        order = np.argsort(-kept.logits, axis=1, kind="stable")[:, :top].T
        every = [*order, *(np.full(kept.samples, index) for index in classes)]
        default = kept.default_key(kept.scores(every[0]))
        found = [kept.maps(chosen, method=method, last=chosen is every[-1]) for chosen in every]
        return PinnedMaps(
            logits=kept.logits,
            classes=np.stack(every).astype(np.int64),
            maps={key: np.stack([each[key].maps for each in found]) for key in found[0]},
            axes={key: result.axes for key, result in found[0].items()},
            notes={key: result.notes for key, result in found[0].items()},
            default=default,
        )
