"""What an ActivationBrowser sends of the first NaN or infinite value: its pictures, once."""

from typing import Any

from nbtorchviz.analysis.nonfinite_parts import nonfinite_parts
from nbtorchviz.analysis.nonfinite_picture import nonfinite_picture
from nbtorchviz.analysis.packets import pack
from nbtorchviz.events import Event, NonFiniteFound
from nbtorchviz.live.sender import Payload
from nbtorchviz.nonfinite import NonFiniteReport
from nbtorchviz.session import Session
from nbtorchviz.session.nonfinite import remedy_of
from nbtorchviz.widgets.base import ObserverWidget


class NonFinitePart:
    """Sends the report of ``session`` to the views of ``widget`` when there is one.

    Args:
        widget: its trait ``nonfinite`` takes the packet.
        session: whose report.
    """

    def __init__(self, widget: ObserverWidget, session: Session) -> None:
        self._widget, self._session = widget, session
        self._sent: NonFiniteReport | None = None
        self._seq = 0
        self._stream = widget._stream("nonfinite", self._produce, self._deliver, kind="state")
        subscription = session.bus.subscribe(NonFiniteFound, self._found, inline=True)
        widget._bound.callback(subscription.cancel)
        if session.first_nonfinite is not None:
            self._stream.mark()

    def state(self) -> dict[str, Any] | None:
        """Return which packet is the present report, for the views; None: there is none."""
        report = self._session.first_nonfinite
        if report is None or report is not self._sent:
            return None
        return {"seq": self._seq, "word": report.word, "step": report.step}

    def picture(self) -> bytes | None:
        """Return the report as a PNG; None: there is none, or nothing of it can be drawn."""
        report = self._session.first_nonfinite
        if report is None or (report.after is None and not report.before):
            return None
        return nonfinite_picture(*nonfinite_parts(report, remedy_of(report)))

    def _found(self, event: Event) -> None:
        self._stream.mark(urgent=True)

    def _produce(self, limit_bytes: int) -> Payload | None:
        report = self._session.first_nonfinite
        if report is None:
            return None
        self._sent, self._seq = report, self._widget._next_seq()
        header, arrays = nonfinite_parts(
            report, remedy_of(report), seq=self._seq, limit_bytes=limit_bytes
        )
        data = pack(header, arrays)
        return Payload(self._seq, data, len(data))

    def _deliver(self, payload: Payload) -> None:
        self._widget._deliver_pixels("nonfinite", payload.data)
        self._widget._state_stream.mark(urgent=True)
