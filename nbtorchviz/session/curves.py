"""Everything the loss view draws, as one packet of at most some ten kilobytes.

The static picture is drawn from the same packet, so both show the same numbers.

Header: ``metric`` (shown), ``metrics`` (all), ``smoothing``, ``range`` (steps, or null for the
whole run), ``bounds`` (first and last step), ``current`` (run), ``runs``, ``lines``, ``flags``,
``epochs`` (step, epochs finished), ``gaps``, ``limits`` (of the y axis) and ``rev``. A line names
its arrays: ``x``/``y`` the drawn points, real ones with their own steps; ``sx``/``sy`` the
smoothed line, absent when all points are there (``complete``: the view smooths them itself).
A run's ``clock`` is a table of (step, epoch, seconds) to read the other two x axes from.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.curves import (
    epoch_marks,
    fractional_epochs,
    knots,
    rising_is_better,
    share_points,
    smooth_line,
    split_name,
    y_limits,
)
from nbtorchviz.analysis.decimation import MOST_POINTS, decimate
from nbtorchviz.analysis.packets import pack
from nbtorchviz.session.metrics import MetricHistory, RunInfo
from nbtorchviz.session.series import KeptSums, Point, SeriesView

LIMIT_BYTES = 40_000
"""Size of one update, at most."""
EARLIER_RUNS = 4
"""Earlier runs that are drawn; all are in ``history``."""
_POINT_BYTES = 8
_KNOT_BYTES = 12
_FLAG_CHARACTERS = 120
_FLOAT32 = np.finfo(np.float32)

Views = Mapping[tuple[int, str], SeriesView]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveView:
    """What is to be drawn."""

    smoothing: float = 0.0
    """Weight of a point one step away; 0 = raw values only."""
    metric: str = ""
    """Which one has the plot; empty = the first that was logged."""
    range: tuple[float, float] | None = None
    """First and last step in view; None = the whole run."""
    log_y: bool = False
    rev: int = 0
    """Grows when Python changed what is drawn, so that the view takes it over."""


def curve_packet(
    history: MetricHistory,
    view: CurveView,
    limit_bytes: int = LIMIT_BYTES,
    *,
    seq: int = 0,
    sums: KeptSums | None = None,
) -> bytes:
    """Return the packet for ``view``.

    Args:
        history: read, not changed.
        view: what to draw.
        limit_bytes: bound on the packet's size; at least 8,000 are used when many lines have
            many points. Lines are decimated to fit, keeping every spike.
        seq: number of the packet, for its ack.
        sums: kept by the caller between calls, so that long curves are not summed up each time.
    """
    series = history.views()
    runs = _drawn_runs(history, series)
    metrics = list(dict.fromkeys(split_name(name)[0] for _, name in series))
    metric = view.metric if view.metric in metrics else next(iter(metrics), "")
    keys = [key for key in series if key[0] in {info.run for info in runs}]
    current = max((key[0] for key in keys), default=history.current_run)
    bounds = _bounds(series, keys, metric)
    header: dict[str, Any] = {
        "seq": seq,
        "rev": view.rev,
        "metric": metric,
        "metrics": metrics,
        "smoothing": view.smoothing,
        "log_y": view.log_y,
        "range": None if view.range is None else [float(edge) for edge in view.range],
        "bounds": bounds,
        "current": current,
        "runs": [],
        "flags": _flags(history, current),
        "gaps": [[first, last] for run, first, last in history.gaps if run == current],
        "epochs": [],
        "lines": [],
        "limits": {},
    }
    arrays: dict[str, NDArray[Any]] = {}
    scale = min(1.0, max(limit_bytes, 8_000) / LIMIT_BYTES)
    for info in runs:
        most = int((512 if info.run == current else 64) * scale)
        _add_run(header, arrays, info, series, keys, most, current=info.run == current)
    drawn = [_window(series[key], view.range) for key in keys]
    smooth_most = int(500 * scale)
    budget = max(limit_bytes, 8_000) - 2_000 - int(1_200 * scale) - 420 * len(keys)
    budget -= sum(array.nbytes for array in arrays.values())
    shares = _shares(keys, drawn, current, metric, view, budget, smooth_most)
    for number, (key, window, share) in enumerate(zip(keys, drawn, shares, strict=True)):
        most = smooth_most if key[0] == current else smooth_most // 4
        line = _line(series[key], key, window, share)
        _add_points(line, arrays, number, series[key], window, share)
        if view.smoothing and not line["complete"] and line["metric"] == metric and share:
            kept = None if sums is None else sums.smoother(key, series[key], view.smoothing)
            _add_smoothed(line, arrays, number, series[key], window, view.smoothing, most, kept)
        header["lines"].append(line)
    header["limits"] = _limits(series, keys, drawn, current, metric)
    _add_overview(header, arrays, series, (current, metric), view, bounds)
    return pack(header, arrays)


def _drawn_runs(history: MetricHistory, series: Views) -> list[RunInfo]:
    with_values = {run for run, _ in series}
    return [info for info in history.runs if info.run in with_values][-EARLIER_RUNS - 1 :]


def _bounds(series: Views, keys: list[tuple[int, str]], metric: str) -> list[int] | None:
    shown = [series[key].steps for key in keys if split_name(key[1])[0] == metric]
    if not shown:
        return None
    return [min(int(steps[0]) for steps in shown), max(int(steps[-1]) for steps in shown)]


def _flags(history: MetricHistory, run: int) -> list[dict[str, Any]]:
    return [
        {
            "step": flag.step,
            "text": flag.text[:_FLAG_CHARACTERS],
            "kind": flag.kind,
            "target": flag.target,
        }
        for flag in history.flags[-40:]
        if flag.run == run
    ]


def _add_run(
    header: dict[str, Any],
    arrays: dict[str, NDArray[Any]],
    info: RunInfo,
    series: Views,
    keys: list[tuple[int, str]],
    most: int,
    *,
    current: bool,
) -> None:
    """Add a run and its clock, read off the metric that was logged most often."""
    longest = max(
        (series[key] for key in keys if key[0] == info.run), key=lambda view: len(view.steps)
    )
    chosen = knots(longest.steps, longest.elapsed_s.astype(np.float64, copy=False), most)
    steps = longest.steps[chosen]
    # From the full columns only what the knots need: where whole epochs begin.
    at = _epoch_points(longest.epochs, chosen, most)
    epochs = fractional_epochs(longest.steps[at], longest.epochs[at].astype(np.float64))
    known = np.isfinite(epochs)
    has_epochs = bool(known.any())
    table = np.full(len(steps), np.nan)
    if has_epochs:
        table = np.interp(steps, longest.steps[at][known], epochs[known])
    if current:
        header["epochs"] = epoch_marks(longest.steps[at], epochs)
    name = f"c{info.run}"
    arrays[f"{name}s"] = _whole(steps)
    arrays[f"{name}e"] = table.astype(np.float32)
    arrays[f"{name}t"] = longest.elapsed_s[chosen].astype(np.float32)
    header["runs"].append(
        {
            "run": info.run,
            "name": info.name[:_FLAG_CHARACTERS],
            "detail": info.detail[:_FLAG_CHARACTERS],
            "clock": name,
            "epochs": has_epochs,
        }
    )


def _epoch_points(epochs: NDArray[np.float32], chosen: NDArray[Any], most: int) -> NDArray[Any]:
    """Indices of the knots and of the first value of each epoch."""
    begins = np.flatnonzero(epochs[1:] != epochs[:-1]) + 1
    if len(begins) > 8 * most:  # fractions: every value differs, the knots are enough
        return chosen
    return np.unique(np.concatenate([chosen, begins]))


def _window(view: SeriesView, limits: tuple[float, float] | None) -> tuple[int, int]:
    """Indices in view, one more on each side so that lines reach the edges."""
    if limits is None:
        return 0, len(view.steps)
    first = int(np.searchsorted(view.steps, math.ceil(limits[0])))
    stop = int(np.searchsorted(view.steps, math.floor(limits[1]), side="right"))
    return max(0, first - 1), min(len(view.steps), stop + 1)


def _shares(
    keys: list[tuple[int, str]],
    drawn: list[tuple[int, int]],
    current: int,
    metric: str,
    view: CurveView,
    budget_bytes: int,
    smooth_most: int,
) -> list[int]:
    """Points for each line: earlier runs and metrics that are not shown get little."""
    most = []
    for (run, name), (begin, stop) in zip(keys, drawn, strict=True):
        shown = split_name(name)[0] == metric
        cap = MOST_POINTS if run == current and shown else 500 if shown else 120
        most.append(min(stop - begin, cap))
        if view.smoothing and shown and stop - begin > cap // 4:
            part = smooth_most if run == current else smooth_most // 4
            budget_bytes -= part * _POINT_BYTES
    return share_points(most, max(0, budget_bytes) // _POINT_BYTES)


def _line(
    view: SeriesView, key: tuple[int, str], window: tuple[int, int], share: int
) -> dict[str, Any]:
    run, name = key
    metric, role = split_name(name)
    best = view.largest if rising_is_better(metric) else view.smallest
    count = window[1] - window[0]
    return {
        "run": run,
        "name": name,
        "metric": metric,
        "role": role,
        "count": len(view.values),
        "complete": share >= len(view.values),
        "whole": share >= count,
        "latest": _point(view.latest),
        "best": _point(best),
        "best_is": "largest" if rising_is_better(metric) else "smallest",
        "maximum": None if view.largest is None else view.largest.value,
        "not_positive": view.not_positive,
        "not_finite": view.not_finite,
        "spans": [list(span) for span in view.spans],
        "thinned": view.thinned,
        "logged": view.logged,
    }


def _point(point: Point | None) -> list[Any] | None:
    if point is None:
        return None
    value = point.value
    written = "NaN" if math.isnan(value) else "Inf" if value > 0 else "-Inf"
    return [point.step, value if math.isfinite(value) else written]


def _add_points(
    line: dict[str, Any],
    arrays: dict[str, NDArray[Any]],
    number: int,
    view: SeriesView,
    window: tuple[int, int],
    share: int,
) -> None:
    chosen: NDArray[Any] = np.arange(window[0], min(window[1], window[0] + share))
    if share < window[1] - window[0] and share >= 4:
        columns = (share - 2) // 2
        chosen = decimate(
            view.steps, view.values, columns=columns, blocks=view.blocks, window=window
        )
    line["x"], line["y"] = f"x{number}", f"y{number}"
    arrays[line["x"]] = _whole(view.steps[chosen])
    arrays[line["y"]] = _single(view.values[chosen])


def _add_smoothed(
    line: dict[str, Any],
    arrays: dict[str, NDArray[Any]],
    number: int,
    view: SeriesView,
    window: tuple[int, int],
    weight: float,
    most: int,
    kept: Any,
) -> None:
    chosen, values = smooth_line(
        view.steps, view.values, weight, most, smoother=kept, window=window
    )
    line["sx"], line["sy"] = f"sx{number}", f"sy{number}"
    arrays[line["sx"]] = _whole(view.steps[chosen])
    arrays[line["sy"]] = _single(values)


def _limits(
    series: Views,
    keys: list[tuple[int, str]],
    drawn: list[tuple[int, int]],
    current: int,
    metric: str,
) -> dict[str, list[float] | None]:
    """Limits of both kinds of y axis over what is in view of the current run."""
    parts = [
        (key[0], series[key].values[begin:stop])
        for key, (begin, stop) in zip(keys, drawn, strict=True)
        if split_name(key[1])[0] == metric
    ]
    newest = [values for run, values in parts if run == current and np.isfinite(values).any()]
    chosen = newest or [values for _, values in parts]
    # Thinned evenly before joining, so that a long curve does not drown a short one.
    thin = [values[:: max(1, len(values) // 20_000)] for values in chosen]
    joined = np.concatenate(thin) if thin else np.empty(0)
    limits = {"linear": y_limits(joined, log=False), "log": y_limits(joined, log=True)}
    return {kind: None if pair is None else list(pair) for kind, pair in limits.items()}


def _add_overview(
    header: dict[str, Any],
    arrays: dict[str, NDArray[Any]],
    series: Views,
    key: tuple[int, str],
    view: CurveView,
    bounds: list[int] | None,
) -> None:
    """Add the whole current run, few points, when only a part of it is drawn."""
    header["overview"] = None
    names = [k for k in series if k[0] == key[0] and split_name(k[1])[0] == key[1]]
    if view.range is None or not names or bounds is None:
        return
    whole = series[names[0]]
    chosen = decimate(whole.steps, whole.values, columns=120, blocks=whole.blocks)
    header["overview"] = {"x": "ox", "y": "oy"}
    arrays["ox"], arrays["oy"] = _whole(whole.steps[chosen]), _single(whole.values[chosen])


def _whole(steps: NDArray[Any]) -> NDArray[Any]:
    fits = len(steps) == 0 or max(abs(int(steps[0])), abs(int(steps[-1]))) < 2**31
    return steps.astype(np.int32 if fits else np.float64)


def _single(values: NDArray[Any]) -> NDArray[np.float32]:
    """float32; what is too large for it is drawn as the largest, above any axis."""
    finite = np.isfinite(values)
    clipped = np.where(finite, np.clip(values, _FLOAT32.min, _FLOAT32.max), values)
    return clipped.astype(np.float32)
