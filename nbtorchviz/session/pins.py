"""Inputs that a session shows again and again, instead of whatever the training batch holds."""

from abc import abstractmethod

from torch import nn

from nbtorchviz.capture.plans import Inputs
from nbtorchviz.capture.tap import ModelTap
from nbtorchviz.errors import NbTorchVizError, RunRefusedError
from nbtorchviz.events import InputCaptured
from nbtorchviz.live.background import BackgroundRun
from nbtorchviz.live.gate import PauseGate
from nbtorchviz.session.pinned import check_probe, label_of, probe_inputs, probe_labels
from nbtorchviz.session.recorder import Recorder


class Pins:
    """The part of a ``Session`` that knows of pinned inputs."""

    gate: PauseGate
    recorder: Recorder
    run: BackgroundRun | None
    tap: ModelTap
    class_names: tuple[str, ...] | None
    watched_probe = False
    """Whether ``watch(model, probe=x)`` has pinned an input."""

    @property
    def starts_pinned(self) -> bool:
        """Whether widgets begin with the pinned input, not with items of the batches."""
        return self.watched_probe and self.recorder.pinned

    def probe(self, *inputs: object, labels: object = None) -> None:
        """Pin ``inputs`` and show what the layers make of them, now and after later steps.

        The model runs once in eval mode without leaving a trace (modes, buffers, random state).

        Args:
            inputs: the arguments of the model; one dictionary alone holds keywords where the
                model's forward takes them.
            labels: class indices, one per item.

        Raises:
            RunRefusedError: a background run is training the model right now.
            ModelGoneError: the model no longer exists.
            TypeError, ValueError: ``labels`` do not belong to the items.
        """
        self._must_be_open()
        elsewhere = self.recorder.trains_elsewhere()
        model = check_probe(self.model, self.model_name, running=self.running, elsewhere=elsewhere)
        given = probe_inputs(model, inputs)
        self.recorder.pin(given, probe_labels(labels, given, self.class_names))
        try:
            self.recorder.run_probe()
        except NbTorchVizError:  # it was not run
            raise
        except Exception:
            self.recorder.unpin()  # else it would be tried again after every step
            raise

    def may_run_model(self) -> None:
        """Refuse a forward of ours that would meet one of training on another thread.

        Raises:
            RunRefusedError: the message says what to do.
        """
        run = self.run
        if self.gate.state == "paused" or (run is not None and run.here):
            return
        if (run is not None and run.running) or self.recorder.trains_elsewhere():
            raise RunRefusedError(
                "Another thread is training this model, and a forward in eval mode now would "
                "disturb it. Pause the run (session.run.pause()), wait for its end "
                "(session.run.join()), or call this on the thread that trains."
            )

    def pin_batch(self, inputs: Inputs | None = None, seen: InputCaptured | None = None) -> bool:
        """Pin an input of training; False when none was seen yet.

        Args:
            inputs: what the model took; None: the newest.
            seen: what is known of it.
        """
        inputs = inputs or self.tap.last_batch()
        if inputs is None:
            return False
        label = label_of(seen or self.recorder.input.get("batch"), inputs)
        self.recorder.pin(inputs, probe_labels(label, inputs))
        return True

    def probe_when_idle(self) -> None:
        """Show the pinned input if somebody waits for it; call on the main thread between cells."""
        if self.recorder.trains_elsewhere():
            return  # it is shown at the next boundary, on the thread that trains
        if self.recorder.probe_wanted and not self.running:
            try:
                self.recorder.run_probe()
            except Exception as error:
                self.fault("probe of the pinned input", error)

    @property
    @abstractmethod
    def model(self) -> nn.Module | None:
        """The watched model."""

    @property
    @abstractmethod
    def model_name(self) -> str:
        """Its class."""

    @property
    @abstractmethod
    def running(self) -> bool:
        """Whether a background run has not ended yet."""

    @abstractmethod
    def fault(self, where: str, error: BaseException, count: int = 1) -> None:
        """Count a failure of ours."""

    @abstractmethod
    def _must_be_open(self) -> None: ...
