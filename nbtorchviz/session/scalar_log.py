"""Take the numbers that users log, without making training or a device wait for them."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from torch import Tensor

from nbtorchviz.bus import EventBus
from nbtorchviz.events import ScalarLogged
from nbtorchviz.session.metrics import MetricHistory
from nbtorchviz.session.scalars import as_number

LONGEST_QUEUE = 1024
"""Numbers that may wait; nobody reads them in a script."""


class ScalarLog:
    """Turns logged values into ``ScalarLogged`` events and keeps them.

    ``log`` only reads the number and queues it: after a training step all that code is cold, and
    doing the rest there took 50 us a call (measured), in a batch 8. Whoever reads the history
    settles the queue first; with a subscriber on the bus it is settled at once.

    Args:
        metrics: where the numbers are kept.
        bus: where the events go.
        common: returns the fields that every event carries, for now.
    """

    def __init__(
        self, metrics: MetricHistory, bus: EventBus, common: Callable[[], dict[str, Any]]
    ) -> None:
        self.epoch: float | None = None
        """The last epoch that was logged."""
        self._metrics, self._bus, self._common = metrics, bus, common
        self._cost_s = 0.0
        self._lock = threading.RLock()
        self._queue: deque[tuple[str, float | Tensor, dict[str, Any]]] = deque()
        metrics.settle()  # of an earlier session whose curves go on here
        metrics.settle = self.settle

    def log(
        self,
        step: int | None,
        phase: str | None,
        epoch: float | None,
        metrics: dict[str, object],
    ) -> None:
        """Record ``metrics``; a tensor on another device is cloned now and read later."""
        began = time.perf_counter()
        if epoch is not None:
            self.epoch = as_number("epoch", epoch)
        fields = self._common()
        fields["phase"] = phase or "train"
        fields["epoch"] = self.epoch
        if step is not None:
            fields["step"] = int(step)
        waiting = bool(self._queue)
        for name, value in metrics.items():
            self._queue.append((name, _taken(name, value), fields))
        if len(self._queue) >= LONGEST_QUEUE or self._bus.wants(ScalarLogged):
            self.settle(wait=False)
        elif not waiting:
            self._metrics.touch()
        self._cost_s += time.perf_counter() - began

    def take_cost_s(self) -> float:
        """Return the seconds spent in ``log`` since this was last asked."""
        cost_s, self._cost_s = self._cost_s, 0.0
        return cost_s

    def settle(self, *, wait: bool = True) -> None:
        """Publish what is queued.

        Args:
            wait: also read a device tensor that was logged last, whose step may still be running.
        """
        if not self._queue:
            return
        with self._lock:
            while self._queue:
                name, value, fields = self._queue[0]
                if not wait and isinstance(value, Tensor) and len(self._queue) == 1:
                    return
                self._queue.popleft()
                run = self._metrics.newest_run
                event = ScalarLogged(name=name, value=float(value), run=run, **fields)
                self._metrics.add(event)
                self._bus.publish(event)


def _taken(name: str, value: object) -> float | Tensor:
    """The number, or for a tensor on another device a clone that nobody changes any more."""
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex():
        return value.item() if value.device.type == "cpu" else value.detach().clone()
    return as_number(name, value)
