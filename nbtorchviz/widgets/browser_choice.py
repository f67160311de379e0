"""What a user chose in an ActivationBrowser, and the picture of it that is at hand."""

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nbtorchviz.capture.plans import Inputs
from nbtorchviz.events import GradientCaptured, InputCaptured, LayerCaptured
from nbtorchviz.live.host import kernel_loop_call
from nbtorchviz.session import Session
from nbtorchviz.session.kept_frames import KeptFrames
from nbtorchviz.widgets.browser_packet import Shot
from nbtorchviz.widgets.browser_range import channel_count, check_range, clipped, item_count
from nbtorchviz.widgets.browser_start import remembered_layer
from nbtorchviz.widgets.browser_state import check_path, known_layers, missing_sentence
from nbtorchviz.widgets.selection import Selection

BATCHES = 8
"""So many inputs of pictures are remembered that the user may be looking at."""
_IN_BROWSER = {"channel", "colormap", "normalize", "order", "overview"}  # no new picture is needed


class Choice:
    """A selection and the frame shown for it, which change together.

    Any thread may call its methods. It sends nothing: they say whether there is something to send.

    Args:
        pick: what is selected at first.
        named: whether its layer was named by somebody; else another may take its place.
    """

    def __init__(self, pick: Selection, *, named: bool = True) -> None:
        self.pick = pick
        """What is selected."""
        self._named = named
        self.event: LayerCaptured | None = None
        """The frame shown; None before there is one."""
        self.preview = False
        """Whether it is a kept one, shown until a fresh one comes."""
        self.unsent = False
        """Whether a fresh one has come that was not sent yet."""
        self._input: InputCaptured | None = None
        self._batch: Inputs | None = None
        """The input shown, as the model takes it; None where it is not kept."""
        self._sent: deque[tuple[int, InputCaptured | None, Inputs | None]] = deque(maxlen=BATCHES)
        """Inputs of the pictures that were sent, each with the number of the first of them."""
        self._held: int | None = None
        """Step of the picture that was shown when Hold was pressed."""
        self._lock = threading.RLock()

    def bind(self, session: Session, owner: int) -> bool:
        """Show frames of ``session`` from now on; True if the selection changed by that.

        Args:
            session: its looks say from now on what the widget wants.
            owner: the widget, as the looks know it; ``looks.drop(owner)`` ends it.
        """
        self._session, self._owner = session, owner
        with self._lock:
            before = self.pick
            if before.layer.partition("#")[0] not in session.layers:
                self.pick = Selection(layer=remembered_layer(session), pinned=session.starts_pinned)
            elif before.hold or before.step is not None:  # of the model shown before
                self.pick = replace(before, hold=False, step=None)
            self.unsent = False
            session.recorder.looks.set(owner, self.pick.look, urgent=True)
            self._show_kept()
            return self.pick is not before

    def learn_layers(self) -> bool:
        """Leave a layer that nobody named and that turns out not to be called.

        Returns:
            Whether the selection changed.
        """
        session = self._session
        with self._lock:
            if self._named or self.event is not None or session.last_layer:
                return False
            called = {info.key: info.called for info in session.layer_infos}
            if called.get(self.pick.layer) is not False:
                return False
            self.pick = replace(self.pick, layer=remembered_layer(session))
            session.recorder.looks.set(self._owner, self.pick.look, urgent=True)
            self._show_kept()
            return True

    def catch_up(self) -> None:
        """Have the pinned input run if what is kept of it is of another item; once subscribed."""
        event = self.event
        if event is not None and self.pinned and event.sample != self.sample:
            self._session.recorder.want_probe()
            _probe_soon(self._session)

    @property
    def pinned(self) -> bool:
        """Whether the pinned input is shown, not items of the training batches."""
        return self.pick.pinned and self._session.recorder.pinned

    @property
    def sample(self) -> int:
        """The item that is shown: the one selected, or the last of a batch that has fewer."""
        return clipped(self.pick.sample, item_count(self.event))

    @property
    def channel(self) -> int:
        """The channel that is enlarged: the one selected, or the last where there are fewer."""
        return clipped(self.pick.channel, channel_count(self.event))

    def offer(self, event: LayerCaptured) -> bool:
        """Show a new frame if it is of what is selected; on the training thread, so: briefly."""
        with self._lock:
            wanted = not self.pick.hold and self.pick.step is None and self._is_selected(event)
            if wanted:
                self._show(event)
                self.preview, self.unsent = False, True
        return wanted

    def change(
        self, changes: Mapping[str, Any], *, paged: bool = False, in_range: bool = False
    ) -> bool:
        """Check and take a selection, show what is kept of it at once, and ask for a fresh one.

        Args:
            changes: fields of ``Selection``, and ``call``.
            paged: the views have only some of the channels.
            in_range: refuse a sample or channel that is known not to exist; else it is clipped.

        Returns:
            Whether the views need another picture.

        Raises:
            LayerNotFoundError, ValueError, TypeError: a value that is not accepted.
        """
        session = self._session
        with self._lock:
            before = self.pick
            layers, checked = known_layers(session, dict(changes), before)
            pick = before.changed(layers, **checked)
            if "path" in checked:
                check_path(session, pick)
            if in_range:
                check_range(self._newest(pick), pick.layer, {n: getattr(pick, n) for n in checked})
            self.pick = pick
            if pick.hold and not before.hold:
                self._held = None if self.event is None else self.event.step
            if "layer" in checked:
                session.last_layer = pick.layer
            paged = paged and self.event is not None
            if checked.keys() <= _IN_BROWSER and not (paged and "channel" in checked):
                return False
            moved = pick.look != before.look
            session.recorder.looks.set(self._owner, pick.look, urgent=moved and not pick.hold)
            if moved or pick.step != before.step or (before.hold and not pick.hold):
                self._show_kept()
        if self.pinned and moved:
            session.recorder.want_probe()
            _probe_soon(session)
        return True

    def kept_near(self, layer: str, step: int, within: float) -> int | None:
        """Return the step of the kept frame of ``layer`` nearest to ``step``, if one is near."""
        kept = self._kept(pinned=self.pinned).steps(layer, gradient=self.pick.show == "gradient")
        near = [each for each in kept if abs(each - step) <= within]
        return min(near, key=lambda each: abs(each - step), default=None)

    def pin(self, *, pinned: bool, seq: int | None = None) -> bool:
        """Keep the input that is shown, or follow the batches again.

        Args:
            pinned: whether to keep it.
            seq: of the picture that the user looks at; None: the newest.

        Returns:
            Whether it could be done; there may be no batch yet, or it may not be kept.
        """
        session = self._session
        if pinned and not session.recorder.pinned:
            with self._lock:
                held = self._step is not None
                sent = [each for each in self._sent if seq is None or each[0] <= seq]
            _, seen, inputs = sent[-1] if sent else (0, None, None)
            if (inputs is None and held) or not session.pin_batch(inputs, seen):
                return False
        if not pinned:
            session.recorder.unpin()
        with self._lock:
            self.pick = replace(self.pick, pinned=pinned, step=None, hold=False)
            session.recorder.looks.set(self._owner, self.pick.look, urgent=True)
            self._show_kept()
        _probe_soon(session)
        return True

    def shot(self, seq: int | None = None) -> Shot:
        """Return all that the picture shown is made of.

        Args:
            seq: the number under which it is sent, if it is.
        """
        session, recorder = self._session, self._session.recorder
        with self._lock:
            if seq is not None and not (self._sent and self._sent[-1][2] is self._batch):
                self._sent.append((seq, self._input, self._batch))
            pick, event, seen, preview = self.pick, self.event, self._input, self.preview
            step = self._step
        info = next((info for info in session.layer_infos if info.key == pick.layer), None)
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
            step=step,
            message=None if event is not None else missing_sentence(session, pick, info, step),
        )

    @property
    def _step(self) -> int | None:
        """The step that is held; None: the newest is shown."""
        held = self._held if self.pick.hold else None
        return held if self.pick.step is None else self.pick.step

    def _kept(self, *, pinned: bool) -> KeptFrames:
        return self._session.recorder.kept["pinned" if pinned else "batch"]

    def _newest(self, pick: Selection) -> LayerCaptured | None:
        """Return the newest frame that is kept of what ``pick`` selects."""
        kept = self._kept(pinned=pick.pinned and self._session.recorder.pinned)
        return kept.newest(pick.layer, path=pick.path, gradient=pick.show == "gradient")

    def _is_selected(self, event: LayerCaptured) -> bool:
        pick, of_pin = self.pick, _of_pin(event)
        return (
            event.layer == pick.layer
            and event.path == self._kept(pinned=of_pin).path_of(pick.layer, pick.path)
            and event.sample == clipped(pick.sample, item_count(event))
            and isinstance(event, GradientCaptured) == (pick.show == "gradient")
            and of_pin == self.pinned
        )

    def _show_kept(self) -> None:
        """Show the kept frame of the selection, or none, until a fresh one comes."""
        pick, kept, step = self.pick, self._kept(pinned=self.pinned), self._step
        gradient = pick.show == "gradient"
        if step is None:
            self._show(kept.newest(pick.layer, path=pick.path, gradient=gradient))
        else:
            self._show(kept.at(step, pick.layer, path=pick.path, gradient=gradient))
        self.preview = self.event is not None

    def _show(self, event: LayerCaptured | None) -> None:
        """Show ``event`` beside the input that made it, or beside none."""
        self.event, self._input, self._batch = event, None, None
        pinned = event is not None and _of_pin(event)
        seen = self._session.recorder.input.get("pinned" if pinned else "batch")
        if event is None or seen is None or seen.sample != event.sample:
            return
        if seen.forward == event.forward and seen.step == event.step:
            self._input = seen
            batch = self._session.tap.last_batch()
            if not pinned and batch is not None and batch.sample == seen.sample:
                self._batch = batch
        elif pinned:  # the same input, seen by later weights
            self._input = replace(seen, prediction=None, probability=None)


def _probe_soon(session: Session) -> None:
    """Run the pinned input when no cell runs; at once in a script, where nothing is idle later."""
    if not kernel_loop_call(session.probe_when_idle):
        session.probe_when_idle()


def _of_pin(event: LayerCaptured) -> bool:
    return event.source not in ("batch", "twin")


def _image_hw(item: InputCaptured | None) -> tuple[int, int] | None:
    """Height and width, where inputs are images."""
    if item is None or item.values is None or not {"H", "W"} <= set(item.axes):
        return None
    height, width = (item.values.shape[item.axes.index(axis)] for axis in "HW")
    return height, width
