"""Class activation maps of some images at one step, small enough to be kept and sent.

A map is kept as 16-bit codes on its own range, so that a value read back is off by at most
1/131,068 of that range. Half floats would lose what maps of a well-trained model hold: gradients
of 1e-9 are zero to them.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.quantise import pool

LAST, NAN = 65534, 65535
NONE, OWN = -1, -2
"""No class; a target that is none: a callable, a mask, a box."""
INPUT_SIDE = 112
"""Most values along a side of a map of the input itself."""
MOST_SIDE = 28
"""Larger maps are averaged over blocks: of an early layer, at most this many values a side."""
USUAL_SLOTS = 5

Codes = NDArray[np.uint16]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CamLayer:
    """Maps of one layer for N images and S slots: one slot for each class that is explained."""

    key: str
    type: str
    shape: tuple[int, ...]
    """Of its output, without N."""
    codes: Codes
    """Shape (N, S, h, w)."""
    ranges: NDArray[np.float32]
    """Smallest and largest finite value of each map, shape (N, S, 2)."""
    pooled: int = 1
    """Side of the blocks over which maps were averaged."""
    note: str = ""

    @property
    def maps(self) -> NDArray[np.float32]:
        """The raw maps, shape (N, S, h, w)."""
        return decode(self.codes, self.ranges)

    def taking(self, slots: NDArray[np.intp]) -> "CamLayer":
        """Return only these slots."""
        return replace(self, codes=self.codes[:, slots], ranges=self.ranges[:, slots])


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CamFrame:
    """What was computed at one step, for N images, S slots and K classes."""

    step: int
    method: str
    linear: bool
    """Whether raw(a - b) = raw(a) - raw(b), so that a view makes contrasts itself."""
    layers: tuple[CamLayer, ...]
    """In the order of execution."""
    layer: str
    """The one to show where none was chosen."""
    classes: NDArray[np.int32]
    """Class of each slot, shape (N, S); ``NONE``: the slot is empty."""
    against: NDArray[np.int32]
    """The class it is held against, or ``NONE``."""
    p: NDArray[np.float32]
    """Probability of each, NaN where unknown."""
    explained: tuple[int, ...]
    """Of each image the class that is explained where none was chosen: the predicted one, or what
    the viewer was made with."""
    tops: tuple[tuple[tuple[int, float], ...], ...]
    """Of each image the most probable classes with probabilities."""
    names: tuple[str, ...]
    """Of the images."""
    labels: tuple[int | None, ...]
    classes_known: int
    """K; 0 where the model puts out no class scores."""
    captured_at_s: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Memory of the maps."""
        return sum(layer.codes.nbytes + layer.ranges.nbytes for layer in self.layers)

    def find(self, key: str) -> CamLayer | None:
        """Return a layer by its key."""
        return next((layer for layer in self.layers if layer.key == key), None)

    def slot(self, row: int, cls: int, against: int = NONE) -> int | None:
        """Return the slot in which an image's map of a class is."""
        found = np.flatnonzero((self.classes[row] == cls) & (self.against[row] == against))
        return int(found[0]) if len(found) else None

    def raw(self, row: int, key: str, cls: int, against: int = NONE) -> NDArray[np.float32] | None:
        """Return one raw map (h, w); None where it was not computed."""
        layer, slot = self.find(key), self.slot(row, cls, against)
        if layer is None:
            return None
        if slot is not None:
            return decode(layer.codes[row, slot], layer.ranges[row, slot])
        if against == NONE or not self.linear:
            return None
        one, other = (self.raw(row, key, each) for each in (cls, against))
        return None if one is None or other is None else one - other

    def taking(self, slots: NDArray[np.intp]) -> "CamFrame":
        """Return only these slots of every layer."""
        return replace(
            self,
            layers=tuple(layer.taking(slots) for layer in self.layers),
            classes=self.classes[:, slots],
            against=self.against[:, slots],
            p=self.p[:, slots],
        )

    def within(self, limit_bytes: int, first: Iterable[int] = ()) -> "CamFrame":
        """Return what fits: by turns fewer classes, and maps averaged over larger blocks.

        Args:
            limit_bytes: most bytes of codes and ranges.
            first: slots that stay longest.
        """
        order = list(dict.fromkeys([*first, *range(self.classes.shape[1])]))
        needed, frame = max(1, len(set(first))), self
        steps = ((INPUT_SIDE, USUAL_SLOTS), (56, USUAL_SLOTS), (MOST_SIDE, USUAL_SLOTS))
        for side, slots in (*steps, (14, 2), (7, 1)):
            if frame.size_bytes > limit_bytes:
                layers = tuple(_pooled(layer, side) for layer in frame.layers)
                frame = replace(frame, layers=layers)
            least = max(slots, needed) if side > 7 else 1
            smaller = frame._narrowed(order, limit_bytes, least)
            if smaller is not frame:
                frame, order = smaller, list(range(smaller.classes.shape[1]))
        return frame

    def _narrowed(self, order: Sequence[int], limit_bytes: int, least: int) -> "CamFrame":
        """Return as many slots as fit, in this order of importance, but at least so many."""
        slots = self.classes.shape[1]
        if self.size_bytes <= limit_bytes or slots <= least:
            return self
        kept = max(least, limit_bytes // max(1, self.size_bytes // slots))
        return self.taking(np.array(order[:kept], np.intp))


def encode(maps: NDArray[np.float32]) -> tuple[Codes, NDArray[np.float32]]:
    """Write maps (..., h, w) as codes and ranges (..., 2); values that are not finite: ``NAN``."""
    finite = np.isfinite(maps)
    lo = np.where(finite, maps, np.inf).min(axis=(-2, -1))
    hi = np.where(finite, maps, -np.inf).max(axis=(-2, -1))
    some = np.isfinite(lo)
    ranges = np.stack([np.where(some, lo, 0), np.where(some, hi, 0)], -1).astype(np.float32)
    low = ranges[..., 0, None, None].astype(np.float64)
    span = ranges[..., 1, None, None].astype(np.float64) - low
    codes = np.rint((np.where(finite, maps, low) - low) / np.where(span > 0, span, 1) * LAST)
    return np.where(finite, codes, NAN).astype(np.uint16), ranges


def decode(codes: Codes, ranges: NDArray[np.float32]) -> NDArray[np.float32]:
    """Read what ``encode`` wrote."""
    low = ranges[..., 0, None, None].astype(np.float64)  # a step may be below float32's smallest
    step = (ranges[..., 1, None, None] - low) / LAST
    values = (low + codes * step).astype(np.float32)
    return np.where(codes == NAN, np.float32(math.nan), values)


def cam_layer(
    key: str,
    maps: NDArray[np.float32],
    *,
    type: str,
    shape: tuple[int, ...],
    note: str = "",
    most_side: int = MOST_SIDE,
) -> CamLayer:
    """Make a layer of raw maps (N, S, h, w), averaged over blocks where they are large."""
    factor = -(-max(maps.shape[-2:]) // most_side)
    codes, ranges = encode(pool(maps, factor))
    return CamLayer(
        key=key, type=type, shape=shape, codes=codes, ranges=ranges, pooled=factor, note=note
    )


def _pooled(layer: CamLayer, side: int) -> CamLayer:
    factor = -(-max(layer.codes.shape[-2:]) // side)
    if factor == 1:
        return layer
    codes, ranges = encode(pool(layer.maps, factor))
    return replace(layer, codes=codes, ranges=ranges, pooled=layer.pooled * factor)
