"""TrainingControls: hold, step, end and steer a training while its cell runs."""

import json
import threading
from typing import Any

from torch import nn
from traitlets import Dict as DictTrait
from traitlets import Int

from nbtorchviz.analysis.controls_picture import controls_picture, hits_text
from nbtorchviz.arguments import whole
from nbtorchviz.events import RunEnded
from nbtorchviz.live.sender import Payload
from nbtorchviz.session import Session, as_session
from nbtorchviz.widgets.base import BUNDLE, ObserverWidget, refuse_unknown
from nbtorchviz.widgets.controls_requests import REFUSALS, request
from nbtorchviz.widgets.controls_state import (
    LayerKnobs,
    controls_state,
    layer_tree,
    suggestions,
)

MOST_ANSWERS = 16
NOTHING = {"enabled": False, "reason": "nothing is training"}
BEAT_BYTES = 100


class TrainingControls(ObserverWidget):
    """Pause, step, stop, run to a step; breakpoints; learning rate and the other knobs.

    Everything takes effect at the end of a step, on the training thread. Each change is marked
    on the loss curve and listed in ``session.knob_changes``. The methods do what the buttons do,
    also in a script, where nothing is drawn.

    Args:
        model_or_session: a model, or the session that ``watch(model)`` returned.

    Raises:
        TypeError: the first argument is neither, or an unknown keyword.
    """

    _esm = BUNDLE.with_name("controls.js")

    vocabulary = DictTrait(help="Layers to freeze and conditions to suggest.").tag(sync=True)
    beat = Int(0, help="Counts on while training runs, so that views answer.").tag(sync=True)

    def __init__(self, model_or_session: nn.Module | Session, **unknown: Any) -> None:
        compact = bool(unknown.pop("_compact", False))
        refuse_unknown("TrainingControls", unknown, ())
        session = as_session(model_or_session, "TrainingControls")
        self._lock = threading.Lock()
        self._answers: tuple[dict[str, Any], ...] = ()
        super().__init__(session, kind="training-controls", options={"compact": compact})

    # What a user asks for ---------------------------------------------------------------------

    def pause(self) -> None:
        """Hold training at the end of the step under way, as the button does. From any thread.

        A program that asks by name is obeyed in a script too, and has to call ``resume`` itself,
        from another thread than the one that is held. Asked while nothing trains, it holds a plain
        loop at the end of its first step; ``live()`` and background runs begin anew.

        Raises:
            RunRefusedError: a pause could not be ended (one-way host), or would hang other ranks.
            SessionClosedError: the session was closed.
        """
        self._ask("pause")

    def resume(self) -> None:
        """Let training go on, now; does nothing where it is not held.

        Raises:
            SessionClosedError: the session was closed.
        """
        self._ask("resume")

    def step(self, n: int = 1) -> None:
        """Let ``n`` more steps finish, then hold. A step that is under way is the first of them.

        Raises:
            TypeError, ValueError: ``n`` is no whole number from 1 on.
            RunRefusedError, SessionClosedError: as ``pause``.
        """
        self._ask("step", whole("n", n, least=1))

    def run_to(self, step: int) -> None:
        """Let training go on and hold it once, when ``step`` optimizer steps are finished.

        It is a breakpoint that is forgotten after its hit: ``session.breakpoints`` lists it.

        Raises:
            TypeError, ValueError: ``step`` is no whole number, or lies behind.
            RunRefusedError, SessionClosedError: as ``pause``.
        """
        self._ask("run_to", whole("step", step, least=1))

    def stop(self) -> None:
        """End training at the end of the step under way, held or not.

        A background run and a ``session.live()`` block end cleanly. Out of a plain loop
        ``StopTraining`` is raised by ``optimizer.step()``.

        Raises:
            SessionClosedError: the session was closed.
            RunRefusedError: nothing is training.
        """
        self._ask("stop")

    def _ask(self, name: str, value: Any = None) -> None:
        request(self.session, name, value)
        self._state_stream.mark(urgent=True)

    def summary(self) -> str:
        """Return the state, the breakpoints and the knobs as stable text."""
        controls = self._state()["controls"]
        why = f": {controls['why']}" if controls["phase"] == "paused" and controls["why"] else ""
        title = controls["title"].rstrip(".")
        lines = [f"TrainingControls of {self.session.model_name}: {title}{why}"]
        not_held = controls["not_held"]
        if not_held and all(each["state"] != not_held for each in controls["breakpoints"]):
            lines.append(not_held)
        lines += [
            f"breakpoint {each['text']}: {hits_text(each['hits'])}, {each['state']}"
            for each in controls["breakpoints"]
        ]
        values = [*controls["settings"], *controls["dropout"]]
        lines += [
            f"{each['title']}{' of ' + each['where'] if each['where'] else ''}: {each['value']}"
            for each in values
        ]
        if controls["frozen"]:
            lines.append(f"frozen: {', '.join(controls['frozen'])}")
        lines += [f"waiting: {text}" for *_, text in controls["waiting"]]
        lines += [f"after step {each['step']}: {each['text']}" for each in controls["changes"]]
        return "\n  ".join(lines)

    def snapshot(self) -> bytes:
        """Return state, breakpoints and knobs as a PNG, drawn here from the same values."""
        return controls_picture(self._state())

    # Session and streams ----------------------------------------------------------------------

    def _bind(self, session: Session) -> None:
        self._layer_knobs = LayerKnobs(session)
        self._beaten = self._ended_at = -1
        super()._bind(session)
        self._vocabulary_stream = self._stream(
            "vocabulary",
            self._produce_vocabulary,
            self._deliver_vocabulary,
            acked=False,
            max_hz=1,
            kind="state",
        )
        # Acks of this one tell that messages arrive while a step runs; nothing else here has any.
        self._beat_stream = self._stream(
            "beat", self._produce_beat, self._deliver_beat, max_hz=2, kind="state"
        )
        self._bound.callback(session.gate.listen(lambda _: self._state_stream.mark(urgent=True)))
        ended = session.bus.subscribe(RunEnded, self._run_ended, inline=True)
        self._bound.callback(ended.cancel)
        self._vocabulary_stream.mark()

    def _run_ended(self, event: RunEnded) -> None:
        self._ended_at = event.step
        self._state_stream.mark(urgent=True)

    def _dispatch(self, content: dict[str, Any]) -> None:
        if content.get("type") != "intent":
            super()._dispatch(content)
            return
        view, number = str(content.get("view", "")), int(content.get("n") or 0)
        self.session.sender.message_in(view)
        error = self._asked(str(content.get("name")), content.get("value"))
        with self._lock:
            answer = {"view": view, "n": number, "error": error}
            self._answers = (*self._answers[1 - MOST_ANSWERS :], answer)
        self._state_stream.mark(urgent=True)

    def _asked(self, name: str, value: Any) -> str:
        """Do what a view asks; return why not, in words, or nothing."""
        try:
            request(self.session, name, value)
        except REFUSALS as error:
            return str(error)
        except Exception as error:
            self.session.fault(f"request {name!r}", error)
            return f"That failed inside nbtorchviz: {type(error).__name__}: {error}"
        return ""

    def _tick(self) -> None:
        super()._tick()
        if not self.presence.any_open(hearing=self.session.sender.hearing):
            return
        self._vocabulary_stream.mark()
        if self.session.step != self._beaten:
            self._beat_stream.mark()

    def _state(self) -> dict[str, Any]:
        shared = super()._state()
        if not self.session.run_active and self.session.step == self._ended_at:
            # At once, where others wait some seconds to see whether another step comes.
            shared["control"] = dict.fromkeys(("pause", "step", "stop"), NOTHING) | {
                "state": "idle"
            }
        controls = controls_state(
            self.session, shared, layer_knobs=self._layer_knobs(), answers=self._answers
        )
        return {**shared, "controls": controls}

    def _produce_beat(self, limit_bytes: int) -> Payload:
        self._beaten = self.session.step
        seq = self._next_seq()
        return Payload(seq, seq, BEAT_BYTES)

    def _deliver_beat(self, payload: Payload) -> None:
        self.beat = payload.data

    def _produce_vocabulary(self, limit_bytes: int) -> Payload | None:
        layers = layer_tree(self._layer_knobs())
        said = suggestions(self.session, [key for key, *_ in layers])
        vocabulary = {"layers": layers, "suggestions": said}
        if vocabulary == self.vocabulary:
            return None
        return Payload(self._next_seq(), vocabulary, len(json.dumps(vocabulary)))

    def _deliver_vocabulary(self, payload: Payload) -> None:
        self.vocabulary = payload.data
