"""The numbers that were logged, exact to a million a metric, kept so that drawing them is cheap."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.curves import eval_name
from nbtorchviz.errors import MetricNotFoundError
from nbtorchviz.events import ScalarLogged
from nbtorchviz.session.series import LIMIT, Batch, Point, Row, Series, SeriesView, as_batch

MOST_RUNS = 64
"""Runs that are remembered; the oldest is forgotten first."""
MOST_FLAGS = 200
MOST_GAPS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """One training run."""

    run: int
    """From 1."""
    name: str = ""
    """``"run 1"`` unless it was given another name."""
    detail: str = ""
    """What differed, such as ``"lr 0.4"``; may be empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """Something that happened at a step, for the lane above the curve."""

    step: int
    text: str
    """Few words: ``"lr 0.05 → 0.005"``."""
    kind: str = "change"
    """``"change"`` (made on purpose) or ``"finding"``."""
    run: int = 1
    target: str = ""
    """Layer key that a click on the flag shows; may be empty."""


class History(tuple[NDArray[np.int64], NDArray[np.float64]]):
    """``steps, values = history(name)``, and what was thinned."""

    note: str
    """Empty when every logged value is there, else a sentence."""

    def __new__(cls, steps: NDArray[np.int64], values: NDArray[np.float64], note: str) -> Self:
        """Pair the columns."""
        history = super().__new__(cls, (steps, values))
        history.note = note
        return history

    @property
    def steps(self) -> NDArray[np.int64]:
        """int64, shape (N,), rising."""
        return self[0]

    @property
    def values(self) -> NDArray[np.float64]:
        """float64, shape (N,), NaN and infinity as they were logged."""
        return self[1]

    def __repr__(self) -> str:
        thinned = f", {self.note}" if self.note else ""
        return f"History(steps={self[0]!r}, values={self[1]!r}{thinned})"


