"""What a widget says about itself: the chip and, where a picture needs words, the status.

One pure function from facts to sentences, so that every state can be read in a test.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nbtorchviz.events import ForwardFailed

EVALUATING_S = 2.0
"""No training forward for this long, while others come, is called evaluating."""
EVALUATING_FORWARDS = 20
"""Or this many forwards in a row that were not training."""
STALE_S = 10.0
"""Training goes on but no new picture came for this long."""
STRANGER = "The optimizer that watch() was given holds none of this model's parameters"
AGAIN = (
    "Was the model made anew after it? Then make the optimizer anew too, from model.parameters(), "
    "and watch(model, optimizer) again."
)
IDLE_S = 3.0
"""No step for this long and nothing said to be running: training is taken to have ended."""
STEPS_MISSED = 3
"""Or, where steps take long, for as long as so many of them take; ``LONGEST_S`` at most."""
LONGEST_S = 120.0


def idle_after(step_s: float) -> float:
    """Return the age of the last step from which on training is taken to have ended.

    Args:
        step_s: seconds between the last two steps.
    """
    return max(IDLE_S, min(STEPS_MISSED * step_s, LONGEST_S))


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything the sentences depend on; ages in seconds, None = never."""

    model: str
    layers: int = 0
    blocks: int = 0
    step: int = 0
    gone: bool = False
    closed: bool = False
    successor: str | None = None
    """Class name of the model that took the place of this one."""
    failure: ForwardFailed | None = None
    mode: str = "waiting"
    reason: str = ""
    remedy: str = ""
    latency_ms: float | None = None
    cost: float | None = None
    running: bool = False
    """A background run or ``session.live()`` is active."""
    paused: bool = False
    ended: str | None = None
    """How the last run ended, once it did."""
    step_age_s: float | None = None
    idle_after_s: float = IDLE_S
    """A last step of this age is taken for the end of training."""
    frame_age_s: float | None = None
    forward_age_s: float | None = None
    matched_age_s: float | None = None
    """Age of the last forward of the wanted phase."""
    unmatched: int = 0
    """Forwards of another phase in a row."""
    compiled: str | None = None
    strangers: bool = False
    """The optimizers that were named own no parameter of the model."""
    boundary: str = "step"
    """``"forward"`` when steps are not seen and the end of a forward stands in."""
    faults: Sequence[str] = ()
    run_error: str | None = None
    """What ended a background run: type and message."""


