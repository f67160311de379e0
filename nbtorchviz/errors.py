"""The exceptions of nbtorchviz. Each says what was given, what is accepted and what to do.

::

    NbTorchVizError
    ├── ConditionError (also ValueError)       a breakpoint's condition that cannot be understood
    ├── LayerNotFoundError (also KeyError)     no such layer in this model
    ├── MetricNotFoundError (also KeyError)    no number of this name was logged
    ├── ModelGoneError (also RuntimeError)     the watched model was garbage-collected
    ├── NoMapError (also ValueError)           no map can be drawn of this layer or model
    ├── NonFiniteError                         NaN or Inf, where ``on_nonfinite("raise")`` asked
    ├── SessionClosedError (also RuntimeError) the session was closed
    └── RunRefusedError (also RuntimeError)    pause, step, probe or a second run not possible now

    StopTraining (BaseException)               the stop that the user asked for

A wrong type is a ``TypeError`` and a wrong value a ``ValueError``, as everywhere in Python.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbtorchviz.nonfinite import NonFiniteReport


class NbTorchVizError(Exception):
    """Base of every error that nbtorchviz raises for a reason of its own."""


class ConditionError(NbTorchVizError, ValueError):
    """A text is no condition; the message says what was given and what is accepted."""


class LayerNotFoundError(NbTorchVizError, KeyError):
    """No layer has this name; the message lists the nearest names."""

    def __init__(self, layer: object, known: Iterable[str], *, see: str = "session.layers") -> None:
        names = list(known)
        near = get_close_matches(str(layer), names, n=3, cutoff=0.4)
        hint = f"Nearest: {', '.join(map(repr, near))}" if near else "None is alike"
        plural = "layer" if len(names) == 1 else "layers"
        self.message = f"No layer {layer!r}. {hint} ({len(names)} {plural}; see {see})."
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message  # KeyError would show the repr, quotes included


class MetricNotFoundError(NbTorchVizError, KeyError):
    """No number of this name was logged; the message lists those that were."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would show the repr, quotes included


class ModelGoneError(NbTorchVizError, RuntimeError):
    """The watched model no longer exists; watch the new one."""


class NoMapError(NbTorchVizError, ValueError):
    """No map can be drawn of this layer or this model; the message says why and what to try."""


class NonFiniteError(NbTorchVizError):
    """Training made a NaN or an infinite value, and ``on_nonfinite("raise")`` asked to be told."""

    def __init__(self, report: "NonFiniteReport") -> None:
        self.report = report
        """Where it came from, as far as it could be traced."""
        super().__init__(report)

    def __str__(self) -> str:
        return self.report.text


CLOSED = "This session is closed; watch(model) opens a new one."


class SessionClosedError(NbTorchVizError, RuntimeError):
    """The session was closed; ``watch(model)`` opens a new one."""


class RunRefusedError(NbTorchVizError, RuntimeError):
    """A run, pause or probe was asked for that cannot happen now; the message says why."""


class StopTraining(BaseException):
    """Raised at a step boundary because the user pressed Stop.

    A ``BaseException`` so that ``except Exception`` in a training loop does not eat it.
    ``session.live()`` and ``train_in_background`` swallow it.
    """
