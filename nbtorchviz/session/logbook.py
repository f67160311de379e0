"""What a loss plot needs of a session when there is no model to watch: a place to log to."""

import threading
import time
from collections.abc import Callable
from typing import Any

from nbtorchviz.events import ScalarLogged
from nbtorchviz.live.mode import ModeReport
from nbtorchviz.session.budget import Budget
from nbtorchviz.session.line import Line
from nbtorchviz.session.linking import Linking
from nbtorchviz.session.metrics import MetricHistory
from nbtorchviz.session.scalars import as_epoch, as_number, as_phase, as_step, told_nothing


class Logbook:
    """Keeps logged numbers and sends them to widgets, without a model.

    Args:
        metrics: where numbers go.
        clock: returns seconds; tests replace it.
    """

    model = None
    model_name = ""

    def __init__(
        self, metrics: MetricHistory, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.metrics = metrics
        self.step = 0
        """Largest step logged in this run, counted from 1 where none is given."""
        self.epoch: float | None = None
        self.faults: list[str] = []
        self.budget = Budget(0.02, clock=clock)
        self._clock, self._began = clock, clock()
        self.line = Line(self.fault)
        self.sender, self.audience = self.line.sender, self.line.audience
        self.linking = Linking(self.fault, clock)
        self._lock = threading.RLock()
        self._at_step: set[str] = set()
        self._pending: list[tuple[Any, dict[str, Any]]] = []

    @property
    def elapsed_s(self) -> float:
        """Seconds since the logbook was opened."""
        return self._clock() - self._began

    def log(
        self,
        step: int | None = None,
        *,
        phase: str | None = None,
        epoch: float | None = None,
        **metrics: object,
    ) -> None:
        """Record numbers; as ``Session.log``, but counting steps by the calls.

        Without ``step`` a metric that was logged already begins the next step, so
        ``log(loss=a)`` and then ``log(val_loss=b)`` belong to the same one. All or nothing is
        recorded.
        """
        step = None if step is None else as_step(step)
        epoch = None if epoch is None else as_epoch(epoch)
        phase = as_phase(phase)
        if not metrics and epoch is None:
            told_nothing()
        values = {name: _taken(name, value) for name, value in metrics.items()}
        with self._lock:
            names = {f"{phase}/{name}" for name in metrics}
            if step is not None:
                self.step = step
                self._at_step = set()
            elif not self.step or names & self._at_step:
                self.step += 1
                self._at_step = set()
            self._at_step |= names
            self.epoch = self.epoch if epoch is None else epoch
            fields = {
                "step": self.step,
                "elapsed_s": self.elapsed_s,
                "phase": phase,
                "epoch": self.epoch,
            }
            for name, value in values.items():
                if isinstance(value, float):
                    self._add(value, {**fields, "name": name})
                else:
                    self._pending.append((value, {**fields, "name": name}))
        self.sender.boundary()

    def read_pending(self) -> None:
        """Read tensors that were logged from a device; may wait for it."""
        with self._lock:
            pending, self._pending = self._pending, []
            for value, fields in pending:
                self._add(float(value), fields)

    def state(self) -> dict[str, Any]:
        """Return the ``state`` trait of a widget without a model: JSON values only."""
        mode = self.line.mode()
        latency_s = self.sender.latency_s
        return {
            "model": "",
            "parameters": 0,
            "run": self.metrics.current_run,
            "step": self.step,
            "phase": "train",
            "epoch": self.epoch,
            "elapsed_s": self.elapsed_s,
            "chip": {
                "mode": mode.mode if self.step or mode.mode != "idle" else "waiting",
                "latency_ms": None if latency_s is None else round(1000 * latency_s),
                "cost": None,
                "why": mode.reason,
                "remedy": mode.remedy,
            },
            "status": self._status(mode),
            "now_s": time.time(),
            "control": {"state": "idle"},
        }

    def flush(self, timeout_s: float = 5.0) -> None:
        """Wait until all that was logged has been handed to the browser's line."""
        self.read_pending()
        self.sender.flush(timeout_s)

    def fault(self, where: str, error: BaseException, count: int = 1) -> None:
        """Remember a failure of ours; never raises."""
        self.faults = [*self.faults, f"{where}: {type(error).__name__}: {error}"][-100:]

    def looked_at(self, owner: int) -> None:
        """Note that somebody sees a widget again: nothing has to be captured for it."""

    def tick(self) -> None:
        """Note that time passes."""

    def close(self) -> None:
        """Stop sending."""
        self.sender.close()

    def _add(self, value: float, fields: dict[str, Any]) -> None:
        self.metrics.add(ScalarLogged(value=value, run=self.metrics.current_run, **fields))

    def _status(self, mode: ModeReport) -> dict[str, Any] | None:
        if self.faults:
            title = "Something in nbtorchviz failed; your training goes on."
            return {"code": "fault", "level": "error", "title": title, "lines": self.faults[:1]}
        if mode.mode == "one-way":
            return {"code": "one_way", "level": "warn", "title": mode.reason, "lines": []}
        return None


def _taken(name: str, value: Any) -> Any:
    """The number, or for a tensor on a device a clone that is read later."""
    return value.detach().clone() if _on_device(value) else as_number(name, value)


def _on_device(value: Any) -> bool:
    device = getattr(value, "device", None)
    return (
        getattr(device, "type", "cpu") not in ("cpu", "meta")
        and hasattr(value, "detach")
        and value.numel() == 1
    )
