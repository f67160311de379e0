"""Draw the tensors before and after the first NaN as a PNG, as the live view does."""

import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from nbtorchviz.analysis.colormaps import apply
from nbtorchviz.analysis.drawing import Picture, theme_named
from nbtorchviz.analysis.picture_frame import INSET, WIDTH_PX, Arrays, Facts
from nbtorchviz.analysis.picture_parts import Painting
from nbtorchviz.analysis.quantise import LEVELS, NAN
from nbtorchviz.analysis.ticks import short

SIDE_PX = 168
GAP_PX = 44
_TALLEST = 900
_LINE_PX = 18
_WRITTEN_PX = 30
"""Cells as wide as that have their number written in them."""


def nonfinite_picture(
    header: Facts, arrays: Arrays, theme: str = "light", *, limit_bytes: int = 100_000
) -> bytes:
    """Draw title, tensors and sentences, 900 px wide.

    Args:
        header: of ``nonfinite_parts``.
        arrays: likewise.
        theme: ``"light"`` or ``"dark"``.
        limit_bytes: drawn at 2 device pixels per CSS pixel if that fits, else at 1.
    """
    data = b""
    for scale in (2, 1):
        picture = Picture(WIDTH_PX, _TALLEST, theme_named(theme), scale=scale)
        top = _title(picture, header)
        top += _pieces(picture, header, arrays, top)
        for line in header["lines"]:
            for text in picture.wrap(line, WIDTH_PX - 2 * INSET, size=12):
                picture.text((INSET, top), text, size=12)
                top += _LINE_PX
        picture.crop(round(top) + 12)
        data = picture.png(limit_bytes=limit_bytes if scale == 1 else None)
        if len(data) <= limit_bytes:
            break
    return data


def _title(picture: Picture, header: Facts) -> float:
    theme = picture.theme
    width = WIDTH_PX - 2 * INSET
    lines = picture.wrap(header["title"], width - 40)
    height = 16 + 20 * len(lines) + (22 if header["code"] else 0)
    picture.rect((INSET, 12, INSET + width, 12 + height), fill=theme.error_panel)
    picture.rect((INSET, 12, INSET + 4, 12 + height), fill=theme.error)
    for at, text in enumerate(lines):
        picture.text((INSET + 16, 20 + 20 * at), text, bold=True)
    if header["code"]:
        top = 20 + 20 * len(lines)
        picture.text((INSET + 16, top), header["code"], size=12, max_width=width - 40)
    return 12 + height + 14


def _pieces(picture: Picture, header: Facts, arrays: Arrays, top: float) -> float:
    pieces = [(at, piece) for at, piece in enumerate(header["pieces"]) if f"c{at}" in arrays]
    tallest = 0.0
    room = (WIDTH_PX - 2 * INSET + GAP_PX) / max(4, len(pieces)) - GAP_PX
    for place, (at, piece) in enumerate(pieces):
        left = INSET + place * (room + GAP_PX)
        theme, last = picture.theme, piece["role"] == "after"
        color = theme.error if last else theme.text
        picture.text((left, top), piece["name"], bold=True, size=12, color=color, max_width=room)
        size = " ".join(part for part in (piece["shape"], piece["place"]) if part)
        picture.text((left, top + 16), size, size=11, color=theme.second, max_width=room)
        box = _map(picture, (left, top + 36), min(SIDE_PX, room), piece, arrays, at)
        tallest = max(tallest, box[3] - top)
        if last and place:
            middle = (box[1] + box[3]) / 2
            start = left - GAP_PX + 10
            picture.polyline([(start, middle), (left - 12, middle)], theme.second, width=2)
            tip = [(left - 19, middle - 6), (left - 12, middle), (left - 19, middle + 6)]
            picture.polyline(tip, theme.second, width=2)
    below = top + tallest + 6
    for place, (_, piece) in enumerate(pieces):
        left = INSET + place * (room + GAP_PX)
        picture.text((left, below), piece["range"], size=12, max_width=room)
        spot = (left, below + 16)
        color = picture.theme.error
        picture.text(spot, piece["bad"], size=12, bold=True, color=color, max_width=room)
    return tallest + 50 if pieces else 0


def _map(
    picture: Picture,
    at: tuple[float, float],
    side: float,
    piece: Facts,
    arrays: Arrays,
    index: int,
) -> tuple[float, float, float, float]:
    codes: NDArray[np.uint8] = arrays[f"c{index}"]
    rows, columns = codes.shape
    # Whole device pixels per value, else values next to each other would differ in size.
    cell = max(1, int(side * picture.scale / max(rows, columns))) / picture.scale
    cell = min(cell, 42.0)
    lo, hi = piece["lo"], piece["hi"]
    signed = lo < 0 < hi or hi < 0
    painting = Painting("diverging" if signed else "viridis", signed, None)
    left, top = at
    box = (left, top, left + columns * cell, top + rows * cell)
    rgb = apply(painting.codes(codes, lo, hi), painting.colormap)
    theme = picture.theme
    ground = np.array(ImageColor.getrgb(theme.error_panel)[:3], np.uint8)
    picture.pixels(np.where((codes > LEVELS)[..., None], ground, rgb), box)
    if cell < _WRITTEN_PX:
        _strike(picture, box, cell, codes, rgb)
    values = arrays.get(f"v{index}")
    if cell >= _WRITTEN_PX and values is not None:
        for (row, column), value in np.ndenumerate(values):
            light = int(rgb[row, column].astype(int) @ [299, 587, 114]) > 140_000
            ink = "#000000" if light else "#ffffff"
            color = ink if np.isfinite(value) else theme.error
            middle = (left + (column + 0.5) * cell, top + (row + 0.5) * cell - 7)
            picture.text(middle, short(float(value)), size=10, color=color, align="center")
    picture.rect(box, outline=theme.edge)
    if piece["mark"]:
        row, column = piece["mark"]
        x, y = left + column * cell, top + row * cell
        picture.rect((x - 2, y - 2, x + cell + 2, y + cell + 2), outline=theme.accent, width=2)
    return box


def _strike(
    picture: Picture,
    box: tuple[float, float, float, float],
    cell: float,
    codes: NDArray[np.uint8],
    rgb: NDArray[np.uint8],
) -> None:
    """Hatch cells that are NaN, cross out those that are infinite."""
    left, top = box[:2]
    spots = {
        at: (left + at[1] * cell, top + at[0] * cell, left + (at[1] + 1) * cell,
             top + (at[0] + 1) * cell)
        for at in np.ndindex(codes.shape)
    }  # fmt: skip
    if (codes == NAN).any():
        picture.hatch(box, picture.theme.error, gap=4)
        for at in zip(*np.nonzero(codes != NAN), strict=True):
            ground = picture.theme.error_panel
            fill = ground if codes[at] > LEVELS else "#{:02x}{:02x}{:02x}".format(*rgb[at])
            picture.rect(spots[at], fill=fill)
    for at in zip(*np.nonzero((codes > LEVELS) & (codes != NAN)), strict=True):
        x, y, right, bottom = spots[at]
        for line in ([(x, y), (right, bottom)], [(x, bottom), (right, y)]):
            picture.polyline(line, picture.theme.error, clip=spots[at])
