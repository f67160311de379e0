"""The two columns of a layer's static picture: what it put out, and what is known about it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.drawing import Picture
from nbtorchviz.analysis.picture_flat import draw_bars, draw_matrix, draw_strip
from nbtorchviz.analysis.picture_parts import (
    CAPTION_PX,
    Painting,
    draw_bar,
    draw_histogram,
    draw_input,
    draw_map,
    draw_numbers,
    draw_tile,
    map_size,
)
from nbtorchviz.analysis.quantise import LEVELS
from nbtorchviz.analysis.ticks import count_text, percent, short

Arrays = Mapping[str, NDArray[Any]]
Facts = Mapping[str, Any]

WIDTH_PX = 900
INSET = 16.0
_RIGHT = 240.0
_LEFT = WIDTH_PX - 2 * INSET - _RIGHT - 24
_GRID_HEIGHT = 420
_TILES = (84.0, 56.0, 42.0)
_NARROWEST = 42.0  # room for an index and a number above a tile
_LARGE = 190.0
_MOST_BARS = 16


class Frame:
    """One frame while it is drawn: the left column, then the right.

    Args:
        picture: to draw on.
        header: of the frame packet.
        arrays: of the frame packet.
        channel: drawn large, or marked.
        colormap: one of ``colormaps.NAMES``.
        normalize: ``"channel"`` or one scale for all.
    """

    def __init__(
        self,
        picture: Picture,
        header: Facts,
        arrays: Arrays,
        channel: int,
        colormap: str,
        normalize: str,
    ) -> None:
        self.picture, self.header, self.arrays = picture, header, arrays
        self.planes = arrays["planes"]
        self.first = int(header.get("first", 0))
        self.view = str(header["view"])
        count = len(self.planes) if self.view == "maps" else self.planes.size
        self.local = min(max(channel - self.first, 0), max(0, count - 1))
        span = header.get("range")
        common = None
        if normalize != "channel" and span is not None and self.view == "maps":
            common = (float(span[0]), float(span[1]))
        self.painting = Painting(colormap, bool(header.get("signed")), common)
        dead = header.get("dead") or {}
        self.dead = {int(name): int(step) for name, step in dead.items()}

    def left(self, top: float) -> float:
        """Draw what the layer put out; return the lower end."""
        if self.view == "maps":
            return self._notes(self._key(self._grid(top)))
        if self.view == "matrix":
            return self._notes(self._matrix(top))
        return self._notes(self._values(top))

    def right(self, top: float) -> float:
        """Draw input, chosen channel, histogram and numbers; return the lower end."""
        picture, left = self.picture, WIDTH_PX - INSET - _RIGHT
        facts = self.header.get("input")
        cross = self._cross()
        if facts:
            box = self._seen(cross)
            pixels = self.arrays.get("input")
            top += draw_input(picture, (left, top), _RIGHT, facts, pixels, box) + 14
        if self.view == "maps":
            top = self._large(left, top, cross)
        if self.view != "scalar" and self.planes[0].size > _MOST_BARS:
            top += self._histogram(left, top) + 12
        if self.view != "scalar":
            top += draw_numbers(picture, (left, top), _RIGHT, self._numbers())
        return top

    def _scale(self, index: int) -> tuple[float, float]:
        index = index if self.view == "maps" else 0
        return float(self.arrays["lo"][index]), float(self.arrays["hi"][index])

    def _grid(self, top: float) -> float:
        picture, total, count = self.picture, int(self.header["total"]), len(self.planes)
        for target in _TILES:
            width, height = map_size(picture, self.planes.shape[1:], target)
            cell = max(width, _NARROWEST)
            columns = max(1, int((_LEFT + 5) // (cell + 5)))
            row = height + CAPTION_PX + 7
            lines = max(1, int(_GRID_HEIGHT // row))
            if -(-count // columns) <= lines:
                break
        begin = self.local // (columns * lines) * columns * lines
        end = min(count, begin + columns * lines)
        picture.text((INSET, top), f"{total} channel{'s' if total != 1 else ''}", bold=True)
        how = "each on its own scale" if self.painting.common is None else "all on one scale"
        how += f", {self.painting.colormap}"
        if end - begin < total:
            how += f", {self.first + begin} to {self.first + end - 1} shown"
        picture.text((INSET + _LEFT, top), how, size=12, align="right", color=picture.theme.second)
        top += 28
        wide = (_LEFT - columns * cell) / max(1, columns - 1)
        gap = round(min(wide, 16.0) * picture.scale) / picture.scale
        for index in range(begin, end):
            line, column = divmod(index - begin, columns)
            draw_tile(
                picture,
                (INSET + column * (cell + gap), top + line * row),
                target,
                str(self.first + index),
                self.planes[index],
                self._scale(index),
                self.painting,
                dead=self.first + index in self.dead,
                selected=index == self.local,
            )
        return top + -(-(end - begin) // columns) * row + 4

    def _key(self, top: float) -> float:
        """Explain what captions, hatches and flat tiles mean."""
        picture, theme = self.picture, self.picture.theme
        if (self.planes > LEVELS).all():
            lost = self.header.get("stats") or {}
            every = bool(lost) and lost.get("nan") == lost.get("count")
            text = (
                f"All {count_text(lost['count'])} values are NaN." if every else "No finite value."
            )
            picture.text((INSET, top), text, bold=True, color=theme.error)
            return top + 24
        own = "its own largest magnitude" if self.painting.zero_centred else "its own largest value"
        if self.painting.common is None:
            own += ", the end of its colour scale"
        text = f"Beside each channel number: {own}."
        picture.text((INSET, top), text, size=11, color=theme.second)
        top += 20
        top = self._dead_line(top)
        quiet = [index for index in self.header.get("quiet") or [] if index not in self.dead]
        if quiet:
            flat = np.zeros((1, 1), np.uint8)
            draw_map(picture, (INSET, top + 1), flat, 0, 0, self.painting, 12)
            text = f"{_listed(quiet)} zero for this {self.header.get('sample_word', 'sample')}"
            window = self.header.get("dead_window", 64)
            if self.header.get("step", 0) >= window:
                text += f", active in the last {window} batches"
            picture.text((INSET + 24, top - 1), text, size=12, max_width=_LEFT - 24)
            top += 20
        return top

    def _dead_line(self, top: float) -> float:
        """Name the channels, or neurons, that are dead; return the lower end."""
        if not self.dead:
            return top
        steps = sorted(set(self.dead.values()))
        since = f"step {steps[0]}" if len(steps) == 1 else f"steps {steps[0]} to {steps[-1]}"
        left = INSET
        if self.view == "maps":  # whose tiles are hatched
            self.picture.hatch((INSET, top + 1, INSET + 16, top + 13), gap=4)
            left += 24
        text = f"{_listed(sorted(self.dead))} dead: zero in every training batch since {since}"
        self.picture.text((left, top - 1), text, size=12, max_width=_LEFT - left)
        return top + 20

    def _matrix(self, top: float) -> float:
        rows, columns = self.header.get("rows", "row"), self.header.get("cols", "col")
        shape = self.header.get("shape") or self.planes.shape[1:]
        title = f"{shape[0]} {rows}s × {shape[-1]} {columns}s"
        self.picture.text((INSET, top), title, bold=True)
        scale = self._scale(0)
        place = (INSET, top + 28)
        names = (str(rows), str(columns))
        size = (int(shape[0]), int(shape[-1]))
        height = draw_matrix(
            self.picture, place, _LEFT, self.planes[0], scale, self.painting, names, size
        )
        return top + 28 + height

    def _values(self, top: float) -> float:
        values, total = self.arrays["values"], int(self.header["total"])
        if self.view == "scalar":
            self.picture.text((INSET, top), short(float(values[0])), size=32, bold=True)
            return top + 56
        self.picture.text((INSET, top), f"{total} values", bold=True)
        if len(values) <= _MOST_BARS:
            names = self.header.get("names") or [str(self.first + i) for i in range(len(values))]
            height = draw_bars(self.picture, (INSET, top + 28), _LEFT, values, names)
            return self._dead_line(top + 36 + height)
        chosen = f"value {self.first + self.local} = {short(float(values[self.local]))}"
        self.picture.text((INSET + _LEFT, top), chosen, size=12, align="right")
        height = draw_strip(
            self.picture,
            (INSET, top + 28),
            _LEFT,
            self.planes.reshape(-1),
            self._scale(0),
            self.painting,
            first=self.first,
            selected=self.local,
        )
        return self._dead_line(top + 36 + height)

    def _large(self, left: float, top: float, cross: tuple[int, int] | None) -> float:
        picture, theme = self.picture, self.picture.theme
        codes, (lo, hi) = self.planes[self.local], self._scale(self.local)
        picture.text((left, top), f"Channel {self.first + self.local}", bold=True)
        channel = self.first + self.local
        since = self.dead.get(channel)
        if since is not None:
            text = f"zero since step {since}"
        elif cross is None:
            text = "no finite value"
        else:
            value = lo + int(codes[cross]) * (hi - lo) / LEVELS
            text = f"row {cross[0]}, col {cross[1]} = {short(value)}"
        picture.text((left + _RIGHT, top), text, align="right", size=12, color=theme.second)
        top += 22
        width, height = map_size(picture, codes.shape, _LARGE)
        box = (left, top, left + width, top + height)
        if since is not None or cross is None:
            picture.hatch(box, theme.error if cross is None else theme.edge, gap=8)
            picture.rect(box, outline=theme.edge)
            return top + height + 14
        draw_map(picture, (left, top), codes, lo, hi, self.painting, _LARGE)
        step = (width / codes.shape[1], height / codes.shape[0])
        x, y = left + cross[1] * step[0], top + cross[0] * step[1]
        reach = max(*step, 4)
        picture.rect((x - 2, y - 2, x + reach + 2, y + reach + 2), outline="#000000", width=3)
        picture.rect((x - 1, y - 1, x + reach + 1, y + reach + 1), outline="#ffffff", width=1)
        limits = self.painting.limits(lo, hi)
        bar = (left + width + 6, top, left + width + 16, top + height)
        draw_bar(picture, bar, *limits, self.painting.colormap)
        return top + height + 14

    def _cross(self) -> tuple[int, int] | None:
        """Row and column of the largest absolute value of the chosen channel."""
        if self.view != "maps" or self.planes[self.local].size == 0:
            return None
        codes, (lo, hi) = self.planes[self.local], self._scale(self.local)
        reach = np.where(codes <= LEVELS, np.abs(lo + codes * ((hi - lo) / LEVELS)), -1.0)
        row, column = np.unravel_index(int(reach.argmax()), codes.shape)
        return (int(row), int(column)) if reach.max() >= 0 else None

    def _seen(self, cross: tuple[int, int] | None) -> tuple[float, float, float, float] | None:
        """Return the receptive field of the crosshair as shares of the input picture."""
        field, facts = self.header.get("receptive"), self.header.get("input") or {}
        pixels, shape = self.arrays.get("input"), list(facts.get("shape") or ())
        if cross is None or not field or pixels is None or len(shape) < 2:
            return None
        ratio = pixels.shape[0] / pixels.shape[1]
        sizes = [pair for pair in (shape[-2:], shape[-3:-1]) if len(pair) == 2 and all(pair)]
        height, width = min(sizes, key=lambda pair: abs(pair[0] / pair[1] - ratio))
        edges: list[float] = []
        for axis, size in ((1, width), (0, height)):
            start = field["start"][axis] + field["stride"][axis] * cross[axis]
            ends = (start, start + field["size"][axis])
            edges += [min(max(end / size, 0.0), 1.0) for end in ends]
        return edges[0], edges[2], edges[1], edges[3]

    def _histogram(self, left: float, top: float) -> float:
        index = self.local if self.view == "maps" else 0
        codes, (lo, hi) = self.planes[index], self._scale(index)
        zeros = round(float(self.arrays["zero"][index]) * codes.size)
        unit = "pixels" if self.view == "maps" else "values"
        name = str(self.header.get("show", "activation"))
        return draw_histogram(
            self.picture, (left, top), _RIGHT, codes, lo, hi, zeros, unit=unit, value_name=name
        )

    def _numbers(self) -> list[tuple[str, str]]:
        index = self.local if self.view == "maps" else 0
        lo, hi = self._scale(index)
        lost = int(self.arrays["nonfinite"][index])
        none = bool((self.planes[index] > LEVELS).all())
        numbers = [None if none else value for value in (lo, hi)]
        numbers += [float(self.arrays[name][index]) for name in ("mean", "std")]
        texts = [short(None if none else number) for number in numbers]
        zero = percent(float(self.arrays["zero"][index]))
        names = ("min", "max", "mean", "std", "zero", "NaN, Inf" if lost else "NaN")
        return list(zip(names, [*texts, zero, str(lost) if lost else "none"], strict=True))

    def _notes(self, top: float) -> float:
        notes = list(self.header.get("notes") or ())
        if self.header.get("pooled", 1) > 1 and not any("mean of" in note for note in notes):
            notes.append(
                f"each pixel shows the mean of {self.header['pooled']}×{self.header['pooled']}"
            )
        bad = (self.planes > LEVELS).any() and not (self.planes > LEVELS).all()
        if bad and self.view in ("maps", "matrix"):
            notes.append("magenta: not finite (NaN; lighter +Inf, darker −Inf)")
        for line in self.picture.wrap("; ".join(notes), _LEFT, size=11) if notes else ():
            self.picture.text((INSET, top), line, size=11, color=self.picture.theme.second)
            top += 16
        return top


def _listed(indices: list[int]) -> str:
    shown = ", ".join(map(str, indices[:8]))
    return f"{shown} and {len(indices) - 8} more" if len(indices) > 8 else shown
