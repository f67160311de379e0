"""What an ActivationBrowser sends to its views: frames, layers, selection, thumbnails, strips."""

from traitlets import Bytes, List
from traitlets import Dict as DictTrait

from nbtorchviz.analysis.packets import pack
from nbtorchviz.live.sender import Payload
from nbtorchviz.session import Session
from nbtorchviz.widgets.base import ObserverWidget
from nbtorchviz.widgets.browser_choice import Choice
from nbtorchviz.widgets.browser_moves import Moves
from nbtorchviz.widgets.browser_packet import frame_parts
from nbtorchviz.widgets.overview_packet import overview_packet
from nbtorchviz.widgets.thumbnails import Thumbnails

PREVIEW_BYTES = 64_000
"""A kept frame goes out at once, so it is small."""
THUMBS_BYTES = 64_000
STRIPS_HZ = 2


class BrowserStreams(ObserverWidget):
    """The streams of an ActivationBrowser, which sets the attributes below before it is bound."""

    layers = List(help="Rows of the layer tree; written by the sender.").tag(sync=True)
    selection = DictTrait(help="What Python selected last, with a revision.").tag(sync=True)
    picture = Bytes(b"", help="The frame to paint: one packet.").tag(sync=True)
    strips = Bytes(b"", help="The layers overview, while it is shown: one packet.").tag(sync=True)
    nonfinite = Bytes(b"", help="What the first NaN was made of: one packet.").tag(sync=True)

    _choice: Choice
    _moves: Moves
    _paged = False
    """Whether the views have only some of the channels."""

    def _open_streams(self, session: Session) -> None:
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
        self._strips_stream = self._stream(
            "strips", self._produce_strips, self._deliver_strips, kind="curve", max_hz=STRIPS_HZ
        )

    def _produce_frame(self, limit_bytes: int) -> Payload | None:
        self._choice.unsent = False  # before reading: what comes now is sent next
        if self._choice.preview:
            limit_bytes = min(limit_bytes, PREVIEW_BYTES)
        seq = self._next_seq()
        header, arrays = frame_parts(self._choice.shot(seq), seq, limit_bytes)
        self._paged = header.get("total", 0) > len(arrays.get("planes", ()))
        data = pack(header, arrays)
        return Payload(seq, data, len(data))

    def _deliver_frame(self, payload: Payload) -> None:
        self._deliver_pixels("picture", payload.data)

    def _produce_strips(self, limit_bytes: int) -> Payload | None:
        statistic = self._choice.pick.overview
        if not statistic:
            return None
        seq = self._next_seq()
        data = overview_packet(self.session, statistic, seq, limit_bytes)
        return Payload(seq, data, len(data))

    def _deliver_strips(self, payload: Payload) -> None:
        self.strips = payload.data

    def _produce_selection(self, limit_bytes: int) -> Payload:
        rows, size = self._moves.rows(self.session, self.layers)
        selection = self._moves.selection(self._choice)
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
