"""What an InputEditor sends to its view: the pad's pixels, and what painting did."""

import threading
from abc import abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from traitlets import Bytes, Unicode

from nbtorchviz.analysis.images import DisplayRule
from nbtorchviz.analysis.painting import Painting
from nbtorchviz.analysis.quantise import pool
from nbtorchviz.live.sender import Payload
from nbtorchviz.session import Session
from nbtorchviz.widgets.base import ObserverWidget
from nbtorchviz.widgets.editor_pad import Pad
from nbtorchviz.widgets.editor_state import Outcome, result_packet


class EditorStreams(ObserverWidget):
    """The streams of an InputEditor, which sets the attributes below before it is bound."""

    pad = Unicode("", help="Model id of the canvas to paint on; empty: there is none.").tag(
        sync=True
    )
    picture = Bytes(b"", help="What changed and what it did: one packet.").tag(sync=True)

    painting: Painting
    _painting_lock: threading.RLock
    _pad: Pad | None = None
    _rule: DisplayRule
    _scale: int
    _edit: int

    def computed(self) -> None:
        """Show what the viewer has computed; called on the thread that did."""
        self._result_stream.mark(urgent=True)
        self._state_stream.mark(urgent=True)

    @abstractmethod
    def _outcome(self) -> Outcome | None:
        """What the model makes of the picture."""

    def _bind(self, session: Session) -> None:
        super()._bind(session)
        self._pad_stream = self._stream(
            "pad", self._produce_pad, self._deliver_pad, acked=False, max_hz=30, kind="picture"
        )
        self._result_stream = self._stream(
            "result", self._produce_result, self._deliver_result, max_hz=10, kind="picture"
        )

    def _redraw(self) -> None:
        self._pad_stream.mark(urgent=True)

    def _produce_pad(self, limit_bytes: int) -> Payload | None:
        pad = self._pad
        if pad is None:
            return None
        with self._painting_lock:
            image = self.painting.image
        patch = pad.patch(self._pixels(image))
        return None if patch is None else Payload(self._next_seq(), patch, patch[0].nbytes)

    def _deliver_pad(self, payload: Payload) -> None:
        pad = self._pad
        if pad is not None:
            pad.draw(payload.data)

    def _produce_result(self, limit_bytes: int) -> Payload:
        seq = self._next_seq()
        data = self._packet(seq)
        return Payload(seq, data, len(data))

    def _deliver_result(self, payload: Payload) -> None:
        self._deliver_pixels("picture", payload.data)

    def _planes(self, image: Tensor) -> NDArray[np.float32]:
        """One plane, or three of colours, as they are drawn."""
        values = image.to("cpu", torch.float32).nan_to_num().numpy()
        if len(values) in (1, 3):
            return values
        return values[:3] if len(values) == 4 else values.mean(0, keepdims=True)

    def _pixels(self, image: Tensor) -> NDArray[np.uint8]:
        unit = pool(self._rule.unit(self._planes(image)).clip(0, 1), self._scale)
        pixels = np.rint(255 * unit).astype(np.uint8)
        return pixels[0] if len(pixels) == 1 else np.ascontiguousarray(np.moveaxis(pixels, 0, -1))

    def _packet(self, seq: int) -> bytes:
        with self._painting_lock:
            return result_packet(self.painting, self._outcome(), seq=seq, edit=self._edit)
