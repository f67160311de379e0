"""Gradient norms, or update ratios, by depth as a PNG, drawn without a browser."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nbtorchviz.analysis.drawing import LIGHT, Picture, Theme
from nbtorchviz.analysis.gradient_zones import GRADIENT_FACTOR, RATIO_HIGH, RATIO_LOW

LIMIT_BYTES = 100_000
WIDTH_PX = 900
MOST_ROWS = 40
_LEFT, _RIGHT, _TOP, _ROW, _FOOT = 190, 190, 96, 20, 56


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRow:
    """One layer that holds parameters, or whose output got a gradient."""

    name: str
    gradient: float
    """L2 of the gradients of its parameters; NaN: it holds NaN, or ``word`` says why it is none."""
    activation: float
    """L2 of d loss / d output; NaN: none."""
    low: float
    """Smallest and largest of ``gradient`` over the newest samples."""
    high: float
    ratio: float
    """Update norm / weight norm; NaN: not measured."""
    ratio_low: float = math.nan
    """Smallest and largest of ``ratio`` over the newest samples."""
    ratio_high: float = math.nan
    effective: float = math.nan
    """Update norm / gradient norm: the effective learning rate; NaN: not measured."""
    word: str = ""
    """``"frozen"``, ``"unused"``, ... where there is no number."""


def gradient_picture(
    rows: Sequence[FlowRow],
    state: Mapping[str, Any],
    *,
    step: int | None,
    selected: str = "",
    ratio: bool = False,
    theme: Theme = LIGHT,
    scale: int = 2,
) -> bytes:
    """Return the picture as a PNG of at most 100 KB.

    Args:
        rows: layers in execution order; of more than 40 the first and the last 20 are drawn, and
            the picture says so.
        state: the widget's state, for the model and the findings.
        step: that the numbers are of; None: there are none yet.
        selected: name of the row that is marked.
        ratio: draw update / weight in the place of the gradient.
        theme: colours.
        scale: device pixels for one of ``WIDTH_PX``.
    """
    # The last ones stay: what the others are compared with.
    half = MOST_ROWS // 2
    kept = rows if len(rows) <= MOST_ROWS else [*rows[:half], *rows[-half:]]
    shown = [_as_ratio(row) if ratio else row for row in kept]
    height = _TOP + _ROW * max(4, len(shown)) + _FOOT
    picture = Picture(WIDTH_PX, height, theme, scale=scale)
    heading(picture, state, step, "update ratios" if ratio else "gradients by depth")
    column = "effective rate" if ratio else "update / weight"
    picture.text((WIDTH_PX - _RIGHT + 90, 74), column, size=11, color=theme.second)
    ends = _ends(shown)
    if step is None or not shown:
        middle = (WIDTH_PX / 2, _TOP + 24)
        picture.text(middle, "No gradient yet.", align="center", bold=True)
        return picture.png(limit_bytes=LIMIT_BYTES)
    if ends is None:
        ends = (0, 1)  # no number can be drawn: rows say why in words
    else:
        _zone(picture, shown, ends, ratio=ratio)
        _axis(picture, ends, len(shown), "update / weight" if ratio else "L2 norm of the gradient")
    for place, row in enumerate(shown):
        _row(picture, row, ends, _TOP + _ROW * place, marked=row.name == selected)
    left_out = len(rows) - len(shown)
    note = (
        "● gradient of the parameters   ○ of the layer's output   "
        f"grey bar: the newest samples   shaded: within a factor of {GRADIENT_FACTOR:,.0f} of the "
        "last layer"
    )
    if ratio:
        note = (
            "● norm of the update / norm of the weights   grey bar: the newest samples   "
            f"shaded: {RATIO_LOW:g} to {RATIO_HIGH:g}, about 1e-3 is usual"
        )
    if left_out:
        words = "1 layer in the middle is" if left_out == 1 else f"{left_out} in the middle are"
        note += f"   {words} not drawn"
    at = (16, height - 22)
    picture.text(at, note, size=11, color=theme.second, max_width=WIDTH_PX - 32)
    return picture.png(limit_bytes=LIMIT_BYTES)


def _as_ratio(row: FlowRow) -> FlowRow:
    """Put the ratio into the place of the gradient."""
    return replace(
        row,
        gradient=row.ratio,
        activation=math.nan,
        low=row.ratio_low,
        high=row.ratio_high,
        ratio=row.effective,
        word=row.word or ("not measured" if math.isnan(row.ratio) else ""),
    )


def heading(picture: Picture, state: Mapping[str, Any], step: int | None, what: str) -> None:
    """Write the model, what is shown, the step and the worst finding: the upper 64 pixels."""
    theme = picture.theme
    x = 16 + picture.text((16, 10), state.get("model") or "Gradients", bold=True, max_width=300)
    said = "no step yet" if step is None else f"step {step}"
    picture.text((x + 24, 10), f"{what}, {said}", color=theme.second)
    findings = (state.get("gradients") or {}).get("findings") or []
    if findings:
        more = f"   and {len(findings) - 1} more" if len(findings) > 1 else ""
        picture.rect((0, 34, WIDTH_PX, 60), fill=theme.error_panel)
        x = 16 + picture.text((16, 38), findings[0]["title"], bold=True, max_width=WIDTH_PX - 132)
        picture.text((x, 38), more, color=theme.second)
    elif step is not None:
        picture.text((16, 38), "Nothing found so far.", color=theme.live)


def _ends(rows: Sequence[FlowRow]) -> tuple[int, int] | None:
    """Decades from the smallest to the largest number drawn."""
    values = [
        math.log10(value)
        for row in rows
        for value in (row.gradient, row.activation, row.low, row.high)
        if math.isfinite(value) and value > 0
    ]
    if not values:
        return None
    low, high = math.floor(min(values)), math.ceil(max(values))
    return (low, high) if high > low else (low, low + 1)


def _x(value: float, ends: tuple[int, int]) -> float:
    width = WIDTH_PX - _LEFT - _RIGHT
    return _LEFT + width * (math.log10(value) - ends[0]) / (ends[1] - ends[0])


def _axis(picture: Picture, ends: tuple[int, int], rows: int, words: str) -> None:
    theme, bottom = picture.theme, _TOP + _ROW * rows
    stride = max(1, -(-(ends[1] - ends[0]) // 8))
    for decade in range(ends[0], ends[1] + 1, stride):
        x = _x(10.0**decade, ends)
        picture.polyline([(x, _TOP), (x, bottom)], theme.grid)
        label = f"{10.0**decade:g}" if -3 <= decade <= 3 else f"1e{decade}"
        picture.text((x, bottom + 4), label, size=11, color=theme.second, align="center")
    middle = _LEFT + (WIDTH_PX - _LEFT - _RIGHT) / 2
    picture.text((middle, 74), f"{words}, log scale", size=11, color=theme.second, align="center")


def _zone(picture: Picture, rows: Sequence[FlowRow], ends: tuple[int, int], *, ratio: bool) -> None:
    if ratio:
        low, high = max(RATIO_LOW, 10.0 ** ends[0]), min(RATIO_HIGH, 10.0 ** ends[1])
        box = (_x(low, ends), _TOP, _x(high, ends), _TOP + _ROW * len(rows))
        picture.rect(box, fill=picture.theme.panel)
        return
    last = next((r.gradient for r in reversed(rows) if r.gradient > 0), math.nan)
    if math.isfinite(last) and last > 0:
        low = max(last / GRADIENT_FACTOR, 10.0 ** ends[0])
        high = min(last * GRADIENT_FACTOR, 10.0 ** ends[1])
        box = (_x(low, ends), _TOP, _x(high, ends), _TOP + _ROW * len(rows))
        picture.rect(box, fill=picture.theme.panel)


def _row(
    picture: Picture, row: FlowRow, ends: tuple[int, int], top: float, *, marked: bool
) -> None:
    theme, y = picture.theme, top + _ROW / 2
    if marked:
        picture.rect((0, top, 3, top + _ROW), fill=theme.accent)
    picture.text((16, top + 2), row.name, max_width=_LEFT - 28, bold=marked)
    if _drawable(row.low) and _drawable(row.high):
        picture.polyline([(_x(row.low, ends), y), (_x(row.high, ends), y)], theme.earlier, width=4)
    if _drawable(row.activation):
        picture.dot((_x(row.activation, ends), y), 5, theme.second, hollow=True)
    if _drawable(row.gradient):
        picture.dot((_x(row.gradient, ends), y), 4.5, theme.accent)
    elif said := row.word or _not_drawable(row.gradient):
        picture.text((_LEFT + 8, top + 2), said, color=theme.warn)
    if math.isfinite(row.ratio):
        at = (WIDTH_PX - _RIGHT + 90, top + 2)
        ratio = f"{row.ratio:.1e}".replace("e-0", "e-") if row.ratio else "0"
        picture.text(at, ratio, size=12)


def _drawable(value: float) -> bool:
    return math.isfinite(value) and value > 0


def _not_drawable(value: float) -> str:
    if math.isinf(value):
        return "Inf"
    return "exactly 0" if value == 0 else "NaN"
