"""Norms of gradients over time as a PNG: as lines, or as strips of colour, without a browser."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.colormaps import table
from nbtorchviz.analysis.drawing import LIGHT, Picture, Theme
from nbtorchviz.analysis.gradient_picture import LIMIT_BYTES, WIDTH_PX, heading
from nbtorchviz.analysis.ticks import log_ticks, nice_ticks, tick_labels

COLOURS = ("#0d47a1", "#a84300", "#2e7d32", "#8e24aa", "#00797c", "#5d4037")
"""Of the lines, in the order in which they were picked; those of the live view."""
HEAT_DECADES = 2
"""The colours end at a hundredth and a hundred times a row's median."""
MOST_ROWS = 32
_HEIGHT, _TOP, _BOTTOM, _LEFT, _RIGHT = 430, 96, 360, 64, 140
_ROW, _NAMES = 18, 190


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRow:
    """One quantity of one layer over time."""

    name: str
    values: NDArray[np.float64]
    """Shape (C,), one for each step: at least 0; NaN: not measured, infinite: not finite."""
    picked: bool = True
    """Named and in colour; the others are thin and grey."""
    word: str = ""
    """``"frozen"``, ... where nothing was measured."""


def lines_picture(
    steps: NDArray[np.int64],
    rows: Sequence[TimeRow],
    state: Mapping[str, Any],
    *,
    title: str,
    shown: tuple[float, float] | None = None,
    theme: Theme = LIGHT,
    scale: int = 2,
) -> bytes:
    """Return norms against step on a log axis as a PNG of at most 100 KB.

    Args:
        steps: shape (C,), rising.
        rows: the picked ones come last, so that they lie above the others.
        state: the widget's state, for the model and the findings.
        title: what the values are.
        shown: first and last step; None: all.
        theme: colours.
        scale: device pixels for one of ``WIDTH_PX``.
    """
    picture = Picture(WIDTH_PX, _HEIGHT, theme, scale=scale)
    heading(picture, state, int(steps[-1]) if len(steps) else None, "gradients over time")
    first, last = shown or _reach(steps)
    inside = (steps >= first) & (steps <= last)
    seen = np.concatenate([row.values[inside] for row in rows] or [np.empty(0)])
    seen = seen[np.isfinite(seen) & (seen > 0)]
    if not len(seen):
        picture.text((WIDTH_PX / 2, 200), "No norm to draw.", align="center", bold=True)
        return picture.png(limit_bytes=LIMIT_BYTES)
    low, high = math.log10(seen.min()) - 0.05, math.log10(seen.max()) + 0.05
    if high - low < 1:
        low, high = (low + high - 1) / 2, (low + high + 1) / 2
    box = (_LEFT, _TOP, WIDTH_PX - _RIGHT, _BOTTOM)
    picture.text((16, 72), f"{title}, log scale", size=11)
    for mark in log_ticks(10**low, 10**high):
        line = _BOTTOM - (_BOTTOM - _TOP) * (math.log10(mark) - low) / (high - low)
        picture.polyline([(_LEFT, line), (WIDTH_PX - _RIGHT, line)], theme.grid)
        picture.text((_LEFT - 8, line - 8), f"{mark:g}", size=11, align="right", color=theme.second)
    _step_axis(picture, (first, last), (_LEFT, WIDTH_PX - _RIGHT), _BOTTOM)
    x = _LEFT + (WIDTH_PX - _RIGHT - _LEFT) * (steps - first) / max(last - first, 1e-9)
    ends: list[tuple[float, str, str]] = []
    colours = iter(COLOURS * (1 + len(rows) // len(COLOURS)))
    for row in rows:
        with np.errstate(divide="ignore", invalid="ignore"):
            y = _BOTTOM - (_BOTTOM - _TOP) * (np.log10(row.values) - low) / (high - low)
        known = np.flatnonzero(np.isfinite(y) & inside)
        if not len(known):
            continue
        colour = next(colours) if row.picked else theme.earlier
        path = np.stack([x, np.where(np.isfinite(y), y, np.nan)], axis=1)[~np.isnan(row.values)]
        picture.polyline(path, colour, width=1.75 if row.picked else 0.75, clip=box)
        if row.picked:
            ends.append((float(y[known[-1]]), row.name, colour))
    _names(picture, ends)
    note = "Every sample. Grey: the other layers."
    picture.text((16, _HEIGHT - 22), note, size=11, color=theme.second)
    return picture.png(limit_bytes=LIMIT_BYTES)


def heat_picture(
    steps: NDArray[np.int64],
    rows: Sequence[TimeRow],
    state: Mapping[str, Any],
    *,
    title: str,
    shown: tuple[float, float] | None = None,
    theme: Theme = LIGHT,
    scale: int = 2,
) -> bytes:
    """Return one strip per row, each in proportion to its own median, as ``lines_picture``."""
    kept = rows[:MOST_ROWS]
    height = _TOP + _ROW * max(4, len(kept)) + 48
    picture = Picture(WIDTH_PX, height, theme, scale=scale)
    heading(picture, state, int(steps[-1]) if len(steps) else None, "gradients over time")
    first, last = shown or _reach(steps)
    left, right = _NAMES, WIDTH_PX - 24
    picture.text((16, 72), f"{title} ÷ own median: ÷100 blue, ×100 red", size=11)
    wide, colours = round((right - left) * scale), table("diverging")
    at = first + (last - first) * np.arange(wide) / max(1, wide - 1)
    for place, row in enumerate(kept):
        top = _TOP + _ROW * place
        picture.text((16, top), row.name, size=12, max_width=_NAMES - 28)
        known = np.flatnonzero(~np.isnan(row.values))
        good = row.values[np.isfinite(row.values) & (row.values > 0)]
        if not len(known) or not len(good):
            words = row.word or "not measured"
            picture.text((left, top), words, size=12, color=theme.warn)
            continue
        column = np.searchsorted(steps[known], at + 1e-9, side="right") - 1
        with np.errstate(divide="ignore"):
            away = np.log10(row.values[known][column.clip(0)] / _middle(good)) / HEAT_DECADES
        codes = np.nan_to_num((1 + away.clip(-1, 1)) / 2 * 255).astype(np.uint8)
        pixels = colours[codes]
        pixels[np.isinf(row.values[known][column.clip(0)])] = (198, 40, 40)
        pixels[(column < 0) | (at > steps[known[-1]])] = 255
        picture.pixels(pixels[None], (left, top + 1, right, top + _ROW - 3))
    _step_axis(picture, (first, last), (left, right), _TOP + _ROW * len(kept))
    note = "White is the median of the run. Full red line: NaN or Inf. Blank: not measured."
    if len(rows) > len(kept):
        note += f"   {len(rows) - len(kept)} more rows are not drawn"
    picture.text((16, height - 20), note, size=11, color=theme.second)
    return picture.png(limit_bytes=LIMIT_BYTES)


def _middle(values: NDArray[np.float64]) -> float:
    """Median; of two in the middle their geometric mean, as on a log axis."""
    return float(np.exp(np.median(np.log(values))))


def _reach(steps: NDArray[np.int64]) -> tuple[float, float]:
    if not len(steps):
        return 0.0, 1.0
    return float(steps[0]), float(max(steps[-1], steps[0] + 1))


def _step_axis(
    picture: Picture, ends: tuple[float, float], place: tuple[float, float], y: float
) -> None:
    theme, (first, last), (left, right) = picture.theme, ends, place
    picture.polyline([(left, y), (right, y)], theme.edge)
    marks = [mark for mark in nice_ticks(first, last, 6) if float(mark).is_integer()]
    for mark, label in zip(marks, tick_labels(marks), strict=True):
        x = left + (right - left) * (mark - first) / max(last - first, 1e-9)
        picture.polyline([(x, y), (x, y + 4)], theme.edge)
        picture.text((x, y + 5), label, size=11, align="center", color=theme.second)
    picture.text((left - 8, y + 5), "step", size=11, align="right", color=theme.second)


def _names(picture: Picture, ends: list[tuple[float, str, str]]) -> None:
    """Write names at the line ends, 15 pixels apart at least."""
    y = -math.inf
    for at, name, colour in sorted(ends):
        y = max(at - 8, y + 15)
        place = (WIDTH_PX - _RIGHT + 8, y)
        picture.text(place, name, size=12, bold=True, color=colour, max_width=_RIGHT - 20)
