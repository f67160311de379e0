"""Paint on an input, in the model's own numbers: lines, rectangles, erasing, and taking it back.

Coordinates are those of ``plt.imshow``: x counts columns, y rows, and whole numbers are the
centres of pixels. Pixel (0, 0) reaches from -0.5 to 0.5.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Kind = Literal["brush", "erase", "rectangle", "blank", "reset"]
Point = tuple[float, float]
MOST_STROKES = 200
"""So many can be taken back; earlier ones stay."""
MOST_POINTS = 4_000
"""A longer stroke begins anew, so that it is taken back in parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stroke:
    """One thing that was done to the picture."""

    kind: Kind
    points: tuple[Point, ...] = ()
    """Of a line; the two corners of a rectangle."""
    size: float = 1.0
    """Width of a line in pixels."""
    values: tuple[float, ...] = ()
    """One per channel."""


def line_mask(height: int, width: int, points: Sequence[Point], size: float) -> NDArray[np.bool_]:
    """Return the pixels of a line: those whose centre is at most ``size / 2`` from it.

    The pixels under the points always belong to it, so that a dot of size 1 is one pixel. What
    lies outside of the picture is left out.

    Args:
        height: of the picture.
        width: of the picture.
        points: one or more (x, y), joined in this order.
        size: width of the line in pixels.
    """
    mask = np.zeros((height, width), bool)
    reach = size / 2
    for (x0, y0), (x1, y1) in zip(points, points[1:] or points, strict=False):
        left, right = _span(min(x0, x1) - reach, max(x0, x1) + reach, width)
        top, bottom = _span(min(y0, y1) - reach, max(y0, y1) + reach, height)
        if left >= right or top >= bottom:
            continue
        y, x = np.mgrid[top:bottom, left:right].astype(np.float64)
        dx, dy = x1 - x0, y1 - y0
        length = dx * dx + dy * dy
        along = ((x - x0) * dx + (y - y0) * dy) / length if length else np.zeros_like(x)
        along = along.clip(0, 1)
        near = np.hypot(x - x0 - along * dx, y - y0 - along * dy) <= reach + 1e-9
        mask[top:bottom, left:right] |= near
    for x, y in points:
        column, row = _pixel(x), _pixel(y)
        if 0 <= column < width and 0 <= row < height:
            mask[row, column] = True
    return mask


def rectangle_mask(height: int, width: int, corners: Sequence[Point]) -> NDArray[np.bool_]:
    """Return the pixels from one corner to the other, both included, in whatever order."""
    (x0, y0), (x1, y1) = corners
    columns = sorted((_pixel(x0), _pixel(x1)))
    rows = sorted((_pixel(y0), _pixel(y1)))
    mask = np.zeros((height, width), bool)
    mask[max(0, rows[0]) : max(0, rows[1] + 1), max(0, columns[0]) : max(0, columns[1] + 1)] = True
    return mask


def _pixel(place: float) -> int:
    return math.floor(place + 0.5)


def _span(low: float, high: float, length: int) -> tuple[int, int]:
    """First pixel and the one after the last whose centres are from ``low`` to ``high``."""
    return max(0, math.floor(low)), min(length, math.ceil(high) + 1)


class Painting:
    """A picture (C, H, W) and what was done to it, stroke by stroke.

    Nothing here is random, so that taking a stroke back by doing the others again gives the very
    same numbers.

    Args:
        original: shape (C, H, W), any dtype; it is not written to.
        background: value of each channel of an empty picture; by default its smallest.
    """

    def __init__(self, original: Tensor, background: Sequence[float] | None = None) -> None:
        self.original = original.detach().clone()
        flat = self.original.flatten(1).to("cpu", torch.float64)
        finite = [row[row.isfinite()] if row.isfinite().any() else row.new_zeros(1) for row in flat]
        self.mean = tuple(float(row.mean()) for row in finite)
        """Of each channel: what is erased becomes this."""
        lowest = tuple(float(row.min()) for row in finite)
        self.background = lowest if background is None else tuple(background)
        self.image = self.original.clone()
        """The picture as it is now. A new tensor after every change."""
        self.strokes: tuple[Stroke, ...] = ()
        self._oldest = self.original
        self._before = self.original
        """The picture without the newest stroke."""

    @property
    def channels(self) -> int:
        """Channels of the picture."""
        return self.original.shape[0]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.original.shape[1], self.original.shape[2]

    @property
    def difference(self) -> Tensor:
        """The picture minus the original, float32."""
        return self.image.to(torch.float32) - self.original.to(torch.float32)

    @property
    def changed(self) -> int:
        """Pixels that differ from the original in any channel."""
        same = (self.image == self.original) | (self.image.isnan() & self.original.isnan())
        return int((~same).any(0).sum())

    def mask(self, stroke: Stroke) -> NDArray[np.bool_]:
        """Return the pixels that a stroke touches, shape (H, W)."""
        height, width = self.size
        if stroke.kind == "rectangle":
            return rectangle_mask(height, width, stroke.points)
        if stroke.kind in ("blank", "reset"):
            return np.ones((height, width), bool)
        return line_mask(height, width, stroke.points, stroke.size)

    def add(self, stroke: Stroke) -> None:
        """Do one thing more."""
        self._before = self.image
        self.image = self._after(self.image, stroke)
        self.strokes = (*self.strokes, stroke)
        while len(self.strokes) > MOST_STROKES:
            self._oldest = self._after(self._oldest, self.strokes[0])
            self.strokes = self.strokes[1:]

    def extend(self, point: Point) -> bool:
        """Lead the newest stroke on to ``point``: a line gets longer, a rectangle moves its corner.

        Returns:
            Whether anything changed; False also where the newest stroke cannot be led on.
        """
        if not self.strokes or self.strokes[-1].kind in ("blank", "reset"):
            return False
        last = self.strokes[-1]
        if point == last.points[-1]:
            return False
        if last.kind == "rectangle":
            stroke = replace(last, points=(last.points[0], point))
            image = self._after(self._before, stroke)
        elif len(last.points) >= MOST_POINTS:
            self.add(replace(last, points=(last.points[-1], point)))
            return True
        else:
            stroke = replace(last, points=(*last.points, point))
            image = self._after(self.image, replace(last, points=(last.points[-1], point)))
        self.strokes = (*self.strokes[:-1], stroke)
        different = not torch.equal(image, self.image)
        self.image = image
        return different

    def undo(self) -> bool:
        """Take the newest stroke back; False when there is none."""
        if not self.strokes:
            return False
        self.strokes = self.strokes[:-1]
        image = before = self._oldest
        for stroke in self.strokes:
            before, image = image, self._after(image, stroke)
        self.image, self._before = image.clone(), before
        return True

    def _after(self, image: Tensor, stroke: Stroke) -> Tensor:
        if stroke.kind == "reset":
            return self.original.clone()
        values = torch.tensor(stroke.values, dtype=torch.float64)
        if not image.dtype.is_floating_point:
            values = values.round()
        mask = torch.from_numpy(self.mask(stroke)).to(image.device)
        values = values.to(image.dtype).to(image.device)
        return torch.where(mask, values[:, None, None], image)
