"""What a tap tells its sink of failures, and where it learns the scale of a loss."""

import contextlib
import sys
import weakref
from types import FrameType
from typing import Any

from torch.amp import GradScaler

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


_SCALER_STEP = GradScaler.step.__code__
_DEEPEST = 24
"""Frames between an optimizer's hook and the ``GradScaler`` that makes the step; schedulers and
wrappers put some there."""


class Scaler:
    """The ``GradScaler`` of a training, held weakly; found as it makes the optimizer's step."""

    def __init__(self) -> None:
        self._ref: weakref.ref[Any] | None = None

    def find(self) -> None:
        """Look for it on the stack. Call in a hook of the optimizer, on its thread."""
        frame: FrameType | None = sys._getframe(1)
        for _ in range(_DEEPEST):
            if frame is None:
                return
            if frame.f_code is _SCALER_STEP:
                self._ref = weakref.ref(frame.f_locals["self"])
                return
            frame = frame.f_back

    def scale(self) -> float | None:
        """Return the factor that losses are multiplied with; None when no scaler is known."""
        scaler = self._ref() if self._ref is not None else None
        return None if scaler is None else float(scaler.get_scale())
