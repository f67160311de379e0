"""How the values of one tensor are spread, as a PNG drawn without a browser."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nbtorchviz.analysis.colormaps import table
from nbtorchviz.analysis.drawing import LIGHT, Picture, Theme
from nbtorchviz.analysis.gradient_picture import LIMIT_BYTES, WIDTH_PX, heading
from nbtorchviz.analysis.ticks import count_text
from nbtorchviz.measures import EXPONENTS, Histogram

_HEIGHT, _TOP, _BASE, _STRIP, _END = 470, 100, 260, 300, 430
_LEFT, _RIGHT, _ZERO = 64, 120, 28


def bins_picture(
    steps: Sequence[int],
    histograms: Sequence[Histogram],
    state: Mapping[str, Any],
    *,
    title: str,
    step: int | None = None,
    missing: str = "",
    theme: Theme = LIGHT,
    scale: int = 2,
) -> bytes:
    """Return log counts by power of two, sign and zero apart, above their history.

    Args:
        steps: of the histograms, rising.
        histograms: oldest first; none: ``missing`` is written instead.
        state: the widget's state, for the model and the findings.
        title: what the values are.
        step: which one the bars show, the nearest there is; None: the newest.
        missing: why there is none.
        theme: colours.
        scale: device pixels for one of ``WIDTH_PX``.
    """
    picture = Picture(WIDTH_PX, _HEIGHT, theme, scale=scale)
    heading(picture, state, int(steps[-1]) if len(steps) else None, "distribution of values")
    if not histograms:
        picture.text((WIDTH_PX / 2, 200), missing, align="center", bold=True)
        return picture.png(limit_bytes=LIMIT_BYTES)
    at = len(steps) - 1
    if step is not None:
        at = int(np.abs(np.asarray(steps, np.int64) - step).argmin())
    lines = np.array([_line(found) for found in histograms])
    used = np.flatnonzero(lines.any(axis=0))
    reach = max((abs(int(place) - EXPONENTS) for place in used), default=1)
    low = min((abs(int(p) - EXPONENTS) for p in used if p != EXPONENTS), default=1)
    bins = range(low, reach + 1)  # 1 is the smallest power of two
    found = histograms[at]
    picture.text(
        (16, 72), f"{title}, step {steps[at]}: {count_text(found.count)} values read, log count"
    )
    half = (WIDTH_PX - _RIGHT - _LEFT - _ZERO) / 2
    wide = half / len(bins)

    def span(sign: int, bin_: int) -> tuple[float, float]:
        if not sign:
            return _LEFT + half + 4, _LEFT + half + _ZERO - 4
        near = (bin_ - low) * wide
        middle = _LEFT + half + (_ZERO if sign > 0 else 0)
        return (
            (middle + near, middle + near + wide)
            if sign > 0
            else (middle - near - wide, middle - near)
        )

    places = [(0, 0), *((sign, bin_) for sign in (-1, 1) for bin_ in bins)]
    most = max(1, int(lines[at].max()))
    top = math.log10(most) + 0.3
    for power in range(int(top) + 1):
        y = _BASE - (_BASE - _TOP) * (power + 0.3) / (top + 0.01)
        picture.polyline([(_LEFT, y), (WIDTH_PX - _RIGHT, y)], theme.grid)
        label = count_text(10**power)
        picture.text((_LEFT - 8, y - 8), label, size=11, align="right", color=theme.second)
    for sign, bin_ in places:
        count = int(lines[at][EXPONENTS + sign * bin_])
        left, right = span(sign, bin_)
        if count:
            y = _BASE - (_BASE - _TOP) * (math.log10(count) + 0.3) / (top + 0.01)
            colour = theme.bars if sign <= 0 else theme.accent
            bar = (left, y, max(left + 1, right - 1), _BASE)
            if sign:
                picture.rect(bar, fill=colour)
            else:
                picture.hatch(bar, colour, gap=4)
                picture.rect(bar, outline=colour)
    picture.polyline([(_LEFT, _BASE), (WIDTH_PX - _RIGHT, _BASE)], theme.edge)
    picture.text((sum(span(0, 0)) / 2, _BASE + 4), "=0", size=11, align="center")
    lowest = found.lowest_exponent
    for bin_ in bins[:: max(1, len(bins) // 4)]:
        for sign, mark in ((1, ""), (-1, "−")):
            edge = span(sign, bin_)[0 if sign > 0 else 1]
            if abs(edge - (_LEFT + half + _ZERO / 2)) < 48:
                continue
            label = f"{mark}{2.0 ** (lowest + bin_ - 1):.0e}"
            picture.text((edge, _BASE + 4), label, size=11, align="center", color=theme.second)
    kinds = (("zeros", found.zeros), ("NaN", found.nan), ("+Inf", found.posinf),
             ("−Inf", found.neginf))  # fmt: skip
    for row, (name, count) in enumerate(kinds):
        colour = theme.error if count and row else theme.text if count else theme.second
        words = f"{count_text(count)} {name}" if count else f"no {name}"
        picture.text((WIDTH_PX - _RIGHT + 12, _TOP + 18 * row), words, size=12, color=colour)
    colours = table("viridis")
    tall = np.log2(1.0 + lines[::-1]) / math.log2(1.0 + max(1, int(lines.max())))
    for sign, bin_ in places:
        column = tall[:, EXPONENTS + sign * bin_]
        pixels = np.where(
            column[:, None, None] > 0, colours[(16 + 239 * column).astype(int)][:, None], 245
        ).astype(np.uint8)
        left, right = span(sign, bin_)
        picture.pixels(pixels, (left, _STRIP, right, _END))
    for y, number in ((_STRIP, steps[-1]), (_END - 16, steps[0])):
        picture.text((_LEFT - 8, y), str(number), size=11, align="right", color=theme.second)
    note = "Bins are powers of two, zero in the middle. Strip: a line per kept step, newest on top."
    picture.text((16, _HEIGHT - 24), note, size=11, color=theme.second)
    return picture.png(limit_bytes=LIMIT_BYTES)


def _line(found: Histogram) -> list[int]:
    """Counts from the most negative bin over the zeros to the most positive one."""
    negative = found.counts_negative[::-1].tolist()
    return [*negative, found.zeros, *found.counts_positive.tolist()]
