"""What a user asks of a running training, checked and handed on: notes only, no model work."""

import math
from collections.abc import Callable
from typing import Any

from nbtorchviz.arguments import whole
from nbtorchviz.errors import NbTorchVizError, RunRefusedError
from nbtorchviz.session import Session
from nbtorchviz.widgets.facts import session_state

REFUSALS = (NbTorchVizError, TypeError, ValueError)
"""Errors whose message is meant for whoever asked."""
EXAMPLES = {
    "lr": "0.001",
    "weight_decay": "0.01",
    "momentum": "0.9",
    "betas": "0.9, 0.999",
    "dropout": "0.5",
}
NAMES = {
    "lr": "The learning rate",
    "weight_decay": "The weight decay",
    "momentum": "The momentum",
    "betas": "Betas",
    "dropout": "Dropout p",
}
MOST_CHARS = 400


def request(session: Session, name: str, value: Any) -> None:
    """Do what a view asks.

    Args:
        session: the watched model.
        name: ``"pause"``, ``"resume"``, ``"stop"``, ``"step"`` (value n), ``"run_to"`` (a step),
            ``"break"`` (a condition), ``"unbreak"`` (an id), ``"knob"`` (knob, group or layer,
            text), ``"freeze"`` (layer, frozen) or ``"cancel"``.
        value: see there.

    Raises:
        SessionClosedError: the session was closed.
        RunRefusedError, ConditionError, LayerNotFoundError, ModelGoneError: as the session's own
            methods, which see.
        TypeError, ValueError: the value is not accepted; the message says what is.
    """
    if name not in _ASKED:
        raise ValueError(f"There is no request {name!r}.")
    session._must_be_open()
    _ASKED[name](session, value)


def _step(session: Session, value: Any) -> None:
    session.gate.step(_whole("The number of steps", value, least=1))


def _stop(session: Session, _: Any) -> None:
    control = session_state(session)["control"]["stop"]
    reason = str(control["reason"])
    if reason and session.gate.state != "paused" and not session.run_active:
        # Asked for now it would end the next training at its first step.
        raise RunRefusedError(f"{reason[:1].upper()}{reason[1:]}, so there is nothing to stop.")
    session.gate.stop()


def _run_to(session: Session, value: Any) -> None:
    step, now = _whole("The step to run to", value, least=1), session.step
    if step <= now:
        raise ValueError(f"Step {step} is behind: {now} steps are finished.")
    if reason := session.gate.refusal("pause"):
        raise RunRefusedError(reason)
    # Somebody asked for this step by name, and will ask for what comes after it.
    session.pause_when(f"step() >= {step}", once=True, unattended=True)
    session.gate.resume()


def _break(session: Session, value: Any) -> None:
    condition = str(value).strip()
    if not condition:
        raise ValueError("Type a condition first, such as loss > 5.")
    if len(condition) > MOST_CHARS:
        raise ValueError(f"A condition has at most {MOST_CHARS} characters.")
    if any(each.text == condition for each in session.breakpoints):
        raise ValueError("This breakpoint is in the list already.")
    session.pause_when(condition)


def _knob(session: Session, value: Any) -> None:
    knob, text = str(value["knob"]), str(value["value"])
    if knob == "dropout":
        session.knobs.dropout(_number(knob, text), layer=str(value.get("target", "")))
        return
    settings: dict[str, Any] = {
        knob: _pair(text) if knob == "betas" else _number(knob, text),
    }
    session.knobs.set(**settings, group=value.get("target", "all"))


def _freeze(session: Session, value: Any) -> None:
    layer = str(value.get("layer", ""))
    if value.get("frozen"):
        if not layer:
            raise ValueError("Choose a layer first.")
        session.knobs.freeze(layer)
    else:
        session.knobs.unfreeze(layer)


_ASKED: dict[str, Callable[[Session, Any], object]] = {
    "pause": lambda session, _: session.gate.pause(),
    "resume": lambda session, _: session.gate.resume(),
    "stop": _stop,
    "step": _step,
    "run_to": _run_to,
    "break": _break,
    "unbreak": lambda session, value: session.diagnosis.breakpoints.remove(int(value)),
    "knob": _knob,
    "freeze": _freeze,
    "cancel": lambda session, _: session.knobs.cancel(),
}


def _number(knob: str, text: str) -> float:
    try:
        number = float(text.strip().replace("−", "-"))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        got = f"got {text.strip()!r}" if text.strip() else "got nothing"
        raise ValueError(f"{NAMES[knob]} is a number such as {EXAMPLES[knob]}; {got}.")
    return number


def _pair(text: str) -> tuple[float, float]:
    parts = text.strip().strip("()[]").replace(";", ",").split(",")
    if len(parts) != 2:
        raise ValueError(f"Betas are two numbers such as {EXAMPLES['betas']}; got {text!r}.")
    return _number("betas", parts[0]), _number("betas", parts[1])


def _whole(name: str, value: Any, *, least: int) -> int:
    try:
        return whole(name, value, least=least)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is a whole number from {least} on.") from None
