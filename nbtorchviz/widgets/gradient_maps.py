"""What the maps view of a GradientInspector shows: one tensor, the newest or a kept one."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from nbtorchviz.analysis.weight_maps import describe_weight, inputs_of
from nbtorchviz.capture.plans import WeightWant
from nbtorchviz.capture.weights import part_name
from nbtorchviz.events import (
    GradientCaptured,
    InputCaptured,
    LayerCaptured,
    LayerInfo,
    ParameterCaptured,
    ParameterGradientCaptured,
)
from nbtorchviz.session import Session
from nbtorchviz.session.frame import statistics_of
from nbtorchviz.session.kept_frames import picture_notes
from nbtorchviz.session.looks import Look
from nbtorchviz.widgets.browser_packet import Shot, frame_parts, statistics_json
from nbtorchviz.widgets.gradient_choice import GRADIENT, OUTPUT, GradientChoice
from nbtorchviz.widgets.selection import Selection

MOST_TIED = 3
"""Other names of a parameter that are written beside its own."""
Parts = tuple[dict[str, Any], dict[str, NDArray[Any]]]
_OVERHEAD_BYTES = 24_000
_WORDS = {
    "frozen": "{name} is frozen: it has no gradient.",
    "unused": "{name} got no gradient in step {step}: the loss does not depend on it.",
    "no optimizer": "{name} is in no optimizer: no step finds its gradient.",
    "not stepped": "{name} was not stepped in step {step}: its optimizer waits.",
}


class GradientMaps:
    """The tensor that is chosen, what is kept of it, and what the session must read for it.

    Any thread may call its methods.
    """

    def __init__(self) -> None:
        self.event: LayerCaptured | None = None
        """What is shown; None before there is anything."""
        self.unsent = False
        """Whether something fresh has come that was not sent yet."""
        self.paged = False
        """Whether the views have only some of the maps."""
        self._input: InputCaptured | None = None
        self._lock = threading.RLock()

    def bind(self, session: Session, owner: int, seen: Callable[[], bool]) -> None:
        """Show tensors of ``session``; it reads them while ``seen()`` and the view is chosen."""
        self._session, self._owner, self._seen = session, owner, seen
        self.event, self._input, self.unsent = None, None, False

    def target(self, choice: GradientChoice) -> Look | WeightWant:
        """Return what the session reads for a choice."""
        choice = self._complete(choice)
        name = _parameter(choice, self._session)
        if name:
            return WeightWant(name, part=choice.part)
        return Look(choice.layer, sample=choice.sample, gradient=True)

    def choose(self, choice: GradientChoice, *, urgent: bool) -> None:
        """Show what is kept of the choice, and have it read from now on if its view is chosen."""
        looks = self._session.recorder.looks
        if choice.view != "maps":
            looks.drop(self._owner)
            return
        target = self.target(choice)
        looks.set(self._owner, target, urgent=urgent, wanted=self._seen)
        with self._lock:
            kept, shown = self._kept(choice, target), self.event
            same = kept is not None and shown is not None and kept.step == shown.step
            if not (same and shown is not None and self._is_chosen(shown, choice, target)):
                self._show(kept)  # else the very values are here, not in half precision

    def offer(self, event: LayerCaptured, choice: GradientChoice) -> bool:
        """Show a new tensor if it is the chosen one; on the training thread, so: briefly."""
        if choice.view != "maps" or choice.step is not None:
            return False
        if not self._is_chosen(event, choice, self.target(choice)):
            return False
        with self._lock:
            self._show(event)
            self.unsent = True
        return True

    def _is_chosen(
        self, event: LayerCaptured, choice: GradientChoice, target: Look | WeightWant
    ) -> bool:
        if isinstance(target, Look):
            sample = max(0, min(target.sample, event.batch_size - 1))
            of_batch = event.source in ("batch", "twin") and event.sample == sample
            return isinstance(event, GradientCaptured) and event.layer == target.layer and of_batch
        named = isinstance(event, ParameterCaptured) and event.layer == target.name
        gradient = isinstance(event, ParameterGradientCaptured) == _is_gradient(choice)
        return named and gradient and event.path in ("", part_name(target.part))

    def _show(self, event: LayerCaptured | None) -> None:
        """Show a tensor beside the input that made it, or beside none."""
        self.event, self._input = event, None
        seen = self._session.recorder.input.get("batch")
        if isinstance(event, GradientCaptured) and seen is not None:
            same = (seen.forward, seen.step, seen.sample)
            if same == (event.forward, event.step, event.sample):
                self._input = seen

    def parts(self, choice: GradientChoice, seq: int, limit_bytes: int) -> Parts:
        """Return header and arrays of the packet that views paint, as of an ActivationBrowser.

        The header also holds ``of`` (what is shown), ``state``, ``noun``, ``kept_steps`` and,
        for kernels, ``inputs`` (how many input channels) and ``part`` (the chosen; None: mean).
        """
        self.unsent = False  # before reading: what comes now is sent next
        choice = self._complete(choice)
        with self._lock:
            event, seen = self.event, self._input
        target = self.target(choice)
        if isinstance(target, Look):
            header, arrays = self._of_output(choice, target, event, seen, seq, limit_bytes)
        else:
            header, arrays = self._of_parameter(choice, target, event, seq, limit_bytes)
        self.paged = header.get("total", 0) > len(arrays.get("planes", ()))
        shown = _shown(choice, self._session)
        header |= {"of": shown, "asked": choice.layer, "kept_steps": self._steps(target, choice)}
        return header, arrays

    def _of_output(
        self,
        choice: GradientChoice,
        look: Look,
        event: LayerCaptured | None,
        seen: InputCaptured | None,
        seq: int,
        limit: int,
    ) -> Parts:
        session, info = self._session, self._info(look.layer)
        selection = Selection(
            layer=look.layer, sample=look.sample, channel=choice.channel, show="gradient"
        )
        header, arrays = frame_parts(
            Shot(
                event=event,
                info=info,
                selection=selection,
                input=seen,
                receptive=session.recorder.fields.of(
                    look.layer, session.model, session.layer_infos
                ),
                class_names=session.class_names,
                live=choice.step is None,
                message=None if event is not None else self._missing(look.layer, info),
            ),
            seq,
            limit,
        )
        return header | {"state": "", "noun": "channel"}, arrays

    def _of_parameter(
        self,
        choice: GradientChoice,
        want: WeightWant,
        event: LayerCaptured | None,
        seq: int,
        limit_bytes: int,
    ) -> Parts:
        owner = want.name.rpartition(".")[0]
        info = self._info(owner)
        header: dict[str, Any] = {
            "seq": seq,
            "layer": want.name,
            "tied": self._tied(want.name),
            "show": "weight gradient" if _is_gradient(choice) else "weight",
            "type": info.type if info else "",
            "detail": info.detail if info else "",
            "noun": "output",
            "live": choice.step is None,
            "preview": False,
            "held": choice.step is not None,
            "input": None,
            "dead": {},
            "quiet": [],
        }
        if not isinstance(event, ParameterCaptured):
            header |= {"view": "none", "step": 0, "state": self._word(want.name)}
            header["message"] = self._unread(want.name)
            return header, {}
        header |= {"step": event.step, "forward": event.forward, "phase": event.phase}
        header |= {"captured_at_s": event.captured_at_s, "state": event.state}
        if not event.values.size:
            said = _WORDS.get(
                event.state, "; ".join(picture_notes(event)) or "{name} holds no values."
            )
            header |= {"view": "none", "message": said.format(name=want.name, step=event.step)}
            return header, {}
        display = describe_weight(
            event.values,
            event.axes,
            part=want.part,
            channel=choice.channel,
            module_type=header["type"],
            limit=(limit_bytes - _OVERHEAD_BYTES) // (5 if event.values.ndim == 1 else 1),
        )
        header |= {
            "message": None,
            "shape": list(event.shape),
            "axes": list(event.axes),
            "dtype": event.dtype,
            "pooled": event.pooled * display.pooled,
            "stats": statistics_json(statistics_of(event)),
            "notes": [*self._notes(event), *display.notes],
            "inputs": inputs_of(event.values, event.axes) or _inputs(event),
            "part": want.part,
            **display.header(),
        }
        return header, display.arrays()

    def _tied(self, name: str) -> list[str]:
        """Other names of a parameter, the first few."""
        model = self._session.model
        if model is None:
            return []
        named = dict(model.named_parameters(remove_duplicate=False))
        others = [other for other, it in named.items() if it is named.get(name) and other != name]
        more = len(others) - MOST_TIED
        return others if more <= 0 else [*others[:MOST_TIED], f"{more} more"]

    def _notes(self, event: ParameterCaptured) -> list[str]:
        notes = picture_notes(event)
        if event.pooled > 1:
            notes.append(f"each value is the mean of {event.pooled}×{event.pooled}")
        if event.path:
            notes.append(f"{event.path} of {_inputs(event)} input channels was read")
        newest = self._session.statistics.newest_parameters
        if newest is not None and newest.skipped and newest.step >= event.step:
            notes.append("the newest step was skipped (inf)")
        if event.state in ("no optimizer", "not stepped"):
            notes.append(event.state)
        return notes

    # What is missing, in words

    def _unread(self, name: str) -> str | None:
        word = self._word(name)
        if word == "skipped (inf)":
            return f"The last step was skipped (inf): no optimizer has found {name} yet."
        if not self._session.recorder.times.get("step"):
            return None
        return f"{name} was not read yet; it is read at the next step."

    def _missing(self, layer: str, info: LayerInfo | None) -> str | None:
        if not self._session.recorder.times.get("forward"):
            return None
        if info is not None and info.called is False:
            return f"{layer} was not called in the last forward."
        caught = self._session.recorder.kept["batch"].newest(layer)
        if caught is not None and any("no gradient" in note for note in caught.notes):
            why = "nothing before it is trained"
            return f"No gradient reached {layer} in step {caught.step}: {why}."
        return f"The gradient of {layer} was not captured yet; it is read at the next step."

    def _word(self, name: str) -> str:
        newest = self._session.statistics.newest_parameters
        if newest is None or name not in newest.parameters or not newest.states:
            return ""
        return newest.states[newest.parameters.index(name)]

    # What is kept

    def _place(self, target: Look | WeightWant, choice: GradientChoice) -> dict[str, Any]:
        if isinstance(target, Look):
            return {"layer": target.layer, "path": target.path, "gradient": True}
        kept, gradient = self._session.recorder.kept["weights"], _is_gradient(choice)
        whole: dict[str, Any] = {"layer": target.name, "path": "", "gradient": gradient}
        return whole if kept.steps(**whole) else whole | {"path": part_name(target.part)}

    def _steps(self, target: Look | WeightWant, choice: GradientChoice) -> list[int]:
        kept = self._session.recorder.kept["batch" if isinstance(target, Look) else "weights"]
        return sorted(set(kept.steps(**self._place(target, choice))))

    def _kept(self, choice: GradientChoice, target: Look | WeightWant) -> LayerCaptured | None:
        kept = self._session.recorder.kept["batch" if isinstance(target, Look) else "weights"]
        place = self._place(target, choice)
        return kept.newest(**place) if choice.step is None else kept.at(choice.step, **place)

    def _info(self, key: str) -> LayerInfo | None:
        return next((info for info in self._session.layer_infos if info.key == key), None)

    def _complete(self, choice: GradientChoice) -> GradientChoice:
        """Put the first layer with parameters where none is chosen, as the views do."""
        if choice.layer:
            return choice
        owners = {name.rpartition(".")[0] for name in _names(self._session)}
        infos = [info for info in self._session.layer_infos if info.key != "input"]
        own = [info.key for info in infos if not info.block and info.key in owners]
        first = [*own, *(info.key for info in infos), "input"]
        return replace(choice, layer=first[0])


def _inputs(event: ParameterCaptured) -> int:
    return event.shape[1] if event.path and len(event.shape) > 1 else 0


def _is_gradient(choice: GradientChoice) -> bool:
    return not choice.shown or choice.shown.endswith(GRADIENT)


def _parameter(choice: GradientChoice, session: Session) -> str:
    """Full name of the parameter that is shown; ``""``: it is the layer's output."""
    if choice.layer and choice.layer not in session.layers:
        return choice.layer  # a parameter of no listed layer
    own = choice.shown.removesuffix(GRADIENT)
    if not own or own == OUTPUT:
        return ""
    name = f"{choice.layer.partition('#')[0]}.{own}"
    known = session.statistics.parameters()
    names = known.rows if known is not None else _names(session)
    return name if name in names else _first_name(name, session)


def _first_name(name: str, session: Session) -> str:
    """Return the name under which a tied parameter is known; ``""``: there is no such one."""
    model = session.model
    named = {} if model is None else dict(model.named_parameters(remove_duplicate=False))
    return next((first for first, it in named.items() if it is named.get(name)), "")


def _names(session: Session) -> tuple[str, ...]:
    model = session.model
    return () if model is None else tuple(name for name, _ in model.named_parameters())


def _shown(choice: GradientChoice, session: Session) -> str:
    name = _parameter(choice, session)
    if not name:
        return OUTPUT
    own = name.rpartition(".")[2] if name != choice.layer else name
    return own + GRADIENT if _is_gradient(choice) else own
