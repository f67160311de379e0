"""What an ActivationBrowser's view needs besides the picture: rows, counts, reasons, sentences."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from nbtorchviz.capture.layers import ancestors
from nbtorchviz.events import LayerCaptured, LayerInfo
from nbtorchviz.session import Session
from nbtorchviz.session.curve_lines import WORDS
from nbtorchviz.session.frame import Frame
from nbtorchviz.session.metrics import MetricHistory
from nbtorchviz.widgets.selection import Selection

MOST_FLAGS = 40
"""They travel with each state, some times a second."""
LIST_BYTES = 200_000
"""Bound on the layer list; beyond it the deepest layers are not listed, but can be selected."""


def layer_rows(infos: Sequence[LayerInfo]) -> list[dict[str, Any]]:
    """Return the ``layers`` trait: one row per layer, in the order of the slider."""
    calls = Counter(info.key.partition("#")[0] for info in infos)
    names = row_names(infos)
    rows: list[dict[str, Any]] = [
        {
            "key": info.key,
            "name": names[info.key],
            "depth": info.depth,
            "block": info.block,
            "type": info.type,
            "detail": info.detail,
            "shape": None if info.shape is None else list(info.shape),
            "called": info.called,
            "paths": list(info.paths),
            "calls": calls[info.key.partition("#")[0]],
        }
        for info in infos
    ]
    if 200 * len(rows) + sum(len(row["key"]) for row in rows) < LIST_BYTES // 2:
        return rows
    sizes = [size_bytes(row) + 2 for row in rows]
    listed, left = set(), LIST_BYTES
    for index in sorted(range(len(rows)), key=lambda at: (rows[at]["depth"], at)):
        left -= sizes[index]
        if left < 0:
            break
        listed.add(index)
    return [row for index, row in enumerate(rows) if index in listed]


def row_names(infos: Sequence[LayerInfo]) -> dict[str, str]:
    """Return by key what is written in a row below the rows of the blocks around it.

    An ``nn.ModuleList`` has no row, as nothing calls it: ``"encoder.layers.0"`` below
    ``"encoder"`` is ``"layers.0"``.
    """
    listed = {info.key.partition("#")[0] for info in infos}
    above = {info.key: ancestors(info.key, listed) for info in infos}
    return {key: key[len(f"{around[-1]}.") :] if around else key for key, around in above.items()}


def size_bytes(value: object) -> int:
    """Bytes of ``value`` as JSON."""
    return len(json.dumps(value, default=str))


def known_layers(
    session: Session, changes: dict[str, Any], before: Selection
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the keys that may be selected, and ``changes`` with the layer's own key.

    Other names of a layer are taken as well, and, before the first forward, any call of it.
    """
    keys, changes = session.layers, dict(changes)
    layer, call = changes.get("layer", before.layer), changes.get("call")
    if "layer" in changes and isinstance(layer, str) and layer not in keys:
        layer = changes["layer"] = session.tap.find(layer)
    if any(info.called is not None for info in session.layer_infos):
        return keys, changes
    named = f"{layer}#{call}" if isinstance(call, int) and call else layer
    return (*keys, named) if str(layer).partition("#")[0] in keys else keys, changes


def check_path(session: Session, pick: Selection) -> None:
    """Refuse a place in the output at which the last forward had no tensor.

    Raises:
        ValueError: the message lists the places.
    """
    info = next((info for info in session.layer_infos if info.key == pick.layer), None)
    if info is not None and info.called and pick.path and pick.path not in info.paths:
        known = ", ".join(map(repr, info.paths))
        raise ValueError(f"path of {pick.layer!r} must be one of {known}, got {pick.path!r}.")


def browser_state(session: Session, pick: Selection, event: LayerCaptured | None) -> dict[str, Any]:
    """Return ``state["browser"]``: what the controls offer, and why they do not."""
    recorder = session.recorder
    kept = recorder.kept["pinned" if pick.pinned and recorder.pinned else "batch"]
    steps = sorted(set(kept.steps(pick.layer, path=pick.path, gradient=pick.show == "gradient")))
    seen = recorder.input.get("batch")
    nothing = "" if seen is not None or recorder.pinned else "no batch was seen yet"
    gradient = "a probe has no gradient" if pick.pinned and recorder.pinned else ""
    return {
        "sample_count": 1 if event is None else event.batch_size,
        "sample_word": "sample" if event is None else event.sample_word,
        "kept_steps": steps,
        "flags": _flags(session.metrics, steps),
        "gradient": {"enabled": not gradient, "reason": gradient},
        "pin": {"enabled": not nothing, "reason": nothing},
        "pinned": pick.pinned and recorder.pinned,
    }


def _flags(history: MetricHistory, steps: Sequence[int]) -> list[dict[str, Any]]:
    """What happened among the kept steps of this run; older flags would open a later picture."""
    current = history.newest_run
    seen = [f for f in history.flags if steps and f.run == current and f.step >= steps[0]]
    return [
        {"step": flag.step, "text": flag.text[:WORDS], "kind": flag.kind}
        for flag in seen[-MOST_FLAGS:]
    ]


def missing_sentence(
    session: Session, pick: Selection, info: LayerInfo | None, step: int | None = None
) -> str | None:
    """Say why there is no picture of the selected layer; None while nothing has run yet.

    Args:
        session: the watched model.
        pick: what is selected.
        info: of its layer.
        step: that is held; None: the newest is to be shown.
    """
    if not session.recorder.times.get("forward"):
        return None
    if info is None:
        return f"{pick.layer} is no longer part of the model. Choose another layer."
    if info.called is False:
        return f"{pick.layer} was not called in the last forward."
    if pick.show == "gradient":
        if pick.pinned and session.recorder.pinned:
            return "A pinned input is run without a backward, so it has no gradient."
        return f"No gradient of {pick.layer} was seen yet. Frozen layers before it have none."
    if session.step == 0 and not session.recorder.times.get("step"):
        return None
    if step is not None:
        return (
            f"Nothing of {pick.layer} was kept at step {step} or near it. "
            "The Step slider's right end goes on live."
        )
    return f"{pick.layer} was not captured yet; it is read at the next step."


def frame_words(model: str, layer: str, frame: Frame | None, missing: str | None = None) -> str:
    """Return what is shown of ``layer``, or why nothing is, as one stable line."""
    title = f"ActivationBrowser of {model}"
    if frame is None:
        return f"{title}: {missing or f'{layer}, no step yet'}"
    if not frame.values.size and frame.notes:
        return f"{title}: {frame.layer} {frame.show}, step {frame.step}, {'; '.join(frame.notes)}"
    shape = "×".join(map(str, frame.values.shape)) or "scalar"
    numbers = frame.statistics
    text = f"{title}: {frame.layer} {frame.show} {shape}, step {frame.step}"
    if numbers.minimum is not None and numbers.maximum is not None:
        text += f", {numbers.minimum:.4g} to {numbers.maximum:.4g}"
        if numbers.sampled < numbers.count:
            text += f" ({numbers.sampled:,} of {numbers.count:,} values read)"
    counts = {"NaN": numbers.nan, "Inf": numbers.posinf + numbers.neginf}
    for word, count in counts.items():
        if count:
            text += f", all {word}" if count == numbers.sampled else f", {count:,} {word}"
    return text
