"""Parts of the static picture of a layer: maps, tiles, histogram, table of numbers, input."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.colormaps import apply, table
from nbtorchviz.analysis.drawing import Picture
from nbtorchviz.analysis.quantise import LEVELS, NAN, NEG_INF, dequantise, pool, quantise, rescale
from nbtorchviz.analysis.ticks import bar_labels, count_text, log_ticks, percent, short

Codes = NDArray[np.uint8]
CAPTION_PX = 15
_BINS = 32


@dataclass(frozen=True, slots=True)
class Painting:
    """How codes become colours."""

    colormap: str
    zero_centred: bool
    """Scales reach equally far to both sides of zero."""
    common: tuple[float, float] | None
    """One scale for all channels; None: each its own."""

    def limits(self, lo: float, hi: float) -> tuple[float, float]:
        """Lower and upper end of the scale of a channel with the range [lo, hi]."""
        lo, hi = self.common or (lo, hi)
        reach = max(abs(lo), abs(hi))
        return (-reach, reach) if self.zero_centred else (lo, hi)

    def codes(self, codes: Codes, lo: float, hi: float) -> Codes:
        """Move a channel's codes to the scale that is painted."""
        low, high = self.limits(lo, hi)
        if (low, high) == (lo, hi):
            return codes
        return rescale(codes, lo, hi, low, high)


