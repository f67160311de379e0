"""Take the numbers that users log, without making a device wait for them."""

import time
from collections.abc import Callable
from typing import Any

from torch import Tensor

from nbtorchviz.bus import EventBus
from nbtorchviz.events import ScalarLogged
from nbtorchviz.session.metrics import MetricHistory
from nbtorchviz.session.scalars import as_number


class ScalarLog:
    """Turns logged values into ``ScalarLogged`` events and keeps them.

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
        self._pending: list[tuple[Tensor, dict[str, Any]]] = []

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
        fields = {
            **self._common(),
            "phase": phase or "train",
            "epoch": self.epoch,
            "run": self._metrics.current_run,
        }
        if step is not None:
            fields["step"] = int(step)
        for name, value in metrics.items():
            if isinstance(value, Tensor) and value.device.type != "cpu" and value.numel() == 1:
                self._pending.append((value.detach().clone(), {**fields, "name": name}))
            else:
                self._publish(ScalarLogged(name=name, value=as_number(name, value), **fields))
        self._cost_s += time.perf_counter() - began

    def take_cost_s(self) -> float:
        """Return the seconds spent in ``log`` since this was last asked."""
        cost_s, self._cost_s = self._cost_s, 0.0
        return cost_s

    def read_pending(self, *, all_of_them: bool = False) -> None:
        """Publish logged device tensors; by default not the one just logged, to avoid a wait."""
        keep = 0 if all_of_them else 1
        while len(self._pending) > keep:
            value, fields = self._pending.pop(0)
            self._publish(ScalarLogged(value=float(value), **fields))

    def _publish(self, event: ScalarLogged) -> None:
        self._metrics.add(event)
        self._bus.publish(event)
