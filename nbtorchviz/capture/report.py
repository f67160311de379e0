"""What a tap tells its sink of failures, and where it learns the scale of a loss."""

import contextlib
import weakref
from typing import Any

from nbtorchviz.capture.plans import CatchSink


class Reporter:
    """Reports a failure of ours to the sink, once per place."""

    def __init__(self, sink: CatchSink) -> None:
        self._sink = sink
        self._seen: set[str] = set()

    def __call__(self, where: str, error: BaseException) -> None:
        """Report, unless this place has reported before."""
        if where not in self._seen:
            self._seen.add(where)
            with contextlib.suppress(Exception):
                self._sink.fault(where, error)


class Scaler:
    """A ``GradScaler`` that may be named later, held weakly."""

    def __init__(self) -> None:
        self._ref: weakref.ref[Any] | None = None

    def take(self, scaler: object) -> None:
        """Use this scaler from now on; None: none."""
        self._ref = None if scaler is None else weakref.ref(scaler)

    def scale(self) -> float | None:
        """Return the factor that losses are multiplied with; None when no scaler is known."""
        scaler = self._ref() if self._ref is not None else None
        return None if scaler is None else float(scaler.get_scale())
