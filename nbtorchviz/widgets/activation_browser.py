"""ActivationBrowser: move over the layers and channels of a model while it trains."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from nbtorchviz.analysis.activation_picture import activation_picture
from nbtorchviz.arguments import flag
from nbtorchviz.events import ActivationCaptured, GradientCaptured, LayerCaptured, ModelAttached
from nbtorchviz.session import Session, as_session
from nbtorchviz.session.frame import Frame, frame_of
from nbtorchviz.session.linking import LINKED, layer_of
from nbtorchviz.session.overview import Overview, overview_of
from nbtorchviz.session.pinned import run_probe
from nbtorchviz.widgets.base import refuse_unknown
from nbtorchviz.widgets.browser_choice import Choice
from nbtorchviz.widgets.browser_moves import Moves
from nbtorchviz.widgets.browser_packet import frame_parts
from nbtorchviz.widgets.browser_start import first_selection
from nbtorchviz.widgets.browser_state import browser_state, frame_words, layer_rows
from nbtorchviz.widgets.browser_streams import BrowserStreams
from nbtorchviz.widgets.nonfinite_part import NonFinitePart
from nbtorchviz.widgets.static_picture import stacked

KEYWORDS = (
    "layer", "call", "sample", "channel", "probe", "show", "colormap", "normalize", "layout",
    "linked", "private",
)  # fmt: skip
SELECTED = (
    "layer", "call", "path", "sample", "channel", "slice", "show", "colormap", "normalize",
    "order", "hold", "step", "overview",
)  # fmt: skip


class ActivationBrowser(BrowserStreams):
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
        layout: axes of this layer where they are inferred wrongly, such as ``("H", "W", "C")``;
            or of several, by layer, as ``watch()`` takes them.
        linked: share layer, step and sample with the other widgets of the session.
        private: keep pixels, of the input and of maps, out of the notebook that is saved.

    Raises:
        TypeError: the first argument is neither a model nor a session, a keyword is unknown, or
            its value has the wrong type.
        LayerNotFoundError: no such layer; the message lists the nearest.
        ValueError: a value that is not accepted; the message says what is.
    """

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
        layout: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        linked: bool = True,
        private: bool = False,
        **unknown: Any,
    ) -> None:
        compact = bool(unknown.pop("_compact", False))
        refuse_unknown("ActivationBrowser", unknown, KEYWORDS)
        session = as_session(model_or_session, "ActivationBrowser")
        pick = first_selection(
            session,
            layer=layer,
            call=call,
            channel=channel,
            sample=sample,
            show=show,
            colormap=colormap,
            normalize=normalize,
            pinned=probe is not None or session.starts_pinned,
        )
        if layout is not None:
            session.set_layout(layout if isinstance(layout, Mapping) else {pick.layer: layout})
        self.linked = flag("linked", linked)
        self.private = flag("private", private)
        self._choice, self._moves = Choice(pick, named=layer is not None), Moves()
        super().__init__(
            session,
            kind="activation-browser",
            options={"compact": compact},
            selection=pick.as_trait(1),
            layers=layer_rows(session.layer_infos),
        )
        if probe is not None:
            try:
                run_probe(self.session, probe)
            except BaseException:
                self.close()
                raise

    # What a user asks for ---------------------------------------------------------------------

    @property
    def frame(self) -> Frame | None:
        """The picture shown, as numbers; None before there is one."""
        event = self._choice.event
        return None if event is None else frame_of(event)

    @property
    def layer(self) -> str:
        """Key of the layer shown. Setting it checks at once; the picture follows."""
        return self._choice.pick.layer

    @layer.setter
    def layer(self, key: str) -> None:
        self.select(layer=key)

    @property
    def channel(self) -> int:
        """The enlarged channel; the last there is where fewer are shown than were asked for."""
        return self._choice.channel

    @channel.setter
    def channel(self, index: int) -> None:
        self.select(channel=index)

    @property
    def sample(self) -> int:
        """Which item of the batch is shown; the last of a batch that has fewer."""
        return self._choice.sample

    @sample.setter
    def sample(self, index: int) -> None:
        self.select(sample=index)

    @property
    def show(self) -> str:
        """``"activation"`` or ``"gradient"``."""
        return self._choice.pick.show

    @show.setter
    def show(self, what: str) -> None:
        self.select(show=what)

    @property
    def colormap(self) -> str:
        """Name of the colours; ``"diverging"`` has its middle at zero."""
        return self._choice.pick.colormap

    @colormap.setter
    def colormap(self, name: str) -> None:
        self.select(colormap=name)

    def select(self, **changes: Any) -> None:
        """Select ``layer``, ``call``, ``sample``, ``channel``, ``show``, ``colormap`` and so on.

        Raises:
            LayerNotFoundError, ValueError, TypeError: as the constructor; ValueError also for a
                sample or channel that the last frame of the layer did not have.
        """
        unknown = {name: changes[name] for name in changes if name not in SELECTED}
        refuse_unknown("select", unknown, SELECTED)
        self._choose(changes, by_user=False, in_range=True)
        self._moves.of_python()
        self._selection_stream.mark(urgent=True)

    def overview(self, statistic: str = "std") -> Overview:
        """Return (layers, steps, values): one statistic of every layer's output over the steps.

        ``select(overview=statistic)`` shows it, ``select(overview="")`` the maps again.

        Args:
            statistic: ``"mean"``, ``"std"``, ``"minimum"``, ``"maximum"``, ``"zero_share"`` or
                ``"nonfinite"``, of at most 2,048 values read of the layer's whole output, the
                batch included; NaN and infinity are counted by ``"nonfinite"`` alone.

        Returns:
            layers: L keys in the order of the tree. steps: shape (C,), those that were sampled.
            values: shape (L, C), float32, in the unit of the activation; ``"zero_share"`` from 0
            to 1, ``"nonfinite"`` a count. NaN: not measured. All are copies.

        Raises:
            ValueError: no such statistic.
        """
        return overview_of(self.session.statistics.layers(), self.session.layers, statistic)

    def summary(self) -> str:
        """Return layer, shape, step and statistics as one stable line."""
        shot = self._choice.shot()
        layer = self._choice.pick.layer
        return frame_words(self.session.model_name, layer, self.frame, shot.message)

    def snapshot(self) -> bytes:
        """Return what is shown as a PNG, drawn here from the same numbers; the first NaN above."""
        header, arrays = frame_parts(self._choice.shot(), seq=0)
        pick = self._choice.pick
        picture = activation_picture(
            header,
            arrays,
            self._state(),
            channel=self.channel,
            colormap=pick.colormap,
            normalize=pick.normalize,
        )
        broken = self._nonfinite.picture()
        return picture if broken is None else stacked([broken, picture])

    # Session and streams ----------------------------------------------------------------------

    def _bind(self, session: Session) -> None:
        super()._bind(session)
        self._open_streams(session)
        self._nonfinite = NonFinitePart(self, session)
        self._bound.callback(session.statistics.listen(self._on_statistics))
        recording = session.recorder.recording
        recording.demand(self.owner, self._shows_strips)
        self._bound.callback(recording.release, self.owner)
        if self._choice.bind(session, self.owner):
            self._moves.of_python()
        self._bound.callback(session.recorder.looks.drop, self.owner)
        for subscription in (
            session.bus.subscribe(ActivationCaptured, self._on_layer, inline=True),
            session.bus.subscribe(GradientCaptured, self._on_layer, inline=True),
            session.bus.subscribe(ModelAttached, self._on_model, inline=True),
        ):
            self._bound.callback(subscription.cancel)
        self._choice.catch_up()

    def _on_layer(self, event: LayerCaptured) -> None:
        if self._choice.offer(event):
            self._frame_stream.mark()
        elif not event.watched:
            self._thumbs_stream.mark()

    def _on_statistics(self) -> None:
        if self._choice.pick.overview:
            self._strips_stream.mark()

    def _shows_strips(self) -> bool:
        hearing = self.session.sender.hearing
        return bool(self._choice.pick.overview) and self.presence.any_visible(hearing=hearing)

    def _on_model(self, event: ModelAttached) -> None:
        if self._choice.learn_layers():
            self._moves.of_python()
            self._frame_stream.mark(urgent=True)
        self._selection_stream.mark()

    def _ready_for_picture(self) -> bool:
        return not self._choice.unsent and self._frame_stream.stats["under_way"] < 2

    # What a user moves ------------------------------------------------------------------------

    def _dispatch(self, content: dict[str, Any]) -> None:
        """Take a message; what one view moved, the others follow."""
        try:
            super()._dispatch(content)
        finally:
            if content.get("type") == "intent":
                self._moves.of_view(str(content.get("view", "")), int(content.get("n") or 0))
                self._selection_stream.mark()

    def _on_intent(self, name: str, value: Any) -> None:
        if name == "pin":
            shown = None if isinstance(value, bool) else int(value)
            if self._choice.pin(pinned=value is not False, seq=shown):  # else the view says why
                self._frame_stream.mark(urgent=True)
        elif name == "visit":
            near = self._choice.kept_near(value["layer"], int(value["step"]), value["within"])
            place = {"layer": value["layer"], "step": near, "overview": ""}
            self._choose(place, by_user=True)
        elif name in SELECTED:
            self._choose({name: value}, by_user=True)

    def _choose(self, changes: dict[str, Any], *, by_user: bool, in_range: bool = False) -> None:
        before = self._choice.pick
        self._take(changes, in_range=in_range)
        after = self._choice.pick
        if after.overview != before.overview:
            self.session.recorder.recording.hurry(self.owner)
            self._strips_stream.mark(urgent=True)
        moved = {name: getattr(after, name) for name in LINKED}
        self._tell({n: v for n, v in moved.items() if v != getattr(before, n)}, by_user=by_user)

    def _take(self, changes: dict[str, Any], *, in_range: bool = False) -> None:
        if self._choice.change(changes, paged=self._paged, in_range=in_range):
            self._frame_stream.mark(urgent=True)

    def _follow(self, moved: dict[str, Any]) -> None:
        if "layer" in moved:
            moved["layer"] = layer_of(moved["layer"], self.session.layers)
        self._take({name: value for name, value in moved.items() if value != ""})
        self._moves.of_python()
        self._selection_stream.mark(urgent=True)

    def _state(self) -> dict[str, Any]:
        choice = self._choice
        browser = browser_state(self.session, choice.pick, choice.event)
        return {**super()._state(), "browser": browser, "nonfinite": self._nonfinite.state()}
