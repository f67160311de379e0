"""The bqplot twin of the loss chart: for users who add marks of their own."""

from typing import Any

import numpy as np

from nbtorchviz.analysis.curves import split_name
from nbtorchviz.analysis.smoothing import smooth

_COLORS = {"train": "#0d47a1", "val": "#a84300", "earlier": "#767676"}
_RAW = {"train": "#5f93d3", "val": "#c98a55"}


class LossFigure:
    """Holds a ``bqplot.Figure`` and brings its lines up to date.

    Both axes exist from the start. A log axis comes with new scales and new axes: bqplot draws
    the lines but not the ticks anew when the scale of an axis is replaced.

    Args:
        header: of a curve packet.
        arrays: of the same packet.

    Raises:
        ImportError: bqplot is not installed.
    """

    def __init__(self, header: dict[str, Any], arrays: dict[str, Any]) -> None:
        try:
            import bqplot
        except ImportError as error:
            raise ImportError(
                "LiveLossPlot.figure needs bqplot: pip install 'bqplot>=0.13,<0.14'. "
                "The plot itself works without it."
            ) from error
        self._bqplot = bqplot
        self._marks: dict[tuple[int, str, bool], Any] = {}
        self._log: bool | None = None
        self._scales: dict[str, Any] = {}
        self.figure = bqplot.Figure(
            fig_margin={"top": 24, "bottom": 40, "left": 60, "right": 24}, animation_duration=0
        )
        self.update(header, arrays)

    def update(self, header: dict[str, Any], arrays: dict[str, Any]) -> None:
        """Show ``header`` and ``arrays``; marks that a user added stay."""
        shown = {}
        drawn = [line for line in header["lines"] if line["metric"] == header["metric"]]
        for line in drawn:
            for key, points in _lines(line, arrays, header["smoothing"]):
                shown[key] = (line, points)
        with self.figure.hold_sync():
            if self._log != header["log_y"]:
                self._use_axes(log=header["log_y"], label=header["metric"])
            limits = header["limits"]["log" if header["log_y"] else "linear"]
            if limits is not None:
                self._scales["y"].min, self._scales["y"].max = limits
            self._replace_marks(list(shown), header["current"])
        for key, (_, (steps, values)) in shown.items():
            mark = self._marks[key]
            with mark.hold_sync():  # one message for x and y: otherwise each point draws twice
                mark.x, mark.y = steps, values

    def _use_axes(self, *, log: bool, label: str) -> None:
        bqplot, self._log = self._bqplot, log
        y_scale = bqplot.LogScale() if log else bqplot.LinearScale()
        self._scales = {"x": self._scales.get("x") or bqplot.LinearScale(), "y": y_scale}
        self.figure.axes = [
            bqplot.Axis(scale=self._scales["x"], label="step"),
            bqplot.Axis(scale=y_scale, side="left", label=f"{label} (log)" if log else label),
        ]
        for mark in self._marks.values():
            mark.scales = self._scales

    def _replace_marks(self, keys: list[tuple[int, str, bool]], current: int) -> None:
        if list(self._marks) == keys:
            return
        before = list(self._marks.values())
        marks = {key: self._marks.get(key) or self._mark(key, current) for key in keys}
        foreign = [mark for mark in self.figure.marks if all(mark is not old for old in before)]
        self._marks = marks
        self.figure.marks = [*marks.values(), *foreign]

    def _mark(self, key: tuple[int, str, bool], current: int) -> Any:
        run, name, smoothed = key
        role = "val" if split_name(name)[1] == "val" else "train"
        colors = _COLORS if smoothed or role == "val" else _RAW
        return self._bqplot.Lines(
            x=[],
            y=[],
            scales=self._scales,
            labels=[name if run == current else f"run {run} {name}"],
            colors=[colors[role] if run == current else _COLORS["earlier"]],
            line_style="dashed" if role == "val" else "solid",
            stroke_width=2 if smoothed else 1,
        )


def _lines(line: dict[str, Any], arrays: dict[str, Any], weight: float) -> list[Any]:
    """The raw and, where there is one, the smoothed line: [((run, name, smoothed), points)]."""
    steps, values = arrays[line["x"]], np.asarray(arrays[line["y"]], np.float64)
    lines = [((line["run"], line["name"], False), (steps, values))]
    if weight and line["complete"]:
        soft = (steps, smooth(steps.astype(np.int64), values, weight))
        lines.append(((line["run"], line["name"], True), soft))
    elif "sx" in line:
        soft = (arrays[line["sx"]], np.asarray(arrays[line["sy"]], np.float64))
        lines.append(((line["run"], line["name"], True), soft))
    return lines
