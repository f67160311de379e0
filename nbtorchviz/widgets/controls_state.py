"""What TrainingControls shows: JSON values, read from a session on the sender thread."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from nbtorchviz.analysis.conditions import parse_condition
from nbtorchviz.errors import ConditionError
from nbtorchviz.session import Session
from nbtorchviz.session.knob_groups import SETTINGS, value_text
from nbtorchviz.session.knobs import KnobValue

MOST_BREAKPOINTS = 100
MOST_ROWS = 8
"""Parameter groups, or layers that drop out, that are listed one by one."""
MOST_CHANGES = 20
MOST_LAYERS = 500
MOST_SUGGESTED_LAYERS = 24
LAYERS_S = 2.0
"""The layers' own knobs are read so often, because that walks the model; sooner after a change."""
TITLES = {"lr": "Learning rate", "weight_decay": "Weight decay", "momentum": "Momentum",
          "betas": "Betas", "dropout": "Dropout p"}  # fmt: skip
_ENDINGS = {
    "finished": "ended after",
    "stopped": "was stopped after",
    "failed": "failed after",
    "interrupted": "was interrupted after",
}
GONE = "the model is gone"
CLOSED = "the session is closed"
DEAF = "this host reads controls only when the cell ends"


class LayerKnobs:
    """Which layers are frozen and how much drops out, not read at every call."""

    def __init__(self, session: Session, clock: Callable[[], float] = time.monotonic) -> None:
        self._session, self._clock = session, clock
        self._rows: tuple[KnobValue, ...] = ()
        self._key: object = None
        self._at = 0.0

    def __call__(self) -> tuple[KnobValue, ...]:
        """Return the rows, at most two seconds old and never older than the last change."""
        now, key = self._clock(), self._session.knob_changes[-1:]
        if self._key is None or key != self._key or now - self._at >= LAYERS_S:
            self._rows = self._session.knob_layers
            self._key, self._at = key, now
        return self._rows


