"""What an attribution returns: raw maps, and everything needed to read them."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from nbtorchviz.analysis.gradcam import finished


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CamResult:
    """Maps of one layer, one per sample."""

    maps: NDArray[np.float32]
    """Raw maps (N, H, W); (N, L), (N, T) or (N, D, H, W) where ``axes`` says so. In units of the
    score, before the last ReLU: positive values speak for the target, negative ones against it.
    They are in the size of the layer's output."""
    layer: str
    """Layer key, with its call where that is not the first: ``"layer1.0.relu#1"``."""
    call: int
    """Which call of the layer in this forward, from 0."""
    method: str
    targets: tuple[int | str, ...]
    """What each sample's map explains: a class index, or words."""
    logits: NDArray[np.float32] | None
    """Class scores (N, K) of this forward; None where the model puts out something else."""
    axes: tuple[str, ...]
    """Of ``maps``, without N."""
    notes: tuple[str, ...] = ()
    """What to know before reading the maps: how tokens were arranged, why a map is blank."""

    def heatmaps(self, size: tuple[int, ...] | None = None) -> NDArray[np.float32]:
        """Return maps to look at: ReLU, resized to ``size``, each divided by its own maximum.

        Args:
            size: (H, W) of the image, for instance; None keeps the layer's size.

        Returns:
            Values in [0, 1]; never compare two samples by them.
        """
        return finished(torch.from_numpy(self.maps), size).numpy()

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.maps.shape))
        notes = f", {len(self.notes)} notes" if self.notes else ""
        return f"CamResult({self.method} of {self.layer!r}, maps {shape}{notes})"
