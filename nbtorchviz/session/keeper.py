"""Keeper: turns what was caught into events, and keeps the newest frames for the sliders."""

import time
from collections.abc import Callable
from typing import Any

from nbtorchviz.bus import EventBus
from nbtorchviz.capture.plans import Catch, Plan
from nbtorchviz.capture.weights import WeightRead
from nbtorchviz.events import ActivationCaptured, InputCaptured, LayerCaptured
from nbtorchviz.session.kept_frames import LIMIT_BYTES, KeptFrames
from nbtorchviz.session.looks import first_paths
from nbtorchviz.session.publishing import events_of, weight_events
from nbtorchviz.session.silence import SilentChannels


class Keeper:
    """What was seen last, by layer and by input.

    Args:
        bus: where events go.
        clock: seconds, monotonic.
    """

    def __init__(self, bus: EventBus, clock: Callable[[], float] = time.monotonic) -> None:
        self._bus, self._clock, self._began = bus, clock, clock()
        self.frames = {
            "batch": KeptFrames(LIMIT_BYTES * 5 // 8),
            "pinned": KeptFrames(LIMIT_BYTES // 4),
            "weights": KeptFrames(LIMIT_BYTES // 8),
        }
        """Frames by what they show: items of training batches, the pinned input, parameters."""
        self.input: dict[str, InputCaptured] = {}
        """The newest input sample, likewise."""
        self.silence = SilentChannels()

    def publish(self, catch: Catch, plan: Plan, *, step: int, model: str, parameters: int) -> None:
        """Keep and publish one catch.

        Args:
            catch: what a window or probe read.
            plan: what it was asked for.
            step: finished steps.
            model: class name of the model.
            parameters: how many it has.
        """
        subject = "batch" if catch.source in ("batch", "twin") else "pinned"
        places = [(caught.key, caught.path) for caught in catch.caught]
        for layer, path in first_paths(plan, places).items():
            self.frames[subject].learn_first(layer, path)
        for event in events_of(
            catch,
            step=step,
            elapsed_s=self._clock() - self._began,
            model=model,
            parameters=parameters,
        ):
            if isinstance(event, LayerCaptured):
                self.frames[subject].add(event)
                if isinstance(event, ActivationCaptured) and event.channel_zero is not None:
                    self.silence.observe(event.layer, event.step, event.channel_zero)
            elif isinstance(event, InputCaptured):
                if not plan.wants:
                    continue  # a window for statistics: the picture beside the map stays
                self.input[subject] = event
            self._bus.publish(event)

    def publish_weights(self, read: list[WeightRead], **position: Any) -> None:
        """Keep and publish parameters and their gradients.

        Args:
            read: what one step found.
            position: fields that every event carries.
        """
        for event in weight_events(read, **position):
            self.frames["weights"].add(event)
            self._bus.publish(event)
