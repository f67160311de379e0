"""Everything the loss view draws, as one packet of at most some ten kilobytes.

The static picture is drawn from the same packet, so both show the same numbers.

Header: ``metric`` (shown), ``metrics`` (to choose from, ``metrics_left_out`` more), ``smoothing``,
``range`` (steps, or null for the whole run), ``bounds`` (first and last step), ``current`` (run),
``runs``, ``lines``, ``flags``, ``epochs`` (step, epochs finished), ``gaps``, ``limits`` (of the y
axis) and ``rev``. A line names its arrays: ``x``/``y`` the drawn points, real ones with their own
steps; ``sx``/``sy`` the smoothed line, absent when all points are there (``complete``: the view
smooths them itself).
A run's ``clock`` is a table of (step, epoch, seconds) to read the other two x axes from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.curves import (
    epoch_marks,
    fractional_epochs,
    knots,
    share_points,
    smooth_line,
    split_name,
    y_limits,
)
from nbtorchviz.analysis.decimation import MOST_POINTS, decimate
from nbtorchviz.analysis.packets import pack
from nbtorchviz.session.curve_lines import (
    WORDS,
    Views,
    add_points,
    add_smoothed,
    as_steps,
    as_values,
    chosen_series,
    describe_line,
    metrics_of,
    nothing_of,
    window_of,
)
from nbtorchviz.session.metrics import MetricHistory, RunInfo
from nbtorchviz.session.series import KeptSums

LIMIT_BYTES = 40_000
"""Size of one update, at most."""
LEAST_BYTES = 16_000
"""Smallest limit that is kept to."""
MOST_METRICS = 40
MOST_LINES = 16
"""Lines of the shown metric, earlier runs included."""
MOST_OTHERS = 6
"""Lines of other metrics sent along, coarse, so that switching to one shows something at once."""
EARLIER_RUNS = 4
"""Earlier runs that are drawn; all are in ``history``."""
_POINT_BYTES = 8
_KNOT_BYTES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveView:
    """What is to be drawn."""

    smoothing: float = 0.0
    """Weight of a point one step away; 0 = raw values only."""
    metric: str = ""
    """Which one has the plot; empty = the first that was logged."""
    names: tuple[str, ...] = ()
    """Metrics that are drawn at all, ``loss`` with its ``val_loss``; empty = every one."""
    range: tuple[float, float | None] | None = None
    """First and last step in view (None: up to the newest); None = the whole run."""
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
        limit_bytes: bound on the packet's size, 16,000 or more. Lines are decimated to fit.
        seq: number of the packet, for its ack.
        sums: kept by the caller between calls, so that long curves are not summed up each time.
    """
    series = chosen_series(history.views(), view.names)
    over = 0
    while True:
        packet = _packet(history, series, view, limit_bytes - over, seq, sums)
        excess = len(packet) - max(limit_bytes, LEAST_BYTES)
        if excess <= 0 or over >= limit_bytes:
            return packet
        over += excess + 64


def _packet(
    history: MetricHistory,
    series: Views,
    view: CurveView,
    limit_bytes: int,
    seq: int,
    sums: KeptSums | None,
) -> bytes:
    runs = _drawn_runs(history, series)
    metrics = metrics_of(series)
    metric = view.metric if view.metric in metrics else next(iter(metrics), "")
    current = max((info.run for info in runs), default=history.current_run)
    keys = _drawn(series, {info.run for info in runs}, current, metric)
    if view.range is not None and _fits(series, keys, current, metric, limit_bytes):
        view = replace(view, range=None)  # the browser has every point, and zooms by itself
    bounds = _bounds(series, keys, metric)
    span = None
    if view.range is not None and bounds is not None:
        first, last = view.range
        span = (float(first), float(bounds[1] if last is None else last))
    header: dict[str, Any] = {
        "seq": seq,
        "rev": view.rev,
        "metric": metric[:WORDS],
        "metrics": [name[:WORDS] for name in metrics[:MOST_METRICS]],
        "metrics_left_out": max(0, len(metrics) - MOST_METRICS),
        "nothing": "" if series else nothing_of(history.views(), view.names),
        "smoothing": view.smoothing,
        "log_y": view.log_y,
        "range": None if span is None else list(span),
        "bounds": bounds,
        "current": current,
        "runs": [],
        "flags": _flags(history, current),
        "gaps": [[first, last] for run, first, last in history.gaps[-40:] if run == current],
        "epochs": [],
        "lines": [],
    }
    arrays: dict[str, NDArray[Any]] = {}
    scale = min(1.0, max(limit_bytes, 2_000) / LIMIT_BYTES)
    for info in runs:
        if any(key[0] == info.run for key in keys):
            most = int((512 if info.run == current else 64) * scale)
            _add_run(header, arrays, info, series, keys, most, current=info.run == current)
    drawn = [window_of(series[key], span) for key in keys]
    smooth_most = int(500 * scale)
    budget = limit_bytes - 1_500 - 420 * len(keys) - (1_200 if view.range else 0)
    budget -= sum(array.nbytes for array in arrays.values())
    shares = _shares(keys, drawn, current, metric, view, budget, smooth_most)
    for number, (key, window, share) in enumerate(zip(keys, drawn, shares, strict=True)):
        most = smooth_most if key[0] == current else smooth_most // 4
        line = describe_line(series[key], key, window, share)
        add_points(line, arrays, number, series[key], window, share)
        if view.smoothing and not line["complete"] and split_name(key[1])[0] == metric and share:
            kept = None if sums is None else sums.smoother(key, series[key], view.smoothing)
            add_smoothed(line, arrays, number, series[key], window, view.smoothing, most, kept)
        header["lines"].append(line)
    header["limits"] = _limits(series, keys, drawn, current, metric)
    _add_overview(header, arrays, series, (current, metric), view, bounds, sums)
    return pack(header, arrays)


