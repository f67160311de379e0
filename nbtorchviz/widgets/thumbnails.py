"""Small pictures of many layers, for the tree and for sliders in hosts that only listen."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.feature_maps import describe
from nbtorchviz.analysis.packets import pack
from nbtorchviz.analysis.quantise import pool, quantise
from nbtorchviz.events import LayerCaptured
from nbtorchviz.session import Session

ROW_SIDE = 20
"""Pixels of the picture in a tree row, at most."""
TILE_SIDE = 14
TILES = 16
REFRESHED = 6
"""Layers made anew in one packet once all were sent; each costs about 0.2 ms."""
_ITEM_BYTES = 300


class Thumbnails:
    """Makes packets of those layers whose kept frame is newer than what was sent of it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._sent: dict[str, int] = {}

    def forget(self) -> None:
        """Send everything again: a new view knows nothing."""
        self._sent.clear()

    def packet(self, seq: int, limit_bytes: int) -> bytes | None:
        """Return the thumbnails that are most out of date, within ``limit_bytes``; None if none."""
        kept = self._session.recorder.kept["batch"]
        steps = kept.newest_steps()
        sent = self._sent
        stale = [key for key in self._session.layers if steps.get(key, -1) > sent.get(key, -1)]
        stale.sort(key=lambda key: sent.get(key, -1))
        new = sum(key not in sent for key in stale)
        items: list[dict[str, Any]] = []
        arrays: dict[str, NDArray[Any]] = {}
        size = 1000
        for key in stale[: max(new, REFRESHED)]:
            event = kept.newest(key)
            if event is None:
                continue
            item, pictures = _thumbnail(event)
            size += _ITEM_BYTES + sum(picture.nbytes + 8 for picture in pictures)
            if items and size > limit_bytes:
                break
            arrays |= {f"{'tm'[i]}{len(items)}": picture for i, picture in enumerate(pictures)}
            items.append(item)
            sent[key] = event.step
        if not items:
            return None
        return pack({"seq": seq, "step": self._session.step, "items": items}, arrays)


def _thumbnail(event: LayerCaptured) -> tuple[dict[str, Any], list[NDArray[np.uint8]]]:
    planes = event.values
    if event.axes != ("C", "H", "W"):
        planes = describe(event.values, event.axes).planes
    if not planes.size:
        planes = np.zeros((1, 1, 1), np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        strength = np.abs(planes[: 2 * TILES]).mean(axis=0)
    row, _, _ = quantise(_shrink(strength[None], ROW_SIDE))
    codes, lo, hi = quantise(_shrink(planes[:TILES], TILE_SIDE))
    item = {
        "key": event.layer,
        "step": event.step,
        "zero_share": event.statistics.zero_share,
        "w": row.shape[2],
        "h": row.shape[1],
        "count": len(codes),
        "lo": [float(value) for value in lo],
        "hi": [float(value) for value in hi],
    }
    return item, [row[0], codes]


def _shrink(planes: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Pool planes to at most ``side`` pixels; a long strip is cut into rows."""
    count, height, width = planes.shape
    if height == 1 and width > side:
        columns = min(side, math.isqrt(width))
        rows = min(side, width // columns)
        # Means of runs that are as long as each other or one longer: no cell is left without a
        # value, which would be drawn as NaN.
        begins = np.arange(rows * columns) * width // (rows * columns)
        with np.errstate(invalid="ignore", over="ignore"):
            sums = np.add.reduceat(planes[:, 0], begins, axis=1)
        lengths = np.diff(begins, append=width).astype(np.float32)
        means: NDArray[np.float32] = (sums / lengths).reshape(count, rows, columns)
        return means
    factor = -(-max(planes.shape[1:]) // side)
    return pool(planes, factor)
