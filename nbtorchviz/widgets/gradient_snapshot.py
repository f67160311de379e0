"""The static picture of a GradientInspector: the view that is chosen, from the same numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.activation_picture import activation_picture
from nbtorchviz.analysis.gradient_bins_picture import bins_picture
from nbtorchviz.analysis.gradient_picture import gradient_picture
from nbtorchviz.analysis.gradient_time_picture import TimeRow, heat_picture, lines_picture
from nbtorchviz.session import Session
from nbtorchviz.widgets.gradient_choice import GradientChoice
from nbtorchviz.widgets.gradient_history import flow_rows, gradient_history, strips, together
from nbtorchviz.widgets.gradient_maps import GradientMaps
from nbtorchviz.widgets.gradient_packet import STATES, GradientHistory

TITLES = {
    "gradient": "parameter gradient",
    "activation": "gradient of the output",
    "weight": "weights",
    "update": "update",
    "ratio": "update ÷ weight",
    "effective": "effective learning rate",
    "raw": "gradient before clipping",
}
_LIMIT_BYTES = 200_000


def picture_of(
    session: Session, choice: GradientChoice, maps: GradientMaps, state: Mapping[str, Any]
) -> bytes:
    """Return the chosen view as a PNG of at most 100 KB."""
    if choice.view == "maps":
        header, arrays = maps.parts(choice, 0, _LIMIT_BYTES)
        centred = header | {"signed": True, "layer": _title(header)}
        if header.get("inputs"):
            part = header["part"]
            said = "mean over the input channels" if part is None else f"input channel {part}"
            centred["notes"] = [said, *header["notes"]]
        return activation_picture(
            centred, arrays, state, channel=choice.channel, normalize=choice.normalize
        )
    history = gradient_history(session.statistics, session.layer_infos)
    step = None if history is None else int(history.steps[-1])
    if history is None or choice.view in ("flow", "ratio"):
        flow = [] if history is None else flow_rows(history)
        ratio = choice.view == "ratio"
        return gradient_picture(flow, state, step=step, selected=choice.layer, ratio=ratio)
    if choice.view == "histograms":
        return _bins(session, choice, history, state)
    rows = time_rows(history, choice)
    draw = heat_picture if choice.drawn == "heat" else lines_picture
    if choice.drawn == "lines":
        rows.sort(key=lambda row: row.picked)
    shown = None
    if choice.range is not None:
        first, last = choice.range
        shown = (first, float(history.steps[-1]) if last is None else last)
    return draw(history.steps, rows, state, title=TITLES.get(choice.metric, ""), shown=shown)


def _title(header: Mapping[str, Any]) -> str:
    """What a tensor is, in words."""
    if header["of"] == "@gradient":
        return f"d loss / d output of {header['layer']}"
    tied = header.get("tied", ())
    names = " = ".join([header["layer"], *tied]) + (" (tied)" if tied else "")
    return f"d loss / d {names}" if "gradient" in header["show"] else names


def time_rows(history: GradientHistory, choice: GradientChoice) -> list[TimeRow]:
    """Return the chosen metric of every layer with parameters, over the kept steps."""
    places = {info.key: at for at, info in enumerate(history.layers)}
    owned: dict[str, list[int]] = {}
    for at, (name, _) in enumerate(history.parameters):
        owned.setdefault(name.rpartition(".")[0], []).append(at)
    names = [info.key for info in history.layers if info.key in owned] or list(owned)
    picked = choice.picked or (names[0], names[len(names) // 2], names[-1], choice.layer)
    rows = []
    for name in names:
        values = _series(history, choice.metric, owned[name], places.get(name))
        words = {STATES[history.states[at, -1]] for at in owned[name]}
        word = words.pop() if len(words) == 1 else ""
        rows.append(TimeRow(name=name, values=values, picked=name in picked, word=word))
    return rows


def _series(
    history: GradientHistory, metric: str, mine: list[int], place: int | None
) -> NDArray[np.float64]:
    norms, nothing = history.norms, np.full(len(history.steps), np.nan)
    if metric == "activation":
        return nothing if place is None else norms["activation"][place].astype(np.float64)
    if metric in ("ratio", "effective"):
        below = together(norms["weight" if metric == "ratio" else "gradient"][mine])
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(below > 0, together(norms["update"][mine]) / below, np.nan)
    if metric not in norms:
        return nothing
    values = together(norms[metric][mine])
    broken = history.broken.get(metric)
    return values if broken is None else np.where(broken[mine].any(axis=0), np.inf, values)


def _bins(
    session: Session, choice: GradientChoice, history: GradientHistory, state: Mapping[str, Any]
) -> bytes:
    layer = choice.layer or next((info.key for info in history.layers), "")
    found = [strip for strip in strips(session.statistics, history, layer) if strip.layer == layer]
    strip = next((each for each in found if each.of == choice.of), found[0] if found else None)
    if strip is None:
        missing = f"No histogram of {layer} is here yet."
        return bins_picture([], [], state, title=layer, missing=missing)
    what = {"@gradient": "gradient of the output", "@activation": "output"}
    title = f"{layer}, {what.get(strip.of, f'gradient of {strip.of}')}"
    return bins_picture(strip.steps, strip.histograms, state, title=title, step=choice.step)
