"""LiveLossPlot: logged numbers against the step, drawn while training runs."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import nn
from traitlets import Bytes
from traitlets import Dict as DictTrait

from nbtorchviz.analysis.curve_picture import curve_picture
from nbtorchviz.analysis.packets import unpack
from nbtorchviz.analysis.smoothing import check_weight
from nbtorchviz.arguments import flag, refusal, word
from nbtorchviz.live.sender import Payload
from nbtorchviz.session import Session, as_session
from nbtorchviz.session.curve_lines import chosen_series, newest_lines, nothing_of
from nbtorchviz.session.curves import LIMIT_BYTES, CurveView, curve_packet
from nbtorchviz.session.logbook import Logbook
from nbtorchviz.session.metrics import History, MetricHistory
from nbtorchviz.session.series import KeptSums
from nbtorchviz.widgets.base import ObserverWidget, refuse_unknown

KEYWORDS = ("metrics", "smoothing", "log_y", "linked")
_METRICS = (
    "the name of a metric, a list of names, or a MetricHistory such as session.metrics "
    "(numbers are logged with plot.log(loss=loss))"
)


class LiveLossPlot(ObserverWidget):
    """Shows logged numbers as curves: raw thin, smoothed thick, NaN and spikes in words.

    With a model it shows what ``session.log`` records; alone, what its own ``log`` records::

        plot = LiveLossPlot()
        plot.log(loss=loss)

    Args:
        model_or_session: a model, the session that ``watch(model)`` returned, or None.
        metrics: name or names of what to show, ``"loss"`` with its ``val_loss``; the first one
            has the plot. By default everything that is logged. A ``MetricHistory``, such as
            another session's, is shown instead of the own numbers.
        smoothing: weight of a point one step away, 0 (raw only) to below 1.
        log_y: begin with a logarithmic y axis.
        linked: share the step that is pointed at with the other widgets of the session.

    Raises:
        TypeError: the first argument is neither a model nor a session, a keyword is unknown, or
            its value has the wrong type.
        ValueError: ``smoothing`` is out of range.
    """

    curve = Bytes(b"", help="The curves to paint: one packet; written by the sender.").tag(
        sync=True
    )
    look = DictTrait(help="Axes, hidden lines and range; written by the view.").tag(sync=True)

    def __init__(
        self,
        model_or_session: nn.Module | Session | None = None,
        *,
        metrics: str | Sequence[str] | MetricHistory | None = None,
        smoothing: float = 0.0,
        log_y: bool = False,
        linked: bool = True,
        **unknown: Any,
    ) -> None:
        compact = bool(unknown.pop("_compact", False))
        refuse_unknown("LiveLossPlot", unknown, KEYWORDS)
        self._given = metrics if isinstance(metrics, MetricHistory) else None
        self._view = CurveView(
            names=() if self._given is not None else _names(metrics),
            smoothing=check_weight(smoothing),
            log_y=flag("log_y", log_y),
            rev=1,
        )
        self.linked = flag("linked", linked)
        self._sums = KeptSums()
        self._pointed: int | None = None
        self._drawing = threading.Lock()
        self._figure: Any = None
        self._book: Logbook | None = None
        if model_or_session is None:
            self._book = Logbook(self._given or MetricHistory())
        source: Any = self._book or as_session(model_or_session, "LiveLossPlot")
        where = "plot.log(loss=loss)" if self._book else "session.log(loss=loss)"
        options = {"compact": compact, "code": where}
        super().__init__(source, kind="live-loss-plot", options=options)
        if self._book is not None:
            self._cleanup.callback(self._book.close)

    # What a user asks for ---------------------------------------------------------------------

    def log(
        self,
        step: int | None = None,
        *,
        phase: str | None = None,
        epoch: float | None = None,
        **metrics: object,
    ) -> None:
        """Record numbers, such as ``plot.log(loss=loss)``.

        Args:
            step: x position. By default the optimizer steps finished so far; without a model, a
                metric that was logged already begins the next step.
            phase: ``"eval"``, also written ``"val"``, ``"valid"`` or ``"validation"``, pairs a
                metric with the training metric of the same name. A test set needs names of its
                own: ``test_loss``.
            epoch: kept beside the step, fractions allowed.
            metrics: numbers or tensors with one element; NaN and infinity are kept. A call
                without any warns.

        Raises:
            TypeError, ValueError: a value is not one number (the message names the metric), or the
                phase another word.
        """
        source: Any = self._book or self.session
        source.log(step, phase=phase, epoch=epoch, **metrics)

    def history(self, name: str, run: int | None = None) -> History:
        """Return (steps, values) of a metric, exact to a million values; ``.note`` says if not.

        Raises:
            KeyError: no such metric was logged; the message lists those that were.
        """
        word("name", name, "the name of a metric that was logged")
        if self._book is not None:
            self._book.read_pending()
        return self.metrics.history(name, run)

    @property
    def metrics(self) -> MetricHistory:
        """All logged numbers."""
        history: MetricHistory = self._given or self.session.metrics
        return history

    @property
    def smoothing(self) -> float:
        """Weight of a point one step away; 0 = raw values only."""
        return self._view.smoothing

    @smoothing.setter
    def smoothing(self, weight: float) -> None:
        self._change(smoothing=check_weight(weight), rev=self._view.rev + 1)

    @property
    def log_y(self) -> bool:
        """Whether the y axis is logarithmic."""
        return self._view.log_y

    @log_y.setter
    def log_y(self, log_y: bool) -> None:
        self._change(log_y=flag("log_y", log_y), rev=self._view.rev + 1)

    @property
    def figure(self) -> Any:
        """A bqplot ``Figure`` of the same lines, kept up to date, for marks of your own.

        Made at the first use. The view that ``display(plot)`` shows is drawn without bqplot.

        Raises:
            ImportError: bqplot is not installed.
        """
        if self._figure is None:
            from nbtorchviz.widgets.loss_figure import LossFigure

            self._figure = LossFigure(*self._parts())
            self._add_figure_stream()
        return self._figure.figure

    def summary(self) -> str:
        """Return each metric's latest and best value as stable text."""
        series = chosen_series(self.metrics.views(), self._view.names)
        lines = newest_lines(series, self._view.metric)
        name = self.session.model_name
        title = f"LiveLossPlot of {name}" if name else "LiveLossPlot"
        if not lines:
            why = nothing_of(self.metrics.views(), self._view.names) or "No values yet"
            return f"{title}: {why[0].lower()}{why[1:]}"
        rows = [
            f"{line['name']} {_said(line['latest'])}, best {_said(line['best'])}" for line in lines
        ]
        return "\n  ".join([f"{title}:", *rows])

    def snapshot(self) -> bytes:
        """Return the chart as a PNG of at most 100 KB, drawn here from the same numbers."""
        header, arrays = self._parts()
        return curve_picture(header, arrays, self._state(), compact=self.options.get("compact"))

    # Session and streams ----------------------------------------------------------------------

    def _bind(self, session: Any) -> None:
        self._pointed = None
        super()._bind(session)
        self._curve_stream = self._stream(
            "curve", self._produce_curve, self._deliver_curve, kind="curve", max_hz=5
        )
        if self._figure is not None:
            self._add_figure_stream()
        self._bound.callback(self.metrics.listen(self._logged))
        self._curve_stream.mark()

    def _logged(self) -> None:
        self._curve_stream.mark()
        if self._figure is not None:
            self._figure_stream.mark()

    def _on_intent(self, name: str, value: Any) -> None:
        if name == "smoothing":
            self._change(smoothing=check_weight(value))
        elif name == "range":
            self._change(range=None if value is None else _edges(value))
        elif name == "metric":
            self._change(metric=str(value), range=None)
        elif name == "log_y":
            self._change(log_y=bool(value))
        elif name == "step":
            self._show_step(**(value if isinstance(value, dict) else {"step": value}))

    def _show_step(self, step: int, layer: str = "") -> None:
        """Take the other widgets of this session to ``step``; the newest one means live."""
        pick: dict[str, Any] = {"step": None if step >= self.session.step else int(step)}
        if layer and layer in getattr(self.session, "layers", ()):
            pick["layer"] = layer
        self._follow(pick)
        self._tell(pick)

    def _follow(self, moved: dict[str, Any]) -> None:
        if "step" in moved:
            self._pointed = moved["step"]
            self._state_stream.mark(urgent=True)

    def _change(self, **changes: Any) -> None:
        self._view = replace(self._view, **changes)
        self._curve_stream.mark(urgent=True)
        if self._figure is not None:
            self._figure_stream.mark()

    def _packet(self, limit_bytes: int, seq: int) -> bytes:
        if self._book is not None:
            self._book.read_pending()
        with self._drawing:
            return curve_packet(self.metrics, self._view, limit_bytes, seq=seq, sums=self._sums)

    def _parts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The whole run as it would be drawn now."""
        with self._drawing:
            view = replace(self._view, range=None)
            return unpack(curve_packet(self.metrics, view, sums=self._sums))

    def _produce_curve(self, limit_bytes: int) -> Payload | None:
        seq = self._next_seq()
        packet = self._packet(min(limit_bytes, LIMIT_BYTES), seq)
        return Payload(seq, packet, len(packet))

    def _deliver_curve(self, payload: Payload) -> None:
        self.curve = payload.data

    def _add_figure_stream(self) -> None:
        self._figure_stream = self._stream(
            "figure",
            self._produce_figure,
            self._deliver_figure,
            acked=False,
            kind="curve",
            max_hz=5,
        )

    def _produce_figure(self, limit_bytes: int) -> Payload | None:
        return Payload(self._next_seq(), self._parts(), LIMIT_BYTES)

    def _deliver_figure(self, payload: Payload) -> None:
        parts: Any = payload.data
        self._figure.update(*parts)

    def _state(self) -> dict[str, Any]:
        state = super()._state() if self._book is None else self._book.state()
        return {**state, "pointed": self._pointed}

    def _find_successor(self) -> Any:
        return super()._find_successor() if self._book is None else None


def _names(given: Any) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else () if given is None else given
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise refusal("metrics", _METRICS, given)
    if not all(names):
        raise refusal("metrics", _METRICS, given, typed=True)
    return tuple(names)


def _edges(value: Any) -> tuple[float, float | None]:
    first, last = value
    return float(first), None if last is None else float(last)


def _said(point: list[Any] | None) -> str:
    if point is None:
        return "none"
    step, value = point
    return f"{value if isinstance(value, str) else f'{value:.6g}'} at step {step}"
