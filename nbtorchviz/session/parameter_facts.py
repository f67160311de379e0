"""Norms of whole layers, joined from the norms of their parameters."""

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.events import FloatArray, ParameterStatisticsCaptured

_WITHOUT_GRADIENT = frozenset({"frozen", "unused", "no optimizer"})


class ParameterFacts:
    """The newest norms of all parameters. Which belong to a layer is worked out once."""

    def __init__(self) -> None:
        self._newest: ParameterStatisticsCaptured | None = None
        self._updated: ParameterStatisticsCaptured | None = None
        self._read: NDArray[np.bool_] = np.zeros(0, dtype=bool)
        """Whether a parameter of the newest event has a gradient."""
        self._rows: dict[str, NDArray[np.intp]] = {}

    def observe(self, event: ParameterStatisticsCaptured) -> None:
        """Take newer norms."""
        if self._newest is None or self._newest.parameters != event.parameters:
            self._rows, self._updated = {}, None
        self._newest, self._read = event, _have_gradient(event)
        if len(event.update_norms) and not np.isnan(event.update_norms).all():
            self._updated = event  # updates are measured more rarely than the rest

    def has(self, layer: str) -> bool:
        """Tell whether a layer, or one inside it, has parameters."""
        return self._newest is not None and len(self._within(layer)) > 0

    def gradient_norm(self, layer: str) -> float | None:
        """Return the L2 norm of the gradient; None where no parameter has one."""
        if self._newest is None:
            return None
        rows = self._within(layer)
        return _norm(self._newest.gradient_norms, rows[self._read[rows]])

    def weight_norm(self, layer: str) -> float | None:
        """Return the L2 norm of the weights."""
        event = self._newest
        return None if event is None else _norm(event.norms, self._within(layer))

    def update_ratio(self, layer: str) -> float | None:
        """Return the norm of the last measured update over that of the weights."""
        event = self._updated
        if event is None:
            return None
        rows = self._within(layer)
        rows = rows[~np.isnan(event.update_norms[rows])]
        update, weight = _norm(event.update_norms, rows), _norm(event.norms, rows)
        return update / weight if update is not None and weight else None

    def _within(self, layer: str) -> NDArray[np.intp]:
        if self._newest is None:
            return np.zeros(0, dtype=np.intp)
        if layer not in self._rows:
            module, call, number = layer.rpartition("#")
            start = f"{module if call and number.isdigit() else layer}." if layer else ""
            names = self._newest.parameters
            if layer == "output" and not any(name.startswith(start) for name in names):
                start = ""  # the only layer of a model without submodules
            marks = [name.startswith(start) for name in names]
            self._rows[layer] = np.flatnonzero(np.array(marks, dtype=bool))
        return self._rows[layer]


def _have_gradient(event: ParameterStatisticsCaptured) -> NDArray[np.bool_]:
    """Tell NaN that stands for "there is none" from a norm that is NaN."""
    if len(event.states) == len(event.parameters):
        read = [state not in _WITHOUT_GRADIENT for state in event.states]
        return np.array(read, dtype=bool)
    number = ~np.isnan(event.gradient_norms)
    if len(event.nonfinite) == len(event.parameters):
        return np.asarray(number | (event.nonfinite > 0), dtype=bool)
    return np.asarray(number, dtype=bool)


def _norm(norms: FloatArray, rows: NDArray[np.intp]) -> float | None:
    """Join L2 norms into one; None where nothing was measured."""
    if not len(norms) or not len(rows):
        return None
    return float(np.linalg.norm(norms[rows].astype(np.float64)))
