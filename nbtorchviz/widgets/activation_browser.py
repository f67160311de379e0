"""ActivationBrowser: move over the layers and channels of a model while it trains."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import nn
from traitlets import Bytes, List
from traitlets import Dict as DictTrait

from nbtorchviz.analysis.activation_picture import activation_picture
from nbtorchviz.analysis.packets import pack
from nbtorchviz.events import (
    ActivationCaptured,
    GradientCaptured,
    InputCaptured,
    LayerCaptured,
    LayerInfo,
    ModelAttached,
)
from nbtorchviz.live.host import kernel_loop_call
from nbtorchviz.live.sender import Payload
from nbtorchviz.session import Session, as_session
from nbtorchviz.session.frame import Frame, frame_of
from nbtorchviz.widgets.base import ObserverWidget, refuse_unknown
from nbtorchviz.widgets.browser_packet import Shot, frame_parts
from nbtorchviz.widgets.browser_state import (
    browser_state,
    check_path,
    known_layers,
    layer_rows,
    missing_sentence,
    size_bytes,
)
from nbtorchviz.widgets.selection import Selection
from nbtorchviz.widgets.thumbnails import Thumbnails

KEYWORDS = (
    "layer", "call", "sample", "channel", "probe", "show", "colormap", "normalize", "layout",
)  # fmt: skip
_INTENTS = {
    "layer", "call", "path", "sample", "channel", "slice", "show", "colormap", "normalize",
    "order", "hold", "step",
}  # fmt: skip
_IN_BROWSER = {"channel", "colormap", "normalize", "order"}  # no new picture is needed
PREVIEW_BYTES = 64_000
"""A kept frame goes out at once, so it is small."""
THUMBS_BYTES = 64_000
VIEWS = 8
"""So many views that moved something last are told which of their moves were heard."""


class ActivationBrowser(ObserverWidget):
    """Shows what any layer puts out, live; or the gradient of the loss with respect to it.

    Args:
        model_or_session: a model, or the session that ``watch(model)`` returned.
        layer: key of the first layer to show; see ``session.layers``. By default the first
            convolution, else the first layer.
        call: which call, for a module that runs more than once in a forward.
        sample: which item of the batch.
        channel: which channel is enlarged.
        probe: an input (or tuple of inputs) to show instead of items of the training batches,
            at once and without training.
        show: ``"activation"`` or ``"gradient"``.
        colormap: ``"viridis"``, ``"cividis"``, ``"magma"``, ``"gray"`` or ``"diverging"``.
        normalize: ``"channel"``, each channel on its own scale, or ``"layer"``, all on one.
        layout: axes of this layer where they are inferred wrongly, such as ``("H", "W", "C")``.

    Raises:
        TypeError: the first argument is neither a model nor a session, or an unknown keyword.
        LayerNotFoundError: no such layer; the message lists the nearest.
        ValueError: a value that is not accepted; the message says what is.
    """

    layers = List(help="Rows of the layer tree; written by the sender.").tag(sync=True)
    selection = DictTrait(help="What Python selected last, with a revision.").tag(sync=True)
    picture = Bytes(b"", help="The frame to paint: one packet.").tag(sync=True)

    def __init__(
        self,
        model_or_session: nn.Module | Session,
        *,
        layer: str | None = None,
        call: int = 0,
        sample: int = 0,
        channel: int | None = None,
        probe: object = None,
        show: str = "activation",
        colormap: str = "viridis",
        normalize: str = "channel",
        layout: Sequence[str] | None = None,
        **unknown: Any,
    ) -> None:
        compact = bool(unknown.pop("_compact", False))
        refuse_unknown("ActivationBrowser", unknown, KEYWORDS)
        session = as_session(model_or_session, "ActivationBrowser")
        first = Selection(layer=_remembered_layer(session))
        named: dict[str, Any] = {} if layer is None else {"layer": layer}
        layers, picked = known_layers(session, named | ({"call": call} if call else {}), first)
        self._pick = first.changed(
            layers,
            **picked,
            sample=sample,
            channel=channel or 0,
            show=show,
            colormap=colormap,
            normalize=normalize,
            pinned=probe is not None,
        )
        if layout is not None:
            session.set_layout({self._pick.layer: layout})
        self._lock = threading.RLock()  # a selection and its picture change together
        self._event: LayerCaptured | None = None
        self._input: InputCaptured | None = None
        self._preview = self._fresh = self._pages = False
        self._revision = 1
        self._heard: dict[str, int] = {}
        self._listed: Sequence[LayerInfo] = ()
        super().__init__(
            session,
            kind="activation-browser",
            options={"compact": compact},
            selection=self._pick.as_trait(1),
            layers=layer_rows(session.layer_infos),
        )
        if probe is not None:
            try:
                self.session.probe(*(probe if isinstance(probe, tuple) else (probe,)))
            except BaseException:
                self.close()
                raise

    # What a user asks for ---------------------------------------------------------------------

    @property
    def frame(self) -> Frame | None:
        """The picture shown, as numbers; None before there is one."""
        return None if self._event is None else frame_of(self._event)

    @property
    def layer(self) -> str:
        """Key of the layer shown. Setting it checks at once; the picture follows."""
        return self._pick.layer

    @layer.setter
    def layer(self, key: str) -> None:
        self.select(layer=key)

    @property
    def channel(self) -> int:
        """The enlarged channel."""
        return self._pick.channel

    @channel.setter
    def channel(self, index: int) -> None:
        self.select(channel=index)

    @property
    def sample(self) -> int:
        """Which item of the batch is shown."""
        return self._pick.sample

    @sample.setter
    def sample(self, index: int) -> None:
        self.select(sample=index)

    def select(self, **changes: Any) -> None:
        """Select ``layer``, ``call``, ``sample``, ``channel``, ``show``, ``colormap`` and so on.

        Raises:
            LayerNotFoundError, ValueError, TypeError: as the constructor.
        """
        self._choose(changes)
        self._revision += 1
        self._selection_stream.mark(urgent=True)

    def summary(self) -> str:
        """Return layer, shape, step and statistics as one stable line."""
        name, pick, frame = self.session.model_name, self._pick, self.frame
        if frame is None:
            return f"ActivationBrowser of {name}: {pick.layer}, no step yet"
        shape = "×".join(map(str, frame.values.shape)) or "scalar"
        numbers = frame.statistics
        text = f"ActivationBrowser of {name}: {frame.layer} {frame.show} {shape}, step {frame.step}"
        if numbers.minimum is not None and numbers.maximum is not None:
            text += f", {numbers.minimum:.4g} to {numbers.maximum:.4g}"
        return text

    def snapshot(self) -> bytes:
        """Return what is shown as a PNG, drawn here from the same numbers."""
        header, arrays = frame_parts(self._shot(), seq=0)
        pick = self._pick
        return activation_picture(
            header,
            arrays,
            self._state(),
            channel=pick.channel,
            colormap=pick.colormap,
            normalize=pick.normalize,
        )

    # Session and streams ----------------------------------------------------------------------

    def _bind(self, session: Session) -> None:
        super()._bind(session)
        if self._pick.layer.partition("#")[0] not in session.layers:
            self._pick = Selection(layer=_remembered_layer(session))
            self._revision += 1
        elif self._pick.hold or self._pick.step is not None:  # of the model shown before
            self._pick = replace(self._pick, hold=False, step=None)
            self._revision += 1
        self._event, self._input, self._fresh = None, None, False
        self._frame_stream = self._stream(
            "frame", self._produce_frame, self._deliver_frame, kind="picture", max_hz=20
        )
        self._selection_stream = self._stream(
            "selection",
            self._produce_selection,
            self._deliver_selection,
            acked=False,
            kind="state",
        )
        self._thumbs = Thumbnails(session)
        self._thumbs_stream = self._stream(
            "thumbs", self._produce_thumbs, self._deliver_thumbs, kind="thumbs", max_hz=1
        )
        for subscription in (
            session.bus.subscribe(ActivationCaptured, self._on_layer, inline=True),
            session.bus.subscribe(GradientCaptured, self._on_layer, inline=True),
            session.bus.subscribe(ModelAttached, self._on_model, inline=True),
        ):
            self._bound.callback(subscription.cancel)
        session.recorder.looks.set(self.owner, self._pick.look, urgent=True)
        self._bound.callback(session.recorder.looks.drop, self.owner)
        self._show_kept()

    def _on_layer(self, event: LayerCaptured) -> None:
        """Take a new picture if it is of what is selected; on the training thread, so: briefly."""
        with self._lock:
            wanted = not self._pick.hold and self._pick.step is None and self._is_selected(event)
            if wanted:
                self._take(event)
                self._preview, self._fresh = False, True
        if wanted:
            self._frame_stream.mark()
        elif not event.watched:
            self._thumbs_stream.mark()

    def _take(self, event: LayerCaptured | None) -> None:
        """Show ``event`` beside the input that made it, or beside none."""
        recorder = self.session.recorder
        self._event, self._input = event, None
        pinned = event is not None and event.source not in ("batch", "twin")
        seen = recorder.input.get("pinned" if pinned else "batch")
        if event is None or seen is None or seen.sample != event.sample:
            return
        if seen.forward == event.forward and seen.step == event.step:
            self._input = seen
        elif pinned:  # the same input, seen by later weights
            self._input = replace(seen, prediction=None, probability=None)

    def _on_model(self, event: ModelAttached) -> None:
        self._selection_stream.mark()

    def _is_selected(self, event: LayerCaptured) -> bool:
        pick = self._pick
        of_pin = event.source not in ("batch", "twin")
        kept = self.session.recorder.kept["pinned" if of_pin else "batch"]
        return (
            event.layer == pick.layer
            and event.path == kept.path_of(pick.layer, pick.path)
            and event.sample == max(0, min(pick.sample, event.batch_size - 1))
            and isinstance(event, GradientCaptured) == (pick.show == "gradient")
            and of_pin == self._shows_pin
        )

    @property
    def _shows_pin(self) -> bool:
        return self._pick.pinned and self.session.recorder.pinned

    def _ready_for_picture(self) -> bool:
        return not self._fresh and self._frame_stream.stats["under_way"] < 2

    # What a user moves ------------------------------------------------------------------------

    def _dispatch(self, content: dict[str, Any]) -> None:
        """Take a message; what one view moved, the others follow."""
        try:
            super()._dispatch(content)
        finally:
            if content.get("type") == "intent":
                self._follow_view(str(content.get("view", "")), int(content.get("n") or 0))

    def _follow_view(self, view: str, moves: int) -> None:
        """Tell all views the selection, and each which of its own moves are in it.

        A view that has moved on since then leaves it aside: its newer move is on the way.
        """
        with self._lock:
            self._heard.pop(view, None)
            self._heard[view] = moves
            while len(self._heard) > VIEWS:  # each reload of the page makes a new name
                del self._heard[next(iter(self._heard))]
            self._revision += 1
        self._selection_stream.mark()

    def _on_intent(self, name: str, value: Any) -> None:
        if name == "pin":
            self._pin(bool(value))
        elif name in _INTENTS:
            self._choose({name: value})

    def _choose(self, changes: dict[str, Any]) -> None:
        """Check and take a selection, show what is kept of it at once, and ask for a fresh one."""
        with self._lock:
            before = self._pick
            layers, changes = known_layers(self.session, changes, before)
            pick = before.changed(layers, **changes)
            if "path" in changes:
                check_path(self.session, pick)
            self._pick = pick
            if "layer" in changes:
                self.session.last_layer = pick.layer
            paged = self._event is not None and self._pages
            if changes.keys() <= _IN_BROWSER and not (paged and "channel" in changes):
                return
            moved = pick.look != before.look
            self.session.recorder.looks.set(self.owner, pick.look, urgent=moved and not pick.hold)
            if moved or pick.step != before.step or (before.hold and not pick.hold):
                self._show_kept()
        if self._shows_pin and moved:
            self.session.recorder.want_probe()
            kernel_loop_call(self.session.probe_when_idle)
        self._frame_stream.mark(urgent=True)

    def _show_kept(self) -> None:
        """Show the kept frame of the selection, or none, until a fresh one comes."""
        pick = self._pick
        kept = self.session.recorder.kept["pinned" if self._shows_pin else "batch"]
        gradient = pick.show == "gradient"
        if pick.step is None:
            self._take(kept.newest(pick.layer, path=pick.path, gradient=gradient))
        else:
            self._take(kept.at(pick.step, pick.layer, path=pick.path, gradient=gradient))
        self._preview = self._event is not None

    def _pin(self, pinned: bool) -> None:
        if pinned and not self.session.recorder.pinned and not self.session.pin_last_batch():
            return  # the view says that there is nothing to pin yet
        if not pinned:
            self.session.recorder.unpin()
        with self._lock:
            self._pick = replace(self._pick, pinned=pinned, step=None)
            self.session.recorder.looks.set(self.owner, self._pick.look, urgent=True)
            self._show_kept()
        kernel_loop_call(self.session.probe_when_idle)
        self._frame_stream.mark(urgent=True)

    # What the sender asks for -----------------------------------------------------------------

    def _shot(self) -> Shot:
        session, recorder = self.session, self.session.recorder
        with self._lock:
            pick, event, seen, preview = self._pick, self._event, self._input, self._preview
        info = next((i for i in session.layer_infos if i.key == pick.layer), None)
        return Shot(
            event=event,
            info=info,
            selection=pick,
            input=seen,
            image_hw=_image_hw(recorder.input.get("batch") or recorder.input.get("pinned")),
            dead=recorder.silence.dead(pick.layer),
            receptive=recorder.fields.of(pick.layer, session.model, session.layer_infos),
            class_names=session.class_names,
            preview=preview,
            live=pick.step is None,
            message=None if event is not None else missing_sentence(session, pick, info),
        )

    def _produce_frame(self, limit_bytes: int) -> Payload | None:
        self._fresh = False  # before reading: what comes now is sent next
        if self._preview:
            limit_bytes = min(limit_bytes, PREVIEW_BYTES)
        seq = self._next_seq()
        header, arrays = frame_parts(self._shot(), seq, limit_bytes)
        self._pages = header.get("total", 0) > len(arrays.get("planes", ()))
        data = pack(header, arrays)
        return Payload(seq, data, len(data))

    def _deliver_frame(self, payload: Payload) -> None:
        self.picture = payload.data

    def _produce_selection(self, limit_bytes: int) -> Payload:
        infos, size = self.session.layer_infos, 1000
        rows = self.layers
        if infos is not self._listed:
            self._listed, rows = infos, layer_rows(infos)
            size += size_bytes(rows)
        with self._lock:
            selection = self._pick.as_trait(self._revision) | {"heard": dict(self._heard)}
        return Payload(self._next_seq(), (rows, selection), size)

    def _deliver_selection(self, payload: Payload) -> None:
        rows, selection = payload.data
        with self.hold_sync():
            self.layers = rows
            self.selection = selection

    def _produce_thumbs(self, limit_bytes: int) -> Payload | None:
        seq = self._next_seq()
        packet = self._thumbs.packet(seq, min(limit_bytes, THUMBS_BYTES))
        return None if packet is None else Payload(seq, packet, len(packet))

    def _deliver_thumbs(self, payload: Payload) -> None:
        self.send({"type": "thumbs"}, buffers=[payload.data])

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "browser": browser_state(self.session, self._pick, self._event)}


def _image_hw(item: InputCaptured | None) -> tuple[int, int] | None:
    """Height and width, where inputs are images."""
    if item is None or item.values is None or not {"H", "W"} <= set(item.axes):
        return None
    height, width = (item.values.shape[item.axes.index(axis)] for axis in "HW")
    return height, width


def _remembered_layer(session: Session) -> str:
    """The layer that was last chosen of this model, so that a re-run cell shows it again."""
    last = session.last_layer
    return last if last in session.layers else _first_layer(session.layer_infos)


def _first_layer(infos: Sequence[LayerInfo]) -> str:
    """The first convolution, else the first layer that holds no others, else the input."""
    for wanted in (lambda i: i.type.startswith("Conv"), lambda i: not i.block and i.depth >= 0):
        found = next((i.key for i in infos if i.type != "input" and wanted(i)), None)
        if found is not None:
            return found
    return infos[0].key