def controls_state(
    session: Session,
    shared: Mapping[str, Any],
    *,
    layer_knobs: Sequence[KnobValue],
    answers: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return the ``controls`` part of the state.

    Args:
        session: the watched model.
        shared: what all views share, for what can be pressed.
        layer_knobs: what ``LayerKnobs`` read.
        answers: {view, n, error} of the newest requests; no error: done.
    """
    changes = session.knob_changes[-MOST_CHANGES:]
    return {
        **_phase(session, shared),
        "not_held": session.line.attendance.not_held,
        "can": _can(session, shared),
        "breakpoints": _breakpoints(session),
        "settings": settings_of(session.knob_settings),
        "dropout": dropout_of(layer_knobs),
        "frozen": [row.target for row in layer_knobs if row.knob == "frozen" and row.value],
        "waiting": [[knob, target, text] for (knob, target), text in session.knobs_waiting.items()],
        "changes": [
            {"step": each.step, "text": each.text, "note": each.note, "applied": each.applied}
            for each in changes[::-1]
        ],
        "answers": [dict(answer) for answer in answers],
    }


def _phase(session: Session, shared: Mapping[str, Any]) -> dict[str, Any]:
    """Name the state: a word for the view, a sentence for the user, and why."""
    control, gate = shared["control"], session.gate.state
    if session.tap.gone:
        return {"phase": "gone", "title": "Model gone.", "why": ""}
    if session.closed:
        return {"phase": "gone", "title": "Session closed.", "why": ""}
    if gate == "stopping":
        return {"phase": "stopping", "title": "Stopping after this step.", "why": ""}
    if gate == "pausing":
        return {"phase": "pausing", "title": "Pausing after this step.", "why": ""}
    hit = session.diagnosis.last_hit
    if gate == "paused":
        # "paused at step 142: grad_norm(conv1) = 131 > 100", if a breakpoint held it here.
        fired = hit is not None and hit.step == session.step and not hit.refused
        text = hit.text if hit is not None and fired else f"paused at step {session.step}"
        head, _, why = text.partition(": ")
        return {"phase": "paused", "title": _sentence(head), "why": why}
    if control["state"] == "running":
        refused = session.line.attendance.not_held
        goals = [
            each.text for each in session.breakpoints if each.once and "step() >=" in each.text
        ]
        title = f"Running to step {goals[0].rpartition(' ')[2]}" if goals else "Running"
        return {"phase": "running", "title": title, "why": _sentence(refused)}
    if control["pause"]["reason"] == DEAF:
        return {"phase": "one-way", "title": "Running.", "why": f"{_sentence(DEAF)}."}
    last = f"The last run {_ENDINGS[session.ended]} step {session.step}. " if session.ended else ""
    if session.line.attendance.not_held:
        last += f"{_sentence(session.line.attendance.not_held)} "
    why = f"{last}Breakpoints and knobs can be set now; they act once training runs."
    return {"phase": "idle", "title": "Nothing is training.", "why": why}


def _can(session: Session, shared: Mapping[str, Any]) -> dict[str, str]:
    """Say of each control why it cannot be used now; ``""`` where it can."""
    control = shared["control"]

    def reason(name: str) -> str:
        return "" if control[name]["enabled"] else str(control[name]["reason"])

    held = control["state"] == "paused"
    refused = session.gate.refusal("pause")
    gone = CLOSED if session.closed else GONE if session.tap.gone else ""
    deaf = DEAF if control["pause"]["reason"] == DEAF and not held else ""
    pause = reason("pause") or refused
    return {
        "pause": pause,
        "resume": "" if held else "nothing is paused",
        "step": reason("step") or refused,
        "stop": reason("stop"),
        "run_to": pause,
        "break": gone or deaf or refused,
        "knob": gone or deaf or (refused if "distributed" in refused else ""),
    }


def _breakpoints(session: Session) -> list[dict[str, Any]]:
    return [
        {
            "id": each.id,
            "text": each.text,
            "state": _refused(each.last) or each.state,
            "fault": bool(each.fault),
            "true": each.state.startswith("true"),
            "hits": each.hits,
            "once": each.once,
            "last": "" if each.last is None else each.last.why,
        }
        for each in session.breakpoints[:MOST_BREAKPOINTS]
    ]


def _refused(hit: Any) -> str:
    return hit.text if hit is not None and hit.refused else ""


def settings_of(rows: Sequence[KnobValue]) -> list[dict[str, Any]]:
    """Put the settings of parameter groups into rows: one where all groups agree, else one each."""
    found: list[dict[str, Any]] = []
    for knob in SETTINGS:
        mine = [row for row in rows if row.knob == knob]
        if not mine:
            continue
        if len({row.value for row in mine}) == 1:
            where = f"all {len(mine)} groups" if len(mine) > 1 else ""
            found.append(_row(knob, "all", where, mine[0].value))
            continue
        found += [_row(knob, row.group, row.target, row.value) for row in mine[:MOST_ROWS]]
        if len(mine) > MOST_ROWS:
            found[-1]["more"] = f"{len(mine) - MOST_ROWS} more groups: session.knobs.set(group=…)"
    return found


def dropout_of(rows: Sequence[KnobValue]) -> list[dict[str, Any]]:
    """Put dropout into rows: one where all layers agree, else one each."""
    mine = [row for row in rows if row.knob == "dropout"]
    if not mine:
        return []
    if len({row.value for row in mine}) == 1:
        where = f"{len(mine)} layers" if len(mine) > 1 else mine[0].target
        return [_row("dropout", "", where, mine[0].value)]
    found = [_row("dropout", row.target, row.target, row.value) for row in mine[:MOST_ROWS]]
    if len(mine) > MOST_ROWS:
        found[-1]["more"] = f"{len(mine) - MOST_ROWS} more layers: session.knobs.dropout(p, layer)"
    return found


def _row(knob: str, target: object, where: str, value: Any) -> dict[str, Any]:
    text = "" if value is None else value_text(value).strip("()")
    return {"knob": knob, "title": TITLES[knob], "target": target, "where": where, "value": text}


def layer_tree(rows: Sequence[KnobValue]) -> list[list[Any]]:
    """List what can be frozen, blocks included, in the model's order: [key, depth, frozen].

    ``frozen`` is 0 where all learns, 2 where nothing does, 1 between.
    """
    own = {row.target: bool(row.value) for row in rows if row.knob == "frozen" and row.target}
    inside: dict[str, list[bool]] = {}
    for name, frozen in own.items():
        parts = name.split(".")
        for depth in range(1, len(parts) + 1):
            inside.setdefault(".".join(parts[:depth]), []).append(frozen)
    return [
        [name, name.count("."), 2 if all(states) else int(any(states))]
        for name, states in list(inside.items())[:MOST_LAYERS]
    ]


def suggestions(session: Session, layers: Sequence[str]) -> list[str]:
    """Return conditions that would work here, with this session's layers and metrics.

    Args:
        session: the watched model.
        layers: keys of what can be frozen: layers with parameters, and blocks of them.
    """
    metrics = session.metrics.names()
    first = next((name for name in metrics if "loss" in name), metrics[0] if metrics else "loss")
    said = [_metric(name) for name in dict.fromkeys((first, *metrics))][:8]
    leaves = [name for name in layers if not any(k.startswith(f"{name}.") for k in layers)]
    leaves = leaves[:MOST_SUGGESTED_LAYERS]
    relus = [info.key for info in session.layer_infos if info.type.endswith("ReLU")]
    texts = [
        *(f"grad_norm({name}) > 100" for name in leaves[:1]),
        f"isnan({said[0]})",
        f"{said[0]} > 2 * previous({first})",
        *(f"{name} > 5" for name in said),
        "grad_norm() > 100",
        *(f"grad_norm({name}) > 100" for name in leaves[1:]),
        *(f"update_ratio({name}) > 0.1" for name in leaves),
        *(f"zero_share({name}) > 0.9" for name in relus[:MOST_SUGGESTED_LAYERS]),
        "finding(dead_relu)",
        "finding(*)",
        "step() >= 500",
    ]
    return [text for text in dict.fromkeys(texts) if _works(text)]


def _metric(name: str) -> str:
    return name if name.isidentifier() else f"metric({name})"


@lru_cache(maxsize=512)  # the same texts each second
def _works(text: str) -> bool:
    try:
        parse_condition(text)
    except ConditionError:
        return False
    return True


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
