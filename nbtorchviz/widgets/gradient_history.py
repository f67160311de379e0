"""Bring a session's statistics into the shape in which a GradientInspector's view reads them."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.gradient_picture import FlowRow
from nbtorchviz.events import LayerInfo
from nbtorchviz.session.statistics_log import History, StatisticsLog
from nbtorchviz.widgets.gradient_packet import STATES, GradientHistory, Strip

_WORDS = {word: code for code, word in enumerate(STATES)}
_NEIGHBOURS = 2
_RECENT = 50
"""Samples behind the grey band of the picture."""
_CLIPPED = 1.001
"""Raw norms are shown where the user's clipping changed them by more than rounding does."""


def gradient_history(log: StatisticsLog, infos: Sequence[LayerInfo]) -> GradientHistory | None:
    """Return all norms that are kept; None while there are none.

    Args:
        log: of the session.
        infos: the layer tree.
    """
    layers, parameters = log.layers(), log.parameters()
    infos = [info for info in infos if info.key != "input"]
    base = parameters or layers
    if base is None or not len(base.steps):
        return None
    names = parameters.rows if parameters is not None else ()
    columns = parameters.columns if parameters is not None else {}
    empty = np.full((len(names), len(base.steps)), np.nan, np.float32)
    norms = {
        "gradient": columns.get("gradient_norms", empty),
        "weight": columns.get("norms", empty),
        "update": columns.get("update_norms", empty),
        "activation": _by_layer(layers, infos, base.steps),
    }
    raw = columns.get("raw_gradient_norms", empty)
    with np.errstate(invalid="ignore"):
        if bool((raw > _CLIPPED * norms["gradient"]).any()):
            norms["raw"] = raw
    broken = {"gradient": np.zeros(empty.shape, np.bool_)}
    states = np.zeros(empty.shape, np.uint8)
    if parameters is not None and parameters.states is not None:
        for word in np.unique(parameters.states):
            states[parameters.states == word] = _WORDS.get(str(word), 0)
        broken["gradient"] = (columns["nonfinite"] > 0) & ~np.isinf(norms["gradient"])
    rates = columns.get("learning_rates", empty)
    return GradientHistory(
        layers=infos,
        parameters=[(name, log.elements(name)) for name in names],
        steps=base.steps,
        norms=norms,
        broken=broken,
        states=states,
        learning_rates=rates[:, -1] if rates.size else np.empty(0, np.float32),
    )


def strips(log: StatisticsLog, history: GradientHistory, layer: str) -> list[Strip]:
    """Return histograms over time of ``layer`` and of its neighbours in the tree."""
    keys = [info.key for info in history.layers]
    owners = list(dict.fromkeys(name.rpartition(".")[0] for name, _ in history.parameters))
    order = keys or owners
    at = order.index(layer) if layer in order else 0
    near = sorted(range(len(order)), key=lambda place: abs(place - at))[: 1 + 2 * _NEIGHBOURS]
    found: list[Strip] = []
    for key in [order[place] for place in near] if order else [layer]:
        for name, _ in history.parameters:
            owner, _, own = name.rpartition(".")
            if owner == key or name == key:
                found += _strip(log, key, own if owner == key else name, name, "parameter")
        found += _strip(log, key, "@gradient", key, "gradient")
        found += _strip(log, key, "@activation", key, "activation")
    return found


def flow_rows(history: GradientHistory) -> list[FlowRow]:
    """Return the newest norms by layer, for a picture drawn here."""
    places = {info.key: row for row, info in enumerate(history.layers)}
    owned: dict[str, list[int]] = {}
    for at, (name, _) in enumerate(history.parameters):
        owned.setdefault(name.rpartition(".")[0], []).append(at)
    order = [info.key for info in history.layers if info.key in owned]
    norms, result = history.norms, []
    for key in order or list(owned):
        mine = owned[key]
        gradient = together(norms["gradient"][mine])
        recent = gradient[-_RECENT:][np.isfinite(gradient[-_RECENT:])]
        update, weight = together(norms["update"][mine]), together(norms["weight"][mine])
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio, effective = update / weight, update / gradient
        ratios = ratio[np.isfinite(ratio)]
        words = {STATES[history.states[row, -1]] for row in mine}
        activation = norms["activation"][places[key]] if key in places else None
        result.append(
            FlowRow(
                name=key,
                gradient=float(gradient[-1]),
                activation=math.nan if activation is None else float(activation[-1]),
                low=float(recent.min()) if len(recent) else math.nan,
                high=float(recent.max()) if len(recent) else math.nan,
                ratio=float(ratio[-1]) if np.isfinite(ratio[-1]) else math.nan,
                ratio_low=float(ratios[-_RECENT:].min()) if len(ratios) else math.nan,
                ratio_high=float(ratios[-_RECENT:].max()) if len(ratios) else math.nan,
                effective=float(effective[-1]) if np.isfinite(effective[-1]) else math.nan,
                word=words.pop() if len(words) == 1 else "",
            )
        )
    return result


def together(norms: NDArray[np.float32]) -> NDArray[np.float64]:
    """L2 norm of several parameters together, by step; NaN where none was measured."""
    squares = np.square(norms.astype(np.float64))
    measured = ~np.isnan(squares).all(axis=0)
    return np.where(measured, np.sqrt(np.nansum(squares, axis=0)), np.nan)


def _strip(log: StatisticsLog, layer: str, of: str, row: str, kind: str) -> list[Strip]:
    steps, histograms = log.histograms(row, kind)
    if not histograms:
        return []
    elements = log.elements(row)
    return [Strip(layer=layer, of=of, steps=list(steps), histograms=histograms, elements=elements)]


def _by_layer(
    layers: History | None, infos: Sequence[LayerInfo], steps: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Norms of d loss / d output at the steps of the parameters, rows as in the tree."""
    found = np.full((len(infos), len(steps)), np.nan, np.float32)
    if layers is None:
        return found
    _, ours, theirs = np.intersect1d(steps, layers.steps, return_indices=True)
    place = {key: row for row, key in enumerate(layers.rows)}
    for row, info in enumerate(infos):
        if info.key in place:
            found[row, ours] = layers.columns["gradient"][place[info.key], theirs]
    return found