class MetricHistory:
    """All logged numbers of one session. Any thread may call any method.

    A metric whose step goes back begins a new run: a loop was started again. Metrics logged with
    ``phase="eval"`` are kept beside the training ones, ``loss`` as ``"loss/eval"``.

    Args:
        limit: values kept of one metric in one run; beyond it they are thinned 2:1, the smallest
            and the largest of every four stay.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._lock = threading.RLock()
        self._series: dict[tuple[int, str], Series] = {}
        self._runs: dict[int, RunInfo] = {1: RunInfo(run=1, name="run 1")}
        self._flags: list[Flag] = []
        self._gaps: list[tuple[int, int, int]] = []
        self._listeners: list[Callable[[], None]] = []
        self._muted = 0
        self.version = 0
        """Grows with every change."""
        self.settle: Callable[[], None] = lambda: None
        """Called before numbers are read: adds those that wait somewhere to be added."""

    def add(self, event: ScalarLogged) -> None:
        """Keep one logged number."""
        self.put(
            event.run,
            event.name,
            event.phase,
            event.step,
            event.value,
            event.epoch,
            event.elapsed_s,
        )

    def put(
        self,
        run: int,
        name: str,
        phase: str,
        step: int,
        value: float,
        epoch: float | None,
        elapsed_s: float,
    ) -> None:
        """Keep one logged number, given as the fields of its event."""
        if phase == "eval":
            name = eval_name(name, phase)
        with self._lock:
            series = self._series.get((run, name))
            if series is None:
                if run not in self._runs:
                    self._remember(RunInfo(run=run, name=f"run {run}"))
                series = self._series[run, name] = Series(self._limit)
            elif step < series.last_step and run == next(reversed(self._runs)):
                run = self._begin_run()
                series = self._series[run, name] = Series(self._limit)
            series.append(step, value, epoch, elapsed_s)
            self._changed()

    def extend(self, columns: Mapping[tuple[str, str], Sequence[Row]]) -> bool:
        """Keep many numbers of the newest run, by (name, phase): 1 us each, ``put`` takes 4.

        Returns:
            False, with nothing kept, where one of them begins a run or needs care.
        """
        with self._lock:
            run = self.newest_run
            ready: list[tuple[Series, Batch]] = []
            for (name, phase), rows in columns.items():
                series, batch = self._series.get((run, eval_name(name, phase))), as_batch(rows)
                if series is None or batch is None or not series.takes(batch):
                    return False
                if any(series is other for other, _ in ready):  # two names of one metric
                    return False
                ready.append((series, batch))
            for series, batch in ready:
                series.extend(batch)
            self._changed()
            return True

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Tell the listeners once at the end, not at every change."""
        with self._lock:
            self._muted += 1
            before = self.version
            try:
                yield
            finally:
                self._muted -= 1
                if self.version != before:
                    self._changed()

    def begin_run(self, name: str = "", detail: str = "") -> int:
        """Start a new run and return its number; a current run without values is used again."""
        self.settle()
        return self._begin_run(name, detail)

    def _begin_run(self, name: str = "", detail: str = "") -> int:
        with self._lock:
            run = self.newest_run
            if any(key[0] == run for key in self._series):
                run += 1
            self._remember(RunInfo(run=run, name=name or f"run {run}", detail=detail))
            self._changed()
            return run

    def describe_run(self, detail: str, run: int | None = None) -> None:
        """Say in few words what differs in a run (default: the current one): ``"lr 0.4"``."""
        with self._lock:
            run = self.newest_run if run is None else run
            self._runs[run] = replace(self._runs[run], detail=detail)
            self._changed()

    def flag(
        self,
        step: int,
        text: str,
        *,
        kind: str = "change",
        run: int | None = None,
        target: str = "",
    ) -> None:
        """Mark a step with words. The newest 200 flags are kept."""
        with self._lock:
            run = self.newest_run if run is None else run
            self._flags.append(Flag(step=step, text=text, kind=kind, run=run, target=target))
            del self._flags[:-MOST_FLAGS]
            self._changed()

    def gap(self, first: int, last: int, run: int | None = None) -> None:
        """Note that nothing was recorded from step ``first`` to ``last``."""
        with self._lock:
            self._gaps.append((self.newest_run if run is None else run, first, last))
            del self._gaps[:-MOST_GAPS]
            self._changed()

    def listen(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call ``changed`` (cheap, not blocking) after every change; the result stops that."""
        with self._lock:
            self._listeners.append(changed)

        def stop() -> None:
            with self._lock:
                if changed in self._listeners:
                    self._listeners.remove(changed)

        return stop

    @property
    def runs(self) -> tuple[RunInfo, ...]:
        """The runs so far, the current one last."""
        self.settle()
        with self._lock:
            return tuple(self._runs.values())

    @property
    def current_run(self) -> int:
        """Number of the newest run."""
        self.settle()
        return self.newest_run

    @property
    def newest_run(self) -> int:
        """The same as far as numbers were added, whatever waits to be."""
        with self._lock:
            return next(reversed(self._runs))

    def touch(self) -> None:
        """Tell the listeners that there is something new to read."""
        with self._lock:
            self._changed()

    def names(self, run: int | None = None) -> tuple[str, ...]:
        """Metrics of ``run`` (default: of any run), in the order they were first logged."""
        self.settle()
        with self._lock:
            return tuple(
                dict.fromkeys(name for at, name in self._series if run is None or at == run)
            )

    def history(self, name: str, run: int | None = None) -> History:
        """Return (steps, values) of one metric, as copies.

        Args:
            name: as logged; with ``phase="eval"`` the name is ``"loss/eval"``.
            run: its number; by default the newest run that has this metric.

        Raises:
            KeyError: no such metric was logged; the message lists those that were.
        """
        self.settle()
        with self._lock:
            series = self._find(name, run)
            view = series.view()
            return History(view.steps.copy(), view.values.copy(), view.note)

    def latest(self, name: str, run: int | None = None) -> Point:
        """Return the last logged (step, value). Raises as ``history``."""
        self.settle()
        with self._lock:
            return self._find(name, run).latest

    def best(self, name: str, run: int | None = None, *, largest: bool = False) -> Point | None:
        """Return the smallest (or largest) finite (step, value), the first of equals."""
        self.settle()
        with self._lock:
            series = self._find(name, run)
            return series.largest if largest else series.smallest

    def views(self) -> dict[tuple[int, str], SeriesView]:
        """Return every series by (run, name), in the order they were first logged.

        No values are copied: what is returned never changes, later values are in later views.
        """
        self.settle()
        with self._lock:
            return {key: series.view() for key, series in self._series.items()}

    @property
    def flags(self) -> tuple[Flag, ...]:
        """Marked steps, in the order they were noted."""
        with self._lock:
            return tuple(self._flags)

    @property
    def gaps(self) -> tuple[tuple[int, int, int], ...]:
        """Stretches without recording: (run, first step, last step)."""
        with self._lock:
            return tuple(self._gaps)

    def _find(self, name: str, run: int | None) -> Series:
        runs = reversed(self._runs) if run is None else (run,)
        for at in runs:
            if (at, name) in self._series:
                return self._series[at, name]
        where = "" if run is None else f" in run {run}"
        names = dict.fromkeys(n for at, n in self._series if run is None or at == run)
        known = ", ".join(map(repr, names)) or "none yet"
        raise MetricNotFoundError(f"No metric {name!r}{where} was logged. Logged: {known}.")

    def _remember(self, info: RunInfo) -> None:
        self._runs[info.run] = info
        if len(self._runs) > MOST_RUNS:
            oldest = next(iter(self._runs))
            del self._runs[oldest]
            self._series = {key: s for key, s in self._series.items() if key[0] != oldest}
            self._flags = [flag for flag in self._flags if flag.run != oldest]
            self._gaps = [gap for gap in self._gaps if gap[0] != oldest]

    def _changed(self) -> None:
        self.version += 1
        if self._muted:
            return
        for changed in self._listeners:
            changed()
