"""GradientInspector: where gradients vanish or explode, and what is wrong, while a model trains."""

import math
import threading
import time
from typing import Any

from torch import nn
from traitlets import Bytes
from traitlets import Dict as DictTrait

from nbtorchviz.analysis.findings import Finding
from nbtorchviz.analysis.gradient_zones import ZONES
from nbtorchviz.analysis.packets import pack
from nbtorchviz.arguments import flag
from nbtorchviz.events import GradientCaptured, LayerCaptured, ParameterCaptured
from nbtorchviz.live.sender import Payload
from nbtorchviz.session import Session, as_session
from nbtorchviz.session.frame import Frame, frame_of
from nbtorchviz.session.linking import LINKED
from nbtorchviz.widgets.base import BUNDLE, refuse_unknown
from nbtorchviz.widgets.findings_state import findings_state
from nbtorchviz.widgets.gradient_choice import GradientChoice, check_shown
from nbtorchviz.widgets.gradient_history import gradient_history, strips
from nbtorchviz.widgets.gradient_maps import GradientMaps
from nbtorchviz.widgets.gradient_packet import gradient_parts
from nbtorchviz.widgets.gradient_places import check_places
from nbtorchviz.widgets.gradient_snapshot import picture_of
from nbtorchviz.widgets.heard import HearingWidget

KEYWORDS = ("view", "layer", "linked", "private")
SELECTED = ("view", "layer", "step", "shown", "part", "sample", "channel", "normalize")
MOST_FLAGS = 40
LIMIT_BYTES = 200_000
HZ = 4


