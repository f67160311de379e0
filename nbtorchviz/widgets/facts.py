"""Gather a session's facts, and hand them to a view as its ``state``."""

import time
from typing import Any

from nbtorchviz.session import Session
from nbtorchviz.session.status import Facts, describe, idle_after

LOG_CHARS = 2000
"""Of what a background run printed, so much is shown."""


def facts_of(session: Session, successor: str | None = None) -> Facts:
    """Return what the status of ``session`` depends on, now.

    Args:
        session: the watched model.
        successor: class name of the model that took its place in the notebook.
    """
    recorder, sender = session.recorder, session.sender
    mode = session.line.mode()
    return Facts(
        model=session.model_name,
        step=session.step,
        gone=session.tap.gone,
        closed=session.closed,
        successor=successor,
        failure=recorder.failure,
        mode=mode.mode,
        reason=mode.reason,
        remedy=mode.remedy,
        latency_ms=None if sender.latency_s is None else 1000 * sender.latency_s,
        cost=session.budget.measured() if recorder.times else None,
        running=session.run_active,
        paused=session.gate.state in ("pausing", "paused"),
        ended=session.ended,
        step_age_s=recorder.age_s("step"),
        idle_after_s=idle_after(recorder.step_s),
        frame_age_s=recorder.age_s("frame"),
        forward_age_s=recorder.age_s("forward"),
        matched_age_s=recorder.age_s("matched"),
        unmatched=recorder.unmatched,
        compiled=session.tap.compiled_how,
        strangers=session.tap.strangers,
        boundary=recorder.boundary_kind,
        faults=tuple(session.faults),
        run_error=_run_error(session),
    )


def session_state(session: Session, successor: str | None = None) -> dict[str, Any]:
    """Return the ``state`` trait that all views share: JSON values only."""
    facts = facts_of(session, successor)
    chip, status = describe(facts)
    return {
        "model": session.model_name,
        "parameters": session.tap.parameters,
        "run": session.metrics.newest_run,
        "step": session.step,
        "phase": "eval" if facts.unmatched else "train",
        "epoch": session.epoch,
        "elapsed_s": session.elapsed_s - (facts.forward_age_s or 0.0),
        "chip": chip,
        "status": status,
        "now_s": time.time(),
        "control": _control(facts),
        "log": "" if session.run is None else session.run.log.text[-LOG_CHARS:],
    }


def _run_error(session: Session) -> str | None:
    error = None if session.run is None else session.run.exception
    return None if error is None else f"{type(error).__name__}: {error}"[:300]


def _control(facts: Facts) -> dict[str, Any]:
    """Say which of Pause, Step and Stop can be pressed, and why not."""
    reason = ""
    if facts.gone or facts.closed:
        reason = "the session is closed" if facts.closed else "the model is gone"
    elif facts.mode == "one-way":
        reason = "this host reads controls only when the cell ends"
    elif facts.step_age_s is None or (not facts.running and facts.step_age_s > facts.idle_after_s):
        reason = "nothing is training"
    usable = {"enabled": not reason or facts.paused, "reason": reason}
    step = usable if facts.paused else {"enabled": False, "reason": reason or "pause first"}
    state = "paused" if facts.paused else "idle" if reason else "running"
    return {"pause": usable, "step": step, "stop": usable, "state": state}