def describe(facts: Facts) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return the chip and the status (None when the picture speaks for itself)."""
    status = _status(facts)
    mode = facts.mode
    if status is not None and status["code"] in _CHIP_OF and not _unheard(facts):
        mode = _CHIP_OF[status["code"]]
    elif facts.forward_age_s is None and not _unheard(facts):
        mode = "waiting"
    elif _ended(facts):
        mode = "finished" if facts.ended else "idle"
    chip = {
        "mode": mode,
        "latency_ms": None if facts.latency_ms is None else round(facts.latency_ms),
        "cost": None if facts.cost is None else round(facts.cost, 4),
        "why": _why(facts, mode),
        "remedy": facts.remedy if mode == facts.mode else "",
    }
    return chip, status


_CHIP_OF = {
    "waiting": "waiting",
    "forward_failed": "forward failed",
    "one_way": "one-way",
    "model_gone": "model gone",
    "closed": "closed",
    "evaluating": "evaluating",
    "paused": "paused",
    "stale": "stale",
    "fault": "error",
    "run_failed": "error",
}


def _unheard(facts: Facts) -> bool:
    """Whether steps are seen and forwards are not: nothing can be shown of layers."""
    return facts.forward_age_s is None and facts.step > 0 and facts.compiled is not None


def _ended(facts: Facts) -> bool:
    if facts.running:
        return False
    return facts.step_age_s is not None and facts.step_age_s > facts.idle_after_s


def _why(facts: Facts, mode: str) -> str:
    parts = []
    if mode == facts.mode:
        parts.append(facts.reason)
    elif mode == "idle":
        parts.append("No step for a while; the picture is of the last one.")
    elif mode == "finished":
        parts.append(f"Training has {_ENDINGS.get(facts.ended or '', 'ended')}.")
    if facts.boundary == "forward":
        parts.append(
            "No optimizer step was seen after 3 forwards, so each forward counts as a step."
        )
    if facts.strangers:
        parts.append(f"{STRANGER}. {AGAIN}")
    if facts.compiled:
        parts.append(facts.compiled)
    return " ".join(part for part in parts if part)


_ENDINGS = {
    "finished": "ended",
    "stopped": "been stopped",
    "failed": "ended with an error",
    "interrupted": "been interrupted",
}


def _status(facts: Facts) -> dict[str, Any] | None:
    if facts.gone or facts.successor:
        return _model_gone(facts)
    if facts.closed:
        lines = ["This is its last frame, in grey: nothing here is live.", "To go on:"]
        return _block("closed", "gone", "Session closed.", lines, "session = nbv.watch(model)")
    if facts.failure is not None:
        return _forward_failed(facts.failure)
    if facts.run_error is not None and not facts.running:
        return _block(
            "run_failed",
            "error",
            f"Training ended with {facts.run_error}",
            ["The whole traceback:"],
            "session.run.join()",
        )
    if facts.paused:
        return _block("paused", "info", f"Paused at step {facts.step}.")
    if _unheard(facts):
        title = f"{facts.model} trains, step {facts.step}, but its forwards go unheard."
        return _block("waiting", "info", title, [f"{facts.compiled}."])
    if facts.forward_age_s is None:
        return _block(
            "waiting",
            "info",
            f"Waiting for the {'next' if facts.step else 'first'} step of {facts.model}.",
            [f"{STRANGER}, so its steps do not count.", AGAIN]
            if facts.strangers
            else ["Run your training loop in the next cell; nothing in it has to change."],
        )
    if _ended(facts):
        return _faults(facts)
    if _evaluating(facts):
        return _block(
            "evaluating",
            "info",
            f"Evaluating: no training forward for {_age(facts.matched_age_s)}; "
            f"picture of step {facts.step}.",
        )
    if facts.mode == "one-way":
        title = "One-way: this host reads controls only when the cell ends."
        return _block("one_way", "warn", title, [facts.reason.partition(". ")[2]], facts.remedy)
    if facts.frame_age_s is not None and facts.frame_age_s > STALE_S:
        return _block(
            "stale",
            "warn",
            f"Stale: no new picture for {facts.frame_age_s:.0f} s (budget).",
        )
    return _faults(facts)


def _model_gone(facts: Facts) -> dict[str, Any]:
    lines = [f"This is the last frame of the old {facts.model}, in grey: nothing here is live."]
    if facts.successor is None:
        return _block("model_gone", "gone", "Model gone.", lines)
    block = _block(
        "model_gone", "gone", f"Model gone. A new {facts.successor} has taken its place.", lines
    )
    block["actions"] = [
        {"id": "follow", "label": f"Follow the new {facts.successor}"},
        {"id": "keep", "label": "Keep this picture"},
    ]
    return block


def _forward_failed(failure: ForwardFailed) -> dict[str, Any]:
    lines = [line for line in (failure.detail, failure.remedy) if line]
    block = _block("forward_failed", "error", failure.title or failure.error, lines)
    block["table"] = [list(row) for row in failure.trail]
    return block


def _faults(facts: Facts) -> dict[str, Any] | None:
    if not facts.faults:
        return None
    return _block(
        "fault",
        "error",
        "Something in nbtorchviz failed; your training goes on.",
        [*facts.faults[:1], "All of it: session.faults"],
    )


def _evaluating(facts: Facts) -> bool:
    if facts.unmatched == 0:
        return False
    if facts.unmatched >= EVALUATING_FORWARDS:
        return True
    return facts.matched_age_s is not None and facts.matched_age_s > EVALUATING_S


def _age(seconds: float | None) -> str:
    return "2 s" if seconds is None or seconds < EVALUATING_S else f"{seconds:.0f} s"


def _block(
    code: str, level: str, title: str, lines: Sequence[str] = (), remedy: str | None = None
) -> dict[str, Any]:
    return {
        "code": code,
        "level": level,
        "title": title,
        "lines": list(lines),
        "code_line": remedy,
        "table": None,
        "actions": [],
    }
