"""One line of a curve packet: what is said of it, and the arrays that draw it."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.curves import rising_is_better, smooth_line, split_name
from nbtorchviz.analysis.decimation import decimate
from nbtorchviz.analysis.smoothing import Smoother
from nbtorchviz.session.series import Point, SeriesView

WORDS = 120
"""Characters of a name that are sent."""
_LARGEST32, _STEP32 = float(np.finfo(np.float32).max), float(np.finfo(np.float32).eps)
_FEW_STEPS = 1_000 * _STEP32
"""A plot is some hundred pixels high."""


Views = Mapping[tuple[int, str], SeriesView]


def chosen_series(series: Views, names: tuple[str, ...]) -> Views:
    """Return the series of these names, in the order of the names; all when there are none."""
    if not names:
        return series
    places = {name: place for place, name in reversed(list(enumerate(names)))}
    ranks = {
        key: min(places[name] for name in (key[1], split_name(key[1])[0]) if name in places)
        for key in series
        if key[1] in places or split_name(key[1])[0] in places
    }
    return {key: series[key] for key in sorted(ranks, key=ranks.__getitem__)}


def metrics_of(series: Views) -> list[str]:
    """Return the metrics, a validation metric under that of training."""
    return list(dict.fromkeys(split_name(name)[0] for _, name in series))


def nothing_of(series: Views, names: tuple[str, ...]) -> str:
    """Say why there is no line though numbers were logged; "" where none was.

    Args:
        series: all that was logged.
        names: what is to be shown, of which nothing was.
    """
    if not series:
        return ""
    logged = metrics_of(series)
    more = f" and {len(logged) - 5} more" if len(logged) > 5 else ""
    return f"No value of {' or '.join(names[:5])} yet; logged so far: {', '.join(logged[:5])}{more}"


def newest_lines(series: Views, metric: str) -> list[dict[str, Any]]:
    """Describe all lines of the newest run; those of ``metric``, or of the first, lead."""
    newest = max((run for run, _ in series), default=0)
    metrics = metrics_of(series)
    lead = metric if metric in metrics else next(iter(metrics), "")
    keys = [key for key in series if key[0] == newest]
    keys.sort(key=lambda key: split_name(key[1])[0] != lead)
    return [describe_line(series[key], key, (0, len(series[key].values)), 0) for key in keys]


def window_of(view: SeriesView, limits: tuple[float, float] | None) -> tuple[int, int]:
    """Indices in view, one more on each side so that lines reach the edges."""
    if limits is None:
        return 0, len(view.steps)
    first = int(np.searchsorted(view.steps, math.ceil(limits[0])))
    stop = int(np.searchsorted(view.steps, math.floor(limits[1]), side="right"))
    return max(0, first - 1), min(len(view.steps), stop + 1)


def describe_line(
    view: SeriesView, key: tuple[int, str], window: tuple[int, int], share: int
) -> dict[str, Any]:
    """Return what is said of a line; ``share`` is how many of its points are drawn."""
    run, name = key
    metric, role = split_name(name)
    best = view.largest if rising_is_better(metric) else view.smallest
    count = window[1] - window[0]
    return {
        "run": run,
        "name": name[:WORDS],
        "metric": metric[:WORDS],
        "role": role,
        "count": len(view.values),
        "complete": share >= len(view.values) == count,
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


def add_points(
    line: dict[str, Any],
    arrays: dict[str, NDArray[Any]],
    number: int,
    view: SeriesView,
    window: tuple[int, int],
    share: int,
) -> None:
    """Add the raw points of ``window``, at most ``share`` of them, extremes kept."""
    chosen: NDArray[Any] = np.arange(window[0], min(window[1], window[0] + share))
    if share < window[1] - window[0] and share >= 4:
        columns = (share - 2) // 2
        chosen = decimate(
            view.steps, view.values, columns=columns, blocks=view.blocks, window=window
        )
    line["x"], line["y"] = f"x{number}", f"y{number}"
    arrays[line["x"]] = as_steps(view.steps[chosen])
    arrays[line["y"]] = as_values(view.values[chosen])


def add_smoothed(
    line: dict[str, Any],
    arrays: dict[str, NDArray[Any]],
    number: int,
    view: SeriesView,
    window: tuple[int, int],
    weight: float,
    most: int,
    kept: Smoother | None,
) -> None:
    """Add at most ``most`` points of the smoothed line."""
    chosen, values = smooth_line(
        view.steps, view.values, weight, most, smoother=kept, window=window
    )
    line["sx"], line["sy"] = f"sx{number}", f"sy{number}"
    arrays[line["sx"]] = as_steps(view.steps[chosen])
    arrays[line["sy"]] = as_values(values)


def as_steps(steps: NDArray[Any]) -> NDArray[Any]:
    """int32 where that holds them, else float64."""
    fits = len(steps) == 0 or max(abs(int(steps[0])), abs(int(steps[-1]))) < 2**31
    return steps.astype(np.int32 if fits else np.float64)


def as_values(values: NDArray[Any]) -> NDArray[Any]:
    """float32 where that shows them as they are, else float64.

    Else: beyond its range, or so close together that few of its steps lie between them.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return values.astype(np.float32)
    low, high = float(finite.min()), float(finite.max())
    largest = max(-low, high)
    fits = largest <= _LARGEST32 and (low == high or high - low > _FEW_STEPS * largest)
    return values.astype(np.float32 if fits else np.float64)