def _drawn(series: Views, runs: set[int], current: int, metric: str) -> list[tuple[int, str]]:
    """Lines that are sent: those of the shown metric, and a few of the others to switch to."""
    shown = [key for key in series if key[0] in runs and split_name(key[1])[0] == metric]
    shown = [key for key in shown if key[0] == current] + [k for k in shown if k[0] != current]
    others = [key for key in series if key[0] == current and split_name(key[1])[0] != metric]
    return shown[:MOST_LINES] + others[:MOST_OTHERS]


def _fits(
    series: Views, keys: list[tuple[int, str]], current: int, metric: str, limit_bytes: int
) -> bool:
    """Whether every point of what is shown can be sent, clocks included."""
    counts = [
        (len(series[key].values), MOST_POINTS if key[0] == current else 500)
        for key in keys
        if split_name(key[1])[0] == metric
    ]
    points = sum(count for count, _ in counts) + 120 * (len(keys) - len(counts))
    room = limit_bytes - 5_000 - 512 * _KNOT_BYTES - 420 * len(keys)
    return all(count <= most for count, most in counts) and points * _POINT_BYTES <= room


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
            "text": flag.text[:WORDS],
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
    chosen = knots(longest.steps, longest.elapsed_s, most)
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
    arrays[f"{name}s"] = as_steps(steps)
    arrays[f"{name}e"] = table.astype(np.float32)
    arrays[f"{name}t"] = longest.elapsed_s[chosen].astype(np.float32)
    header["runs"].append(
        {
            "run": info.run,
            "name": info.name[:WORDS],
            "detail": info.detail[:WORDS],
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
    return {"linear": _widest(chosen, log=False), "log": _widest(chosen, log=True)}


def _widest(lines: Sequence[NDArray[np.float64]], *, log: bool) -> list[float] | None:
    """Limits that fit each line by itself: a long one must not push a short one out of view."""
    found = [pair for line in lines if (pair := y_limits(line, log=log)) is not None]
    return [min(low for low, _ in found), max(high for _, high in found)] if found else None


def _add_overview(
    header: dict[str, Any],
    arrays: dict[str, NDArray[Any]],
    series: Views,
    key: tuple[int, str],
    view: CurveView,
    bounds: list[int] | None,
    sums: KeptSums | None,
) -> None:
    """Add the whole current run, few points, when only a part of it is drawn."""
    header["overview"] = None
    names = [k for k in series if k[0] == key[0] and split_name(k[1])[0] == key[1]]
    if view.range is None or not names or bounds is None:
        return
    whole = series[names[0]]
    header["overview"] = {"x": "ox", "y": "oy"}
    if view.smoothing:
        kept = None if sums is None else sums.smoother(names[0], whole, view.smoothing)
        chosen, values = smooth_line(whole.steps, whole.values, view.smoothing, 120, smoother=kept)
    else:
        chosen = decimate(whole.steps, whole.values, columns=59, blocks=whole.blocks)
        values = whole.values[chosen]
    arrays["ox"], arrays["oy"] = as_steps(whole.steps[chosen]), as_values(values)
