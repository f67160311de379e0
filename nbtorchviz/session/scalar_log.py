"""Take the numbers that users log, without making training or a device wait for them."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from nbtorchviz.bus import EventBus
from nbtorchviz.events import ScalarLogged
from nbtorchviz.session.metrics import MetricHistory
from nbtorchviz.session.scalars import as_epoch, as_number, as_phase, as_step, told_nothing
from nbtorchviz.session.series import Row

LONGEST_QUEUE = 1024
"""Numbers that may wait; nobody reads them in a script."""
COST_EVERY = 17
"""At every so-manyth call it is measured what one costs."""


class Counter(Protocol):
    """Knows how many optimizer steps are finished."""

    @property
    def count(self) -> int:
        """So many."""
        ...


_Place = tuple[str, float | None, bool, int, int]
"""What numbers that are logged one after the other mostly have in common: phase and epoch; whether
anybody had subscribed to them by then; forward and micro, known of those that were heard."""

_Entry = tuple[int, float, str, float | Tensor, _Place]
"""Step, clock, name and value of one number, and its place.

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
        tally: knows the step.
        place: returns forward and micro-batch, for now.
        clock: seconds; elapsed time counts from here.
    """

    def __init__(
        self,
        metrics: MetricHistory,
        bus: EventBus,
        tally: Counter,
        place: Callable[[], tuple[int, int]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics, self._bus = metrics, bus
        self._tally, self._where = tally, place
        self._choosing = threading.RLock()
        """Of the next three; taken while the bus holds its own."""
        self._alarm: Callable[[str, float], None] | None = None
        self._heard = False
        """Whether anybody subscribed to logged numbers."""
        self._plain = True
        """Whether numbers need only be queued: nobody hears them, and there is no alarm."""
        self._place: _Place = ("train", None, False, 0, 0)
        """Of numbers that are logged with nothing but their names."""
        self._clock, self._began = clock, clock()
        self._cost_s = 0.0
        self._calls = 0
        self._lock = threading.RLock()
        self._queue: deque[_Entry] = deque()
        metrics.settle()  # of an earlier session whose curves go on here
        metrics.settle = self.settle
        bus.tell_interest(ScalarLogged, self._listen)

    def sound(self, alarm: Callable[[str, float], None] | None) -> None:
        """Call ``alarm`` with each number that is not finite, on the thread that logs it."""
        with self._choosing:
            self._alarm = alarm
            self._plain = not self._heard and alarm is None

    def _listen(self, heard: bool) -> None:
        with self._choosing:
            self._heard = heard
            self._plain = not heard and self._alarm is None

    @property
    def epoch(self) -> float | None:
        """The last epoch that was logged."""
        return self._place[1]

    def log(
        self,
        step: int | None,
        phase: str | None,
        epoch: float | None,
        metrics: dict[str, object],
    ) -> None:
        """Record ``metrics``, all or none; a tensor on another device is cloned and read later."""
        if (
            metrics
            and self._plain
            and (step is None and phase is None and epoch is None)
            and self._queued(metrics)
        ):
            return
        began, heard = self._clock(), self._heard
        at = self._tally.count if step is None else as_step(step)
        phase = as_phase(phase)
        if not metrics and epoch is None:
            told_nothing()
        epoch = self.epoch if epoch is None else as_epoch(epoch)
        place = (phase, epoch, heard, *self._where())
        entries = [(at, began, name, _taken(name, value), place) for name, value in metrics.items()]
        if epoch != self.epoch:
            self._place = ("train", epoch, False, 0, 0)
        self._queue.extend(entries)
        waiting = len(self._queue)
        if heard or waiting >= LONGEST_QUEUE:
            self.settle(wait=False)
        elif waiting <= len(entries):
            self._metrics.touch()
        if self._alarm is not None:
            for _, _, name, value, _ in entries:
                if isinstance(value, float) and not math.isfinite(value):
                    self._alarm(name, value)
        self._cost_s += self._clock() - began

    def _queued(self, metrics: dict[str, object]) -> bool:
        """Queue plain numbers, as most loops log them; False, with nothing done, for others.

        This runs cold, so every line of it and every object it touches costs.
        """
        began, at, place = self._clock(), self._tally.count, self._place
        entries: tuple[_Entry, ...] = ()
        for name, value in metrics.items():
            number: object = value
            if type(value) is Tensor and value.is_cpu:
                try:
                    number = value.item()
                except RuntimeError:  # of several values
                    return False
            if type(number) is not float:
                return False
            entries += ((at, began, name, number, place),)
        queue = self._queue
        queue.extend(entries)
        waiting = len(queue)  # afterwards: a reader may empty it at any time
        if waiting <= len(entries):
            self._metrics.touch()
        elif waiting >= LONGEST_QUEUE:
            self.settle(wait=False)
        self._calls += 1
        if not self._calls % COST_EVERY:
            self._cost_s += COST_EVERY * (self._clock() - began)
        return True

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
            heard = any(place[2] for *_, place in entries)
            if heard or not self._metrics.extend(self._columns(entries)):
                for entry in entries:
                    self._keep(*entry)

    def _take(self, wait: bool) -> list[_Entry]:
        """Empty the queue; what was logged last and must be waited for may stay behind."""
        entries = [self._queue.popleft() for _ in range(len(self._queue))]
        while not wait and entries and isinstance(entries[-1][3], Tensor):
            self._queue.appendleft(entries.pop())
        return entries

    def _keep(self, step: int, at: float, name: str, value: float | Tensor, place: _Place) -> None:
        """Keep one number, and publish it if anybody had subscribed when it was logged."""
        phase, epoch, heard, forward, micro = place
        run, number, elapsed_s = self._metrics.newest_run, float(value), at - self._began
        if not heard:
            self._metrics.put(run, name, phase, step, number, epoch, elapsed_s)
            return
        event = ScalarLogged(
            name=name,
            value=number,
            run=run,
            epoch=epoch,
            step=step,
            forward=forward,
            micro=micro,
            elapsed_s=elapsed_s,
            phase=phase,
        )
        self._metrics.add(event)
        self._bus.publish(event)

    def _columns(self, entries: list[_Entry]) -> dict[tuple[str, str], list[Row]]:
        """Sort values by metric, in the order of logging."""
        columns: dict[tuple[str, str], list[Row]] = {}
        for step, at, name, value, place in entries:
            phase, epoch, *_ = place
            row = step, float(value), epoch, at - self._began
            columns.setdefault((name, phase), []).append(row)
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
