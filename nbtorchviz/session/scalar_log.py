"""Take the numbers that users log, without making training or a device wait for them."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable

from torch import Tensor

from nbtorchviz.bus import EventBus
from nbtorchviz.events import ScalarLogged
from nbtorchviz.session.metrics import MetricHistory
from nbtorchviz.session.scalars import as_epoch, as_number, as_phase, as_step
from nbtorchviz.session.series import Row

LONGEST_QUEUE = 1024
"""Calls of ``log`` that may wait; nobody reads them in a script."""

_Entry = tuple[int, int, int, float, str, float | None, str, float | Tensor]
"""Step, forward, micro, elapsed seconds, phase, epoch, name and value of one number.

Flat on purpose: the garbage collector does not keep track of tuples of plain values. With a list
inside, what waits here made it collect everything now and then (130 ms, measured).
"""


class ScalarLog:
    """Turns logged values into ``ScalarLogged`` events and keeps them.

    ``log`` only reads the numbers and queues them: after a training step all that code is cold,
    and doing the rest there took 50 us a call (measured), in a batch 4. Whoever reads the history
    settles the queue first; with a subscriber on the bus it is settled at once.

    Args:
        metrics: where the numbers are kept.
        bus: where the events go.
        position: returns step, forward and micro-batch, for now.
        clock: seconds; elapsed time counts from here.
    """

    def __init__(
        self,
        metrics: MetricHistory,
        bus: EventBus,
        position: Callable[[], tuple[int, int, int]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.epoch: float | None = None
        """The last epoch that was logged."""
        self.alarm: Callable[[str, float], None] | None = None
        """Called with each number that is not finite, by the thread that logged it."""
        self._metrics, self._bus, self._position = metrics, bus, position
        self._clock, self._began = clock, clock()
        self._cost_s = 0.0
        self._lock = threading.RLock()
        self._queue: deque[_Entry] = deque()
        metrics.settle()  # of an earlier session whose curves go on here
        metrics.settle = self.settle

    def log(
        self,
        step: int | None,
        phase: str | None,
        epoch: float | None,
        metrics: dict[str, object],
    ) -> None:
        """Record ``metrics``, all or none; a tensor on another device is cloned and read later."""
        # Flat, because it runs cold: every call on this path costs about 1 us of each step.
        began = self._clock()
        now, forward, micro = self._position()
        at = now if step is None else as_step(step)
        phase = "train" if phase is None else as_phase(phase)
        epoch = self.epoch if epoch is None else as_epoch(epoch)
        elapsed_s = began - self._began
        entries: list[_Entry] = []
        for name, value in metrics.items():
            number: float | Tensor
            if type(value) is not Tensor or value.ndim or not value.is_cpu:
                number = _taken(name, value)
            elif type(number := value.item()) is not float:
                number = as_number(name, value)
            entries.append((at, forward, micro, elapsed_s, phase, epoch, name, number))
        self.epoch = epoch
        queue = self._queue
        queue.extend(entries)
        waiting = len(queue)
        if waiting >= LONGEST_QUEUE or self._bus.wants(ScalarLogged):
            self.settle(wait=False)
        elif waiting == len(entries):
            self._metrics.touch()
        if self.alarm is not None:
            self._sound(self.alarm, entries)
        self._cost_s += self._clock() - began

    @staticmethod
    def _sound(alarm: Callable[[str, float], None], entries: list[_Entry]) -> None:
        for *_, name, value in entries:
            if isinstance(value, float) and not math.isfinite(value):
                alarm(name, value)

    def take_cost_s(self) -> float:
        """Return the seconds spent in ``log`` since this was last asked."""
        cost_s, self._cost_s = self._cost_s, 0.0
        return cost_s

    def settle(self, *, wait: bool = True) -> None:
        """Publish what is queued.

        Args:
            wait: also read device tensors that were logged last, whose step may still be running.
        """
        if not self._queue:
            return
        with self._lock, self._metrics.quiet():
            entries = self._take(wait)
            if self._bus.wants(ScalarLogged):
                self._publish(entries)
            elif not self._metrics.extend(_columns(entries)):
                for step, _, _, elapsed_s, phase, epoch, name, value in entries:
                    row = step, float(value), epoch, elapsed_s
                    self._metrics.put(self._metrics.newest_run, name, phase, *row)

    def _take(self, wait: bool) -> list[_Entry]:
        """Empty the queue; what was logged last and must be waited for may stay behind."""
        entries = [self._queue.popleft() for _ in range(len(self._queue))]
        while not wait and entries and isinstance(entries[-1][-1], Tensor):
            self._queue.appendleft(entries.pop())
        return entries

    def _publish(self, entries: list[_Entry]) -> None:
        for step, forward, micro, elapsed_s, phase, epoch, name, value in entries:
            event = ScalarLogged(
                name=name,
                value=float(value),
                run=self._metrics.newest_run,
                epoch=epoch,
                step=step,
                forward=forward,
                micro=micro,
                elapsed_s=elapsed_s,
                phase=phase,
            )
            self._metrics.add(event)
            self._bus.publish(event)


def _columns(entries: list[_Entry]) -> dict[tuple[str, str], list[Row]]:
    """Sort values by metric, in the order of logging."""
    columns: dict[tuple[str, str], list[Row]] = {}
    for step, _, _, elapsed_s, phase, epoch, name, value in entries:
        columns.setdefault((name, phase), []).append((step, float(value), epoch, elapsed_s))
    return columns


def _taken(name: str, value: object) -> float | Tensor:
    """The number, or for a tensor on another device a clone that nobody changes any more."""
    if (
        isinstance(value, Tensor)
        and value.numel() == 1
        and not (value.is_cpu or value.is_complex())
    ):
        return value.detach().clone()
    return as_number(name, value)
