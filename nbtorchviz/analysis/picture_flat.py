"""Static pictures of outputs without two spatial axes: bars, strips and matrices."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.colormaps import apply
from nbtorchviz.analysis.drawing import Picture
from nbtorchviz.analysis.picture_parts import Codes, Painting, draw_bar, fit_factor, shrink
from nbtorchviz.analysis.ticks import nice_ticks, short

_HEIGHT = 400.0
_BAR_ROOM = 64.0
_CELLS = (16, 12, 9, 6, 4, 3, 2, 1)


def draw_bars(
    picture: Picture,
    at: tuple[float, float],
    width: float,
    values: NDArray[Any],
    names: Sequence[str],
) -> float:
    """Draw one horizontal bar per value, from a common zero; return the height."""
    theme = picture.theme
    left, top = at
    finite = values[np.isfinite(values)]
    low, high = (
        (min(0.0, float(finite.min())), max(0.0, float(finite.max()))) if finite.size else (0, 1)
    )
    span = (high - low) or 1.0
    name_width = min(180.0, max(picture.text_width(name) for name in names))
    start, room = left + name_width + 64, width - name_width - 130
    zero = start + room * -low / span
    for index, (name, value) in enumerate(zip(names, values.tolist(), strict=True)):
        y = top + 24 * index
        best = bool(finite.size) and value == finite.max()
        picture.text((left, y), name, bold=best, max_width=180)
        number = short(value)
        lost = not np.isfinite(value)
        color = theme.error if lost else theme.text
        picture.text((start - 12, y), number, align="right", color=color, size=12)
        if lost:
            continue
        end = start + room * (value - low) / span
        fill = theme.accent if best else theme.bars
        picture.rect((min(zero, end), y + 3, max(zero, end), y + 14), fill=fill)
    picture.polyline([(zero, top - 2), (zero, top + 24 * len(names) - 4)], theme.edge)
    return 24.0 * len(names) + 4


def draw_strip(
    picture: Picture,
    at: tuple[float, float],
    width: float,
    codes: Codes,
    scale: tuple[float, float],
    painting: Painting,
    *,
    first: int,
    selected: int,
) -> float:
    """Draw many values as cells, row by row like text; return the height."""
    theme = picture.theme
    left, top = at
    start, room = left + 44, width - 44 - _BAR_ROOM
    for cell in _CELLS:
        columns = int(room // cell)
        columns -= columns % 10 if columns >= 20 else 0
        rows = -(-codes.size // columns)
        if rows * cell <= _HEIGHT:
            break
    picture.text((start, top), f"{columns} values a row", size=11, color=theme.second)
    top += 18
    shown = painting.codes(codes, *scale)
    ground = tuple(int(theme.panel[i : i + 2], 16) for i in (1, 3, 5))
    cells = np.empty((rows * columns, 3), np.uint8)
    cells[:] = ground
    cells[: codes.size] = apply(shown, painting.colormap)
    high = rows * cell
    place = (start, top, start + columns * cell, top + high)
    picture.pixels(cells.reshape(rows, columns, 3), place)
    marks = range(0, rows, max(1, -(-rows * 16 // max(int(high), 1)), rows // 10))
    for row in marks:
        label = str(first + row * columns)
        picture.text((start - 6, top + row * cell + cell / 2 - 8), label, size=11, align="right",
                     color=theme.second)  # fmt: skip
    row, column = divmod(selected, columns)
    x, y = start + column * cell, top + row * cell
    picture.rect((x - 2, y - 2, x + cell + 2, y + cell + 2), outline=theme.accent, width=2)
    low, upper = painting.limits(*scale)
    tall = max(float(high), 96.0)
    bar_left = left + width - _BAR_ROOM + 12
    draw_bar(picture, (bar_left, top, bar_left + 10, top + tall), low, upper, painting.colormap)
    return 18 + tall + 12


def draw_matrix(
    picture: Picture,
    at: tuple[float, float],
    width: float,
    codes: Codes,
    scale: tuple[float, float],
    painting: Painting,
    names: tuple[str, str],
    shape: tuple[int, int],
) -> float:
    """Draw rows and columns with named axes and a colour bar; return the height.

    Args:
        picture: to draw on.
        at: left and top.
        width: of the whole, colour bar and labels included.
        codes: shape (rows, columns).
        scale: of the codes.
        painting: how to colour.
        names: of the two axes.
        shape: rows and columns before pooling, for the tick labels.
    """
    theme = picture.theme
    left, top = at
    start, room = left + 44, width - 44 - _BAR_ROOM
    wide_px, wide_block = fit_factor(codes.shape[1], round(room * picture.scale))
    high_px, high_block = fit_factor(codes.shape[0], round((_HEIGHT - 40) * picture.scale))
    high_px = min(high_px, max(wide_px, 6 * picture.scale))
    wide_px = min(wide_px, max(high_px, 6 * picture.scale))
    shown = painting.codes(shrink(codes, *scale, high_block, wide_block), *scale)
    high, wide = shown.shape[0] * high_px / picture.scale, shown.shape[1] * wide_px / picture.scale
    picture.pixels(apply(shown, painting.colormap), (start, top, start + wide, top + high))
    for mark in _marks(shape[0], high, 24):
        y = top + high * (mark + 0.5) / shape[0]
        picture.polyline([(start - 4, y), (start, y)], theme.edge)
        picture.text((start - 6, y - 8), str(mark), size=11, align="right", color=theme.second)
    for mark in _marks(shape[1], wide, 48):
        x = start + wide * (mark + 0.5) / shape[1]
        picture.polyline([(x, top + high), (x, top + high + 4)], theme.edge)
        picture.text((x, top + high + 5), str(mark), size=11, align="center", color=theme.second)
    axes = f"down: {names[0]}, across: {names[1]}"
    picture.text((start, top + high + 22), axes, size=11, color=theme.second)
    low, upper = painting.limits(*scale)
    bar_left = start + wide + 12
    draw_bar(picture, (bar_left, top, bar_left + 10, top + high), low, upper, painting.colormap)
    return max(float(high), 24.0) + 46


def _marks(size: int, room: float, gap: float) -> list[int]:
    marks = nice_ticks(0, size - 1, max(1, int(room // gap)))
    return sorted({round(mark) for mark in marks})
