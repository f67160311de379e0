"""Flight recorder: when something goes wrong, the frames around it are kept out of the ring."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from nbtorchviz.analysis.findings.loss_rules import is_loss, may_rise
from nbtorchviz.analysis.spikes import spikes
from nbtorchviz.bus import EventBus
from nbtorchviz.events import FindingRaised, NonFiniteFound
from nbtorchviz.session.kept_frames import MOST_INCIDENTS, RECENT, KeptFrames, weakest
from nbtorchviz.session.metrics import MetricHistory

LOOK_S = 1.0
"""How often logged losses are looked at, at least."""
LOOK_FRAMES = RECENT // 2
"""After so many frames of a layer they are looked at in any case: older ones are kept far apart."""
_TALLEST, _PROBLEM, _NONFINITE = 1e20, 1e25, 1e30
"""Weights of incidents; a spike weighs its height, a hint nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Something went wrong at a step."""

    step: int
    kind: str
    """``"spike"`` of the loss, ``"nonfinite"`` or ``"finding"``."""
    text: str
    layer: str = ""
    """Layer, block or parameter to look at; ``""``: none in particular."""


class FlightRecorder:
    """Listens for incidents, and lets ``frames`` hold what is around them.

    Args:
        bus: findings and the first NaN are heard there.
        metrics: the logged losses; spikes are flagged there.
        frames: of the training batches.
        point: called with the layer in which the first NaN was traced, to take widgets there.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        bus: EventBus,
        metrics: MetricHistory,
        frames: KeptFrames,
        *,
        point: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics, self._frames, self._clock = metrics, frames, clock
        self._point, self._lock = point, threading.Lock()
        self._incidents: list[tuple[float, Incident]] = []
        """With their weights, as ``KeptFrames.hold`` takes them."""
        self._looked_at, self._added = clock(), 0
        self._seen: dict[tuple[int, str], int] = {}
        bus.subscribe(FindingRaised, self._found, inline=True)
        bus.subscribe(NonFiniteFound, self._broke, inline=True)

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """The newest and the gravest few before it; frames around them are kept as room allows.

        NaN weighs more than a problem that was found, and that more than a spike of the loss.
        """
        with self._lock:
            return tuple([incident for _, incident in self._incidents])

    def tend(self) -> None:
        """Look at the losses that were logged since last time. Call at boundaries."""
        now, added = self._clock(), self._frames.steps_added
        if now - self._looked_at < LOOK_S and added - self._added < LOOK_FRAMES:
            return
        self._looked_at, self._added = now, added
        newest = self._metrics.current_run
        for (run, name), view in self._metrics.views().items():
            if run != newest or not is_loss(name) or may_rise(name, "train"):
                continue
            first = min(self._seen.get((run, name), 0), len(view.values))
            self._seen = {key: at for key, at in self._seen.items() if key[0] == newest}
            self._seen[run, name] = len(view.values)
            for at in spikes(view.values, first):
                before, value = map(float, view.values[at - 1 : at + 1])
                step = int(view.steps[at])
                text = f"{name} jumps from {before:.3g} to {value:.3g}"
                self._metrics.flag(step, text, kind="finding")
                self._keep(Incident(step=step, kind="spike", text=text), _height(value - before))

    def _found(self, event: FindingRaised) -> None:
        if event.active and event.rule != "first_nonfinite":  # heard apart
            step = max(event.since_step, 0)
            incident = Incident(step=step, kind="finding", text=event.title, layer=event.layer)
            self._keep(incident, _PROBLEM if event.severity == "problem" else 0.0)

    def _broke(self, event: NonFiniteFound) -> None:
        step, layer, text = event.report.step, event.report.layer, event.report.title
        self._keep(Incident(step=step, kind="nonfinite", text=text, layer=layer), _NONFINITE)
        if event.report.replayed and layer:  # traced, not only seen somewhere on its way
            self._point(layer)

    def _keep(self, incident: Incident, weight: float) -> None:
        with self._lock:
            self._incidents.append((weight, incident))
            if len(self._incidents) > MOST_INCIDENTS:
                del self._incidents[weakest([weight for weight, _ in self._incidents])]
        self._frames.hold(incident.step, weight)


def _height(jump: float) -> float:
    return min(jump, _TALLEST) if math.isfinite(jump) else _TALLEST
