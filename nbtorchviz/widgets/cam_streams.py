"""What a GradCAMViewer sends to its views: maps, images, the selection, older maps."""

from typing import Any

from traitlets import Bytes
from traitlets import Dict as DictTrait

from nbtorchviz.analysis.cam_frame import CamFrame
from nbtorchviz.live.sender import Payload
from nbtorchviz.session.cam_desk import CamDesk
from nbtorchviz.session.cam_images import CamImages
from nbtorchviz.widgets.cam_choice import CamChoice
from nbtorchviz.widgets.cam_packet import frame_packet, images_packet, looked_at
from nbtorchviz.widgets.cam_state import own_name
from nbtorchviz.widgets.heard import HearingWidget

LIMIT_BYTES = 260_000


class CamStreams(HearingWidget):
    """The streams of a GradCAMViewer, which sets the attributes below before it is bound."""

    selection = DictTrait(help="What Python selected last, with a revision.").tag(sync=True)
    images = Bytes(b"", help="The pinned images as they are shown: one packet.").tag(sync=True)
    picture = Bytes(b"", help="The newest maps: one packet.").tag(sync=True)

    class_names: tuple[str, ...]
    _choice: CamChoice
    _desk: CamDesk

    def _open_streams(self, images: CamImages | None) -> None:
        """Open them; ``images`` are those that views have already."""
        self._sent_images, self._sent_edit = images, 0
        self._maps_stream = self._stream(
            "maps", self._produce_maps, self._deliver_maps, kind="picture", max_hz=4
        )
        self._images_stream = self._stream(
            "images", self._produce_images, self._deliver_images, acked=False, kind="picture"
        )
        self._selection_stream = self._stream(
            "selection", self._produce_selection, self._deliver_selection, acked=False, kind="state"
        )
        self._older_stream = self._stream(
            "older", self._produce_older, self._deliver_older, acked=False, kind="picture"
        )

    def _is_seen(self) -> bool:
        return self.presence.any_visible(hearing=self.session.sender.hearing)

    def _computed(self) -> None:
        """Note, on the thread that computed, that there are new maps, or why there are none."""
        desk, shot = self._desk, self._desk.shot
        if desk.shown is not None and desk.shown is not self._sent_images:
            self._images_stream.mark(urgent=True)
        waited_for = not self.session.run_active or (shot and shot.edit != self._sent_edit)
        self._maps_stream.mark(urgent=shot is not None and bool(waited_for))
        self._state_stream.mark(urgent=True)

    def _first(self, frame: CamFrame) -> list[int]:
        return looked_at(frame, self._choice.target, self._choice.contrast)

    def _produce_maps(self, limit_bytes: int) -> Payload | None:
        shot = self._desk.shot
        if shot is None:
            return None
        self._sent_edit = shot.edit
        about = {
            "own": own_name(shot, self.class_names),
            "others": list(shot.others),
            "edit": shot.edit,
        }
        return self._packet(shot.frame, limit_bytes, **about)

    def _packet(self, frame: CamFrame, limit_bytes: int, **about: Any) -> Payload:
        seq = self._next_seq()
        run = self.session.metrics.current_run
        data = frame_packet(
            frame,
            seq=seq,
            limit_bytes=min(limit_bytes, LIMIT_BYTES),
            first=self._first(frame),
            run=str(run),
            **about,
        )
        return Payload(seq, data, len(data))

    def _deliver_maps(self, payload: Payload) -> None:
        self._deliver_pixels("picture", payload.data)

    def _produce_images(self, limit_bytes: int) -> Payload | None:
        images = self._desk.shown
        if images is None:
            return None
        self._sent_images = images
        data = images_packet(images.pictures, images.names)
        return Payload(self._next_seq(), data, len(data))

    def _deliver_images(self, payload: Payload) -> None:
        self._deliver_pixels("images", payload.data)

    def _produce_older(self, limit_bytes: int) -> Payload | None:
        step = self._choice.step
        if step is None or not self._is_seen():  # a hidden tab follows every step pointed at
            return None
        frame = self._desk.tape.at(step)
        return None if frame is None else self._packet(frame, limit_bytes)

    def _deliver_older(self, payload: Payload) -> None:
        self.send({"type": "frame"}, buffers=[payload.data])

    def _produce_selection(self, limit_bytes: int) -> Payload:
        with self._lock:
            selection = self._choice.as_trait(self._revision, dict(self._heard))
        return Payload(self._next_seq(), selection, 1_000)

    def _deliver_selection(self, payload: Payload) -> None:
        self.selection = payload.data