def fit_factor(size: int, target_px: int) -> tuple[int, int]:
    """Return (device pixels per value, values averaged into one): one of them is 1."""
    return (target_px // size, 1) if size <= target_px else (1, -(-size // target_px))


def shrink(codes: Codes, lo: float, hi: float, rows: int, columns: int) -> Codes:
    """Average blocks of codes; what is not finite stays NaN."""
    if rows == columns == 1:
        return codes
    values = dequantise(codes[None], np.array([lo]), np.array([hi]))
    if rows == columns:
        small = pool(values, rows)
    else:
        small = pool(values.repeat(columns, axis=1).repeat(rows, axis=2), rows * columns)
    codes, _, _ = quantise(small, np.array([lo]), np.array([hi]))
    return np.asarray(codes[0], np.uint8)


def map_size(picture: Picture, shape: Sequence[int], side_px: float) -> tuple[float, float]:
    """Width and height of a map drawn with whole device pixels, at most ``side_px`` a side."""
    factor, block = fit_factor(max(shape), round(side_px * picture.scale))
    width, height = (-(-size // block) * factor / picture.scale for size in (shape[1], shape[0]))
    return width, height


def draw_map(
    picture: Picture,
    at: tuple[float, float],
    codes: Codes,
    lo: float,
    hi: float,
    painting: Painting,
    side_px: float,
) -> None:
    """Draw one map at its ``map_size``."""
    _, block = fit_factor(max(codes.shape), round(side_px * picture.scale))
    shown = painting.codes(shrink(codes, lo, hi, block, block), lo, hi)
    width, height = map_size(picture, codes.shape, side_px)
    left, top = at
    picture.pixels(apply(shown, painting.colormap), (left, top, left + width, top + height))


def draw_tile(
    picture: Picture,
    at: tuple[float, float],
    side_px: float,
    name: str,
    codes: Codes,
    scale: tuple[float, float],
    painting: Painting,
    *,
    dead: bool,
    selected: bool,
) -> None:
    """Draw a channel's caption (index and own largest value) and its map."""
    theme = picture.theme
    left, top = at
    width, height = map_size(picture, codes.shape, side_px)
    box = (left, top + CAPTION_PX, left + width, top + CAPTION_PX + height)
    color = theme.accent if selected else theme.text
    used = picture.text((left, top - 1), name, size=11, bold=True, color=color)
    room = max(width, 42.0) - used - 3
    lost = bool((codes >= NEG_INF).all())
    if dead or lost:
        unknown = "NaN" if (codes == NAN).any() else "Inf"
        word, color = ("dead", theme.warn) if dead else (unknown, theme.error)
        picture.text((left + used + 4, top - 1), word, size=11, bold=True, color=color)
        picture.hatch(box, theme.edge if dead else theme.error, gap=5)
        picture.rect(box, outline=theme.edge)
    else:
        reach = max(abs(scale[0]), abs(scale[1])) if painting.zero_centred else scale[1]
        text = f"±{short(reach)}" if painting.zero_centred and reach else short(reach)
        for size in (11.0, 10.0, 9.0) if width > 50 else (10.0, 9.0):
            if picture.text_width(text, size=size) <= room:
                place = (left + used + 4, top - 1 + (11 - size))
                picture.text(place, text, size=size, color=theme.second)
                break
        draw_map(picture, (left, top + CAPTION_PX), codes, *scale, painting, side_px)
    if selected:
        frame = (box[0] - 3, box[1] - 3, box[2] + 3, box[3] + 3)
        picture.rect(frame, outline=theme.accent, width=2)


def draw_bar(
    picture: Picture, box: tuple[float, float, float, float], lo: float, hi: float, colormap: str
) -> None:
    """Draw the colour bar of a scale, with five marks; one mark where all is one value."""
    marks, labels = bar_labels(lo, hi)
    shares = [0.5] if hi <= lo else [(mark - lo) / (hi - lo) for mark in marks]
    rows = table(colormap) if hi > lo else np.repeat(apply(np.zeros(1, np.uint8), colormap), 2, 0)
    picture.colour_bar(box, rows, zip(shares, labels, strict=True))


def draw_histogram(
    picture: Picture,
    at: tuple[float, float],
    width: float,
    codes: Codes,
    lo: float,
    hi: float,
    zeros: int,
    *,
    unit: str,
    value_name: str,
) -> float:
    """Draw counts of finite values on a log axis, zeros apart; return its height."""
    theme = picture.theme
    left, top = at
    counts, zeros = _count(codes, lo, hi, zeros)
    title = f"{count_text(codes.size)} {unit}, log count"
    used = picture.text((left, top), title, size=12)
    if zeros:
        text = f"; {count_text(zeros)} zeros"
        picture.text((left + used, top), text, size=11, color=theme.second, max_width=width - used)
    if not counts.any() and not zeros:
        picture.text((left, top + 20), "no finite value to count", size=11, color=theme.second)
        return 40.0
    plot = (left + 34, top + 24, left + width - 10, top + 100)
    highest = max(zeros, int(counts.max(initial=0)), 1)
    ceiling = math.log10(highest) + 0.15
    room = plot[3] - plot[1]

    def height(count: float) -> float:
        return room * (math.log10(count) + 0.12) / (ceiling + 0.12) if count >= 1 else 0.0

    for mark in log_ticks(1, max(highest, 2), 4):
        if mark <= highest * 1.4:
            y = plot[3] - height(mark)
            picture.polyline([(plot[0] - 4, y), (plot[2], y)], theme.grid)
            text = f"{mark:.0f}" if mark < 1e5 else short(mark)
            picture.text((plot[0] - 6, y - 8), text, size=11, align="right", color=theme.second)
    apart = 16 if zeros else 0
    if zeros:
        bar = (plot[0], plot[3] - height(zeros), plot[0] + 11, plot[3])
        picture.hatch(bar, theme.bars, gap=3)
        picture.rect(bar, outline=theme.bars)
        picture.text((plot[0] + 5, plot[3] + 4), "=0", size=11, align="center", color=theme.second)
    start = plot[0] + apart
    step = (plot[2] - start) / _BINS
    for index, count in enumerate(counts):
        if count:
            x = start + index * step
            picture.rect((x + 0.5, plot[3] - height(count), x + step, plot[3]), fill=theme.bars)
    picture.polyline([(plot[0], plot[3]), (plot[2], plot[3])], theme.edge)
    marks, labels = bar_labels(lo, hi, 4 if zeros else 5)
    for index, label in enumerate(labels if counts.any() else []):
        if index == 0 and zeros:
            continue
        x = start + (plot[2] - start) * (marks[index] - lo) / (hi - lo if hi > lo else 1)
        picture.polyline([(x, plot[3]), (x, plot[3] + 3)], theme.edge)
        picture.text((x, plot[3] + 4), label, size=11, align="center", color=theme.second)
    middle = (plot[0] + plot[2]) / 2
    picture.text((middle, plot[3] + 19), value_name, size=11, align="center", color=theme.second)
    return plot[3] + 36 - top


def draw_numbers(
    picture: Picture, at: tuple[float, float], width: float, rows: Sequence[Sequence[str]]
) -> float:
    """Draw names and numbers in three columns, two by two; return the height."""
    column = (width + 16) / 3
    for index, (name, number) in enumerate(rows):
        left = at[0] + (index // 2) * column
        top = at[1] + (index % 2) * 20
        used = picture.text((left, top), name, size=12, color=picture.theme.second)
        tight = picture.text_width(number, size=12) > column - 20 - used
        size = 10 if tight else 12
        picture.text((left + column - 16, top + 12 - size), number, size=size, align="right")
    return 40.0


def draw_input(
    picture: Picture,
    at: tuple[float, float],
    width: float,
    facts: Mapping[str, Any],
    pixels: Codes | None,
    box: tuple[float, float, float, float] | None,
) -> float:
    """Draw the input with label and prediction; return the height.

    Args:
        picture: to draw on.
        at: left and top.
        width: of the column.
        facts: ``header["input"]``.
        pixels: shape (h, w) or (h, w, 3).
        box: what the crosshair's value sees, in shares of the input's width and height.
    """
    theme, side = picture.theme, 84.0
    left, top = at
    text_left = left
    if pixels is not None:
        factor, block = fit_factor(max(pixels.shape[:2]), round(side * picture.scale))
        small = pixels[::block, ::block]
        high, wide = (size * factor / picture.scale for size in small.shape[:2])
        place = (left, top, left + wide, top + high)
        picture.pixels(small, place)
        picture.rect(place, outline=theme.rule)
        if box is not None:
            edge = [left + box[0] * wide, top + box[1] * high]
            far = [left + box[2] * wide, top + box[3] * high]
            picture.rect(
                (edge[0] - 1, edge[1] - 1, far[0] + 1, far[1] + 1), outline="#000000", width=3
            )
            picture.rect((*edge, *far), outline="#ffffff", width=1.5)
        text_left = left + side + 12
    room = left + width - text_left
    y = top - 2
    picture.text((text_left, y), "Input", bold=True)
    label, prediction = facts.get("label"), facts.get("prediction")
    parts = [f"label {label}"] if label is not None else []
    parts += [f"predicted {prediction}"] if prediction is not None else []
    lines = [(", ".join(parts), 12.0, theme.text)] if parts else []
    if facts.get("probability") is not None and prediction is not None:
        lines.append((_probability(str(prediction), facts["probability"]), 12.0, theme.second))
    lines += [(str(facts[key]), 11.0, theme.second) for key in ("text", "note") if facts.get(key)]
    if box is not None:
        lines.append(("box: what the cross sees", 11.0, theme.second))
    y += 19
    for text, size, color in lines:
        for line in _clauses(picture, text, room, size):
            picture.text((text_left, y), line, size=size, color=color, max_width=room)
            y += size + 4
    return max(side if pixels is not None else 0.0, y - top)


def _clauses(picture: Picture, text: str, room: float, size: float, most: int = 3) -> list[str]:
    """Wrap as many clauses of ``text`` as ``most`` lines hold, none of them cut short."""
    clauses = text.split("; ")
    while len(clauses) > 1 and len(picture.wrap("; ".join(clauses), room, size=size)) > most:
        clauses.pop()
    return picture.wrap("; ".join(clauses), room, size=size)[:most]


def _probability(name: str, share: float) -> str:
    text = percent(share, 1)
    return f"p({name}) {text if text[0] in '<>' else f'= {text}'}"


def _count(codes: Codes, lo: float, hi: float, zeros: int) -> tuple[NDArray[np.int64], int]:
    """Count codes in bins; exact zeros leave the bin that they were rounded into."""
    finite = codes[codes <= LEVELS].astype(np.int64)
    counts = np.bincount(finite, minlength=LEVELS + 1)
    if zeros and lo <= 0 <= hi:
        place = round(-lo / (hi - lo) * LEVELS) if hi > lo else 0
        zeros = min(zeros, int(counts[place]))
        counts[place] -= zeros
    else:
        zeros = 0
    bins = np.minimum(np.arange(LEVELS + 1) * _BINS // LEVELS, _BINS - 1)
    return np.bincount(bins, counts, _BINS).astype(np.int64), zeros
