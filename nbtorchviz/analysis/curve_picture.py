"""The loss chart as a PNG, drawn without a browser from the packet that the live view draws."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.curves import line_looks
from nbtorchviz.analysis.drawing import LIGHT, Box, Picture, Theme
from nbtorchviz.analysis.smoothing import smooth
from nbtorchviz.analysis.ticks import log_ticks, nice_ticks, short, tick_labels

LIMIT_BYTES = 100_000
WIDTH_PX = 900
_LEFT, _RIGHT, _BELOW = 48, 104, 40
_LATEST_X = 262
"""Where the latest values end."""

Arrays = Mapping[str, NDArray[Any]]


def curve_picture(
    header: Mapping[str, Any],
    arrays: Arrays,
    state: Mapping[str, Any],
    *,
    compact: bool | None = False,
    theme: Theme = LIGHT,
    scale: int = 2,
) -> bytes:
    """Return the chart as a PNG of at most 100 KB.

    Args:
        header: of a curve packet of the whole run.
        arrays: of the same packet.
        state: the widget's state, for model, epoch and seconds.
        compact: the strip of the cockpit, without header and table.
        theme: colours.
        scale: device pixels for one of ``WIDTH_PX``.
    """
    lines = _described(header, arrays)
    table = 0 if compact else 40 + 28 + 24 * max(1, len(lines)) + 8
    lane, plot = (28, 120 if compact else 226)
    height = table + lane + plot + _BELOW + (0 if compact else 28)
    picture = Picture(WIDTH_PX, height, theme, scale=scale)
    if not compact:
        _heading(picture, header, state, lines)
    box = (_LEFT, table + lane, WIDTH_PX - _RIGHT, table + lane + plot)
    if not lines:
        why = f"{header.get('nothing') or 'No values yet'}."
        picture.text((WIDTH_PX / 2, box[1] + 40), why, align="center", bold=True)
        return picture.png(limit_bytes=LIMIT_BYTES)
    chart = _Chart(picture, header, lines, box)
    chart.draw(lane, compact=bool(compact))
    if not compact:
        picture.text((_LEFT, box[3] + _BELOW), chart.note(), size=11, color=theme.second,
                     max_width=WIDTH_PX - _LEFT - 8)  # fmt: skip
    return picture.png(limit_bytes=LIMIT_BYTES)


def _described(header: Mapping[str, Any], arrays: Arrays) -> list[dict[str, Any]]:
    """Lines of the shown metric with label, colour, raw points and smoothed points."""
    shown = [line for line in header["lines"] if line["metric"] == header["metric"]]
    names = {run["run"]: run for run in header["runs"]}
    result = []
    for line, (label, dash) in zip(shown, line_looks(shown), strict=True):
        current, val = line["run"] == header["current"], line["role"] == "val"
        steps = np.asarray(arrays[line["x"]], np.float64)
        values = np.asarray(arrays[line["y"]], np.float64)
        soft = None
        if current and header["smoothing"] and line["complete"]:
            soft = (steps, smooth(steps.astype(np.int64), values, header["smoothing"]))
        elif current and "sx" in line:
            soft = (arrays[line["sx"]], np.asarray(arrays[line["sy"]], np.float64))
        run = names[line["run"]]
        result.append(
            {
                **line,
                "label": label if current else f"{run['name']} {label}",
                "detail": "" if current else run["detail"],
                "who": label if current else run["name"],
                "current": current,
                "val": val,
                "dash": dash,
                "steps": steps,
                "values": values,
                "soft": soft,
            }
        )
    return sorted(result, key=lambda line: not line["current"])


def _color(line: Mapping[str, Any], theme: Theme) -> str:
    return theme.earlier if not line["current"] else theme.val if line["val"] else theme.train


def _heading(
    picture: Picture, header: Mapping[str, Any], state: Mapping[str, Any], lines: list[Any]
) -> None:
    theme = picture.theme
    title = state.get("model") or header["metric"] or "Loss"
    x = 16 + picture.text((16, 12), title, bold=True, max_width=240) + 10
    run = f", run {header['current']}" if len(header["runs"]) > 1 else ""
    metric = f"{header['metric']}{run}" if state.get("model") else run[2:]
    x += picture.text((x, 12), metric, color=theme.second, max_width=240) + 24
    if lines:
        x += picture.text((x, 12), f"step {lines[0]['latest'][0]}") + 10
        epoch = state.get("epoch")
        said = ["" if epoch is None else f"epoch {epoch:g}"]
        if state.get("elapsed_s"):
            said.append(f"{state['elapsed_s']:.1f} s")
        picture.text((x, 12), ", ".join(filter(None, said)), color=theme.second)
    picture.rect((0, 39, WIDTH_PX, 40), fill=theme.rule)
    if not lines:
        return
    best_x = _best_column(picture, lines)
    for x, word in ((_LATEST_X, "latest"), (best_x, "best")):
        picture.text((x, 48), word, size=11, color=theme.second, align="right")
    for row, line in enumerate(lines):
        y, color = 70 + 24 * row, _color(line, theme)
        width = 2 if line["current"] else 1
        picture.polyline([(16, y + 7), (44, y + 7)], color, width=width, dash=line["dash"])
        if line["val"]:
            picture.dot((30, y + 7), 3.25, color, hollow=True)
        used = picture.text((52, y), line["label"], max_width=110)
        picture.text((56 + used, y), line["detail"], color=theme.second, max_width=100 - used / 2)
        for x, point in ((_LATEST_X, line["latest"]), (best_x, line["best"])):
            if point is not None:
                wrong = isinstance(point[1], str)
                picture.text((x, y), _number(point[1]), align="right",
                             color=theme.error if wrong else theme.text)  # fmt: skip
                picture.text((x + 8, y + 1), f"step {point[0]}", size=12, color=theme.second)
    kind = f"EMA {header['smoothing']:.2f}, de-biased" if header["smoothing"] else "raw values"
    picture.text((WIDTH_PX - 16, 70), kind, size=12, color=theme.second, align="right")
    others = [name for name in header["metrics"] if name != header["metric"]]
    if others:
        also = f"not shown: {', '.join(others)}"
        room = WIDTH_PX - 16 - best_x - 100
        picture.text((WIDTH_PX - 16, 48), also, size=11, color=theme.second, align="right",
                     max_width=room)  # fmt: skip


def _best_column(picture: Picture, lines: list[Any]) -> float:
    """Where the best values end: further right where long step numbers of the latest need it."""
    latest = [f"step {line['latest'][0]}" for line in lines if line["latest"] is not None]
    best = [_number(line["best"][1]) for line in lines if line["best"] is not None]
    steps = max((picture.text_width(text, size=12) for text in latest), default=0.0)
    numbers = max((picture.text_width(text) for text in best), default=0.0)
    return max(400.0, _LATEST_X + 8 + steps + 12 + numbers)


def _number(value: float | str) -> str:
    if isinstance(value, str):
        return value
    small = value and not 1e-3 <= abs(value) < 1e5
    return f"{value:.2e}" if small else f"{value:.4f}"


class _Chart:
    """The plot itself, in ``box``."""

    def __init__(
        self, picture: Picture, header: Mapping[str, Any], lines: list[dict[str, Any]], box: Box
    ) -> None:
        self._picture, self._header, self._lines, self._box = picture, header, lines, box
        self._log = bool(header["log_y"])
        limits = header["limits"]["log" if self._log else "linear"]
        low, high = limits or ((0.1, 1.0) if self._log else (0.0, 1.0))
        pad = 0.03 * (self._f(high) - self._f(low))
        self._high = self._inverse(self._f(high) + pad)
        self._low = self._inverse(self._f(low) - pad) if self._log or low else low
        first, last = header["bounds"]
        first = 0 if 0 < first < 0.05 * last else first
        self._first, self._last = first, last if last > first else first + 1

    def _f(self, value: float) -> float:
        return math.log10(value) if self._log else value

    def _inverse(self, value: float) -> float:
        return float(10.0 ** min(value, 308.0)) if self._log else value

    def _x(self, steps: Any) -> Any:
        left, _, right, _ = self._box
        span = self._last - self._first
        return left + (np.asarray(steps, np.float64) - self._first) / span * (right - left)

    def _y(self, values: Any) -> Any:
        _, top, _, bottom = self._box
        values = np.asarray(values, np.float64)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            scaled = np.log10(np.where(values > 0, values, np.nan)) if self._log else values
            low, high = self._f(self._low), self._f(self._high)
            return bottom - (scaled - low) / (high - low) * (bottom - top)

    def draw(self, lane: float, *, compact: bool) -> None:
        """Draw axes, lines, marks and names."""
        self._axes(compact)
        theme, picture, box = self._picture.theme, self._picture, self._box
        for line in reversed(self._lines):
            few = len(line["steps"]) <= 60
            raw = np.stack([self._x(line["steps"]), self._y(line["values"])], axis=1)
            dash, color = line["dash"], _color(line, theme)
            if line["soft"] is None:
                width = 1.0 if not line["current"] else 2.0 if line["val"] else 1.25
                picture.polyline(raw, color, width=width, dash=dash, clip=box)
            else:
                if not few:
                    thin = theme.earlier if line["val"] else theme.train_raw
                    picture.polyline(raw, thin, clip=box)
                steps, values = line["soft"]
                soft = np.stack([self._x(steps), self._y(values)], axis=1)
                picture.polyline(soft, color, width=2, dash=dash, clip=box)
            self._clip_marks(line, color)
        for line in self._lines:
            if line["current"] and len(line["steps"]) <= 60:
                y = self._y(line["values"])
                for at in np.flatnonzero(np.isfinite(y) & (y >= box[1]) & (y <= box[3] + 1)):
                    x = float(self._x(line["steps"][at]))
                    picture.dot((x, float(y[at])), 3.25, _color(line, theme), hollow=True)
        self._flags(lane, compact)
        self._rug()
        self._end_names(compact)

    def _axes(self, compact: bool) -> None:
        picture, theme = self._picture, self._picture.theme
        left, top, right, bottom = self._box
        ticks = (log_ticks if self._log else nice_ticks)(self._low, self._high, 3 if compact else 5)
        for tick, label in zip(ticks, tick_labels(ticks), strict=True):
            y = float(self._y(tick))
            picture.polyline([(left, y), (right, y)], theme.grid)
            picture.text((left - 8, y - 8), label, size=11, align="right")
        after, first = -math.inf, True
        for step, epoch in self._header["epochs"]:
            x = float(self._x(step))
            if left <= x <= right and x - after >= 40:
                after = x
                picture.polyline([(x, top), (x, bottom)], theme.grid)
                word = f"epoch {epoch}" if first else str(epoch)
                picture.text((x, bottom + 18), word, size=11, color=theme.second, align="center")
                first = False
        picture.polyline([(left, bottom), (right, bottom)], theme.edge)
        steps, end = nice_ticks(self._first, self._last, 6), 0.0
        for step, label in zip(steps, tick_labels(steps), strict=True):
            x = float(self._x(step))
            picture.polyline([(x, bottom), (x, bottom + 4)], theme.edge)
            end = x + picture.text((x, bottom + 5), label, size=11, align="center") / 2
        picture.text((max(right + 9, end + 8), bottom + 5), "step", size=11)
        word = f"{self._header['metric']} (log)" if self._log else self._header["metric"]
        picture.text((8, top - 24), word, size=11, max_width=90)

    def _clip_marks(self, line: Mapping[str, Any], color: str) -> None:
        values = line["values"]
        above = np.isfinite(values) & (values > self._high)
        last = -math.inf
        for x in self._x(line["steps"][above]).tolist():
            if x - last >= 3:
                last = x
                self._picture.triangle((x, self._box[1] - 3), 3.5, color)

    def _flags(self, lane: float, compact: bool) -> None:
        picture, theme = self._picture, self._picture.theme
        left, top, right, bottom = self._box
        flags = sorted(self._header["flags"], key=lambda flag: flag["step"])
        free = left + 40.0
        for index, flag in enumerate(flags):
            x = float(self._x(flag["step"]))
            if not left <= x <= right:
                continue
            color = theme.warn if flag["kind"] == "finding" else theme.second
            picture.polyline([(x, top - (0 if compact else 12)), (x, bottom)], color, dash=(2, 3))
            if compact:
                continue
            picture.rect((x, top - lane + 7, x + 10, top - lane + 17), fill=color)
            after = (
                float(self._x(flags[index + 1]["step"])) if index + 1 < len(flags) else right + 90
            )
            room = after - x - 24
            if x >= free and room > 30:
                width = picture.text(
                    (x + 15, top - lane + 5), flag["text"], size=11, max_width=room
                )
                free = x + 15 + width

    def _rug(self) -> None:
        picture, theme = self._picture, self._picture.theme
        left, top, right, _ = self._box
        row = 0
        for line in self._lines:
            for number, (first, last, kind) in enumerate(line["spans"]):
                x, end = float(self._x(first)), min(float(self._x(last)), right)
                y = top + 3 + 14 * row
                for at in np.arange(max(x, left), max(end, x + 1), 4.0):
                    picture.rect((at, y, at + 2, y + 9), fill=theme.error)
                if number == 0:
                    until = last >= line["latest"][0]
                    words = f"from step {first}" if until else f"at step {first}"
                    text = f"{line['who']}: {kind} {words}"
                    wide = picture.text_width(text, size=11)
                    at = end + 8 if end + 8 + wide < right else x - wide - 6
                    picture.text((at, y - 2), text, size=11, color=theme.error)
            row = min(row + bool(line["spans"]), 3)

    def _end_names(self, compact: bool) -> None:
        picture, theme = self._picture, self._picture.theme
        _, top, right, bottom = self._box
        ends = []
        for line in self._lines:
            steps, values = line["soft"] or (line["steps"], line["values"])
            y = self._y(values)
            real = np.flatnonzero(np.isfinite(y))
            if line["current"] and len(real):
                ends.append((min(max(float(y[real[-1]]), top), bottom), steps[real[-1]], line))
        below = -math.inf
        ends.sort(key=lambda end: end[0])
        shift = max(0.0, max((16 * i for i in range(len(ends))), default=0) - (bottom - top))
        for index, (y, step, line) in enumerate(ends):
            color = _color(line, theme)
            if not line["val"]:
                picture.dot((min(float(self._x(step)), right), y), 3.25, color)
            room = 16 * (len(ends) - 1 - index) - shift
            at = min(max(y, below + 16), bottom - 4 - room)
            below = at
            words = line["label"]
            if compact:
                words = f"{words} {_number(line['latest'][1])}"
            picture.text((right + 9, at - 8), words, size=12, color=color, bold=True, max_width=90)

    def note(self) -> str:
        """What thin, thick and the marks mean."""
        parts = []
        if self._header["smoothing"]:
            parts.append("Thin: logged values. Thick: two-sided EMA by step distance, without lag.")
        thinned = next((line for line in self._lines if not line["whole"]), None)
        if thinned is not None:
            times = max(2, round(thinned["count"] / len(thinned["steps"])))
            parts.append(f"1 point in {times} drawn (min and max kept).")
        above = {
            line["who"]: line["maximum"]
            for line in self._lines
            if line["maximum"] is not None and line["maximum"] > self._high
        }
        if above:
            said = ", ".join(f"{who} to {short(value)}" for who, value in above.items())
            parts.append(f"▲ above the axis: {said}.")
        skipped = sum(line["not_positive"] for line in self._lines) if self._log else 0
        if skipped:
            parts.append(f"log axis: {skipped} values ≤ 0 not drawn.")
        return " ".join(parts)