class GradientInspector(HearingWidget):
    """Shows gradients of every layer: norms by depth and over time, update ratios, values.

    While it is seen, statistics of all layers are taken up to ten times a second, within the
    session's budget; hidden, about once a second.

    Args:
        model_or_session: a model, or the session that ``watch(model)`` returned.
        view: ``"flow"`` (norms by depth), ``"time"`` (norms by step), ``"ratio"`` (update to
            weight), ``"histograms"`` (distribution of the values) or ``"maps"`` (the gradient of
            a layer's output, its weights or their gradient, value by value).
        layer: key of the layer selected first.
        linked: share layer and step with the other widgets of the session.
        private: keep the maps view's pixels out of the notebook that is saved.

    Raises:
        TypeError: the first argument is neither, or an unknown keyword.
        ValueError: no such view.
        LayerNotFoundError: no such layer.
    """

    _esm = BUNDLE.with_name("gradients.js")

    selection = DictTrait(help="What Python selected last, with a revision.").tag(sync=True)
    picture = Bytes(b"", help="All norms that are kept: one packet.").tag(sync=True)
    maps = Bytes(b"", help="The tensor of the maps view: one packet.").tag(sync=True)

    def __init__(
        self,
        model_or_session: nn.Module | Session,
        *,
        view: str = "flow",
        layer: str | None = None,
        linked: bool = True,
        private: bool = False,
        **unknown: Any,
    ) -> None:
        compact = bool(unknown.pop("_compact", False))
        refuse_unknown("GradientInspector", unknown, KEYWORDS)
        session = as_session(model_or_session, "GradientInspector")
        self._choice = GradientChoice().changed(
            _known(session), view=view, layer="" if layer is None else layer
        )
        self._revision, self._heard = 1, dict[str, int]()
        self._thinned = False  # the views have not all kept steps
        self.linked = flag("linked", linked)
        self.private = flag("private", private)
        self._maps = GradientMaps()
        self._lock = threading.RLock()
        super().__init__(
            session,
            kind="gradient-inspector",
            options={"compact": compact, "view": view, "layer": layer or ""},
            selection=self._choice.as_trait(1, {}),
        )

    # What a user asks for ---------------------------------------------------------------------

    @property
    def view(self) -> str:
        """Which view is shown, as in the constructor."""
        return self._choice.view

    @view.setter
    def view(self, view: str) -> None:
        self.select(view=view)

    @property
    def layer(self) -> str:
        """Key of the selected layer; ``""`` while none is."""
        return self._choice.layer

    @layer.setter
    def layer(self, key: str) -> None:
        self.select(layer=key)

    def select(self, **changes: Any) -> None:
        """Select ``view``, ``layer``, ``step`` (None: the newest) and, of maps, what they show.

        Args:
            changes: also ``shown`` (``"@gradient"``: of the layer's output; ``"weight"``;
                ``"weight.grad"``), ``part`` (input channel of kernels; None: their mean),
                ``sample``, ``channel`` (which map is enlarged) and ``normalize``
                (``"channel"`` or ``"layer"``).

        Raises:
            LayerNotFoundError, TypeError, ValueError: as the constructor; or what is shown has no
                such part or map, as far as it is known before it was read.
        """
        refuse_unknown("select", {n: 0 for n in changes if n not in SELECTED}, SELECTED)
        model = self.session.model
        names = None if model is None else [name for name, _ in model.named_parameters()]
        check_shown(changes.get("shown", ""), names)
        after = self._choice.changed(_known(self.session), **changes)
        check_places(self.session, self._maps.target(after), changes)
        self._take(changes)
        self._tell(changes, by_user=False)

    def _take(self, changes: dict[str, Any]) -> None:
        with self._lock:
            before = self._choice
            self._choice = before.changed(_known(self.session), **changes)
            self._revision += 1
        self._show_maps(before)
        self._selection_stream.mark(urgent=True)
        self._gradients_stream.mark()

    def _follow(self, moved: dict[str, Any]) -> None:
        known = _known(self.session)
        self._take({n: v for n, v in moved.items() if n != "layer" or v in known})

    @property
    def frame(self) -> Frame | None:
        """The tensor of the maps view, as numbers; None before there is one, or in other views.

        ``values`` are the gradient of the loss with respect to one sample of the layer's output,
        or to a parameter (accumulated, unscaled, clipped), or the parameter before the step.
        """
        event = self._maps.event if self._choice.view == "maps" else None
        return None if event is None else frame_of(event)

    def norms(self) -> dict[str, float]:
        """Return the L2 norm of each parameter's newest gradient, by the parameter's name.

        Of the loss with respect to the parameter, as the optimizer found it: accumulated,
        unscaled, clipped. NaN where there is none (frozen, unused) or before the first sample.
        """
        newest = self.session.statistics.newest_parameters
        if newest is None:
            return {}
        norms = map(float, newest.gradient_norms)
        return dict(zip(newest.parameters, norms, strict=True))

    def findings(self) -> tuple[Finding, ...]:
        """Return what is wrong with the training, the worst first; see ``Session.findings``."""
        return self.session.findings()

    def summary(self) -> str:
        """Return the norm of the whole gradient and what is wrong, as stable text."""
        title = f"GradientInspector of {self.session.model_name}"
        wrong = [each["title"] for each in findings_state(self.session)["findings"]]
        norms = [norm for norm in self.norms().values() if not math.isnan(norm)]
        newest = self.session.statistics.newest_parameters
        if newest is None:
            step = self.session.step
            text = f"{title}: {f'nothing read by step {step}' if step else 'no step yet'}"
            return "\n  ".join([text, *wrong])
        total = math.sqrt(math.fsum(norm * norm for norm in norms))
        over = f"over {len(norms)} parameters, step {newest.step}"
        text = f"{title}: gradient norm {total:.4g} {over}"
        if not norms:
            text = f"{title}: no gradient norm is a number, step {newest.step}"
        return "\n  ".join([text, *wrong])

    def snapshot(self) -> bytes:
        """Return the chosen view as a PNG, drawn here from the same numbers."""
        return picture_of(self.session, self._choice, self._maps, self._state())

    def _saved_picture(self) -> bytes | None:
        return None if self.private and self._choice.view == "maps" else self.snapshot()

    # Session and streams ----------------------------------------------------------------------

    def _bind(self, session: Session) -> None:
        super()._bind(session)
        self._gradients_stream = self._stream(
            "gradients", self._produce, self._deliver, kind="curve", max_hz=HZ
        )
        self._selection_stream = self._stream(
            "selection",
            self._produce_selection,
            self._deliver_selection,
            acked=False,
            kind="state",
        )
        self._maps_stream = self._stream(
            "maps", self._produce_maps, self._deliver_maps, kind="picture", max_hz=20
        )
        self._maps.bind(session, self.owner, self._wants_maps)
        self._maps.choose(self._choice, urgent=True)
        self._bound.callback(session.recorder.looks.drop, self.owner)
        for kind in (GradientCaptured, ParameterCaptured):
            self._bound.callback(session.bus.subscribe(kind, self._on_tensor, inline=True).cancel)
        self._bound.callback(session.statistics.listen(self._gradients_stream.mark))
        recording = session.recorder.recording
        recording.demand(self.owner, self._is_seen)
        self._bound.callback(recording.release, self.owner)
        self._gradients_stream.mark()

    def _is_seen(self) -> bool:
        return self.presence.any_visible(hearing=self.session.sender.hearing)

    def _wants_maps(self) -> bool:
        """Whether the tensor of the maps view is to be read now."""
        exact = self.session.recorder.every is not None
        return exact or not self.presence.ever or self._is_seen()

    def _ready_for_picture(self) -> bool:
        waits = self._maps.unsent or self._maps_stream.stats["under_way"] >= 2
        return self._choice.view == "maps" and not waits

    def _on_tensor(self, event: LayerCaptured) -> None:
        if self._maps.offer(event, self._choice):
            self._maps_stream.mark()

    def _show_maps(self, before: GradientChoice) -> None:
        """Show what is kept of the tensor chosen now, if it is another."""
        now = self._choice
        if now.tensor != before.tensor:
            moved = now.view != before.view or self._maps.target(now) != self._maps.target(before)
            self._maps.choose(now, urgent=moved)
        elif now.channel == before.channel or not self._maps.paged:
            return
        if now.view == "maps":
            self._maps_stream.mark(urgent=True)

    def _on_intent(self, name: str, value: Any) -> None:
        with self._lock:
            before = self._choice
            self._choice = before.changed(_known(self.session), **{name: value})
        self._show_maps(before)
        if name == "range" and self._thinned:
            self._gradients_stream.mark(urgent=True)
        if name == "layer" and value != before.layer:
            self._gradients_stream.mark(urgent=True)
        if name in LINKED and value != getattr(before, name):
            self._tell({name: value})

    def _produce(self, limit_bytes: int) -> Payload | None:
        log = self.session.statistics
        history = gradient_history(log, self.session.layer_infos)
        if history is None:
            return None
        seq = self._next_seq()
        header, arrays = gradient_parts(
            history,
            strips(log, history, self._choice.layer),
            seq=seq,
            limit_bytes=min(limit_bytes, LIMIT_BYTES),
            phase="train",
            captured_at_s=self._captured_at_s(),
            shown=self._choice.range,
            flags=self._flags(),
            zones=ZONES,
        )
        self._thinned = len(arrays["steps"]) < header["samples"]
        data = pack(header, arrays)
        return Payload(seq, data, len(data))

    def _captured_at_s(self) -> float:
        newest = self.session.statistics.newest_parameters
        age_s = 0.0 if newest is None else self.session.elapsed_s - newest.elapsed_s
        return time.time() - age_s

    def _flags(self) -> list[dict[str, Any]]:
        current = self.session.metrics.newest_run
        flags = [f for f in self.session.metrics.flags if f.run == current and f.kind == "change"]
        return [
            {"step": flag.step, "kind": flag.kind, "text": flag.text}
            for flag in flags[-MOST_FLAGS:]
        ]

    def _deliver(self, payload: Payload) -> None:
        self.picture = payload.data

    def _produce_maps(self, limit_bytes: int) -> Payload | None:
        choice = self._choice
        if choice.view != "maps":
            return None
        seq = self._next_seq()
        data = pack(*self._maps.parts(choice, seq, limit_bytes))
        return Payload(seq, data, len(data))

    def _deliver_maps(self, payload: Payload) -> None:
        self._deliver_pixels("maps", payload.data)

    def _produce_selection(self, limit_bytes: int) -> Payload:
        with self._lock:
            selection = self._choice.as_trait(self._revision, dict(self._heard))
        return Payload(self._next_seq(), selection, 1_000)

    def _deliver_selection(self, payload: Payload) -> None:
        self.selection = payload.data

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "gradients": findings_state(self.session)}


def _known(session: Session) -> tuple[str, ...]:
    parameters = session.statistics.parameters()
    return (*session.layers, *(parameters.rows if parameters is not None else ()))
