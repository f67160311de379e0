"""Which channels are dead: zero for every sample of every batch that was looked at.

One image's zeros say nothing about a channel; only a whole window of batches does.
"""

import numpy as np
from numpy.typing import NDArray

WINDOW = 32
"""A channel is called dead after this many sampled batches in a row in which it was all zero."""


class SilentChannels:
    """Follows, layer by layer, since when each channel has been zero."""

    def __init__(self) -> None:
        self._since: dict[str, NDArray[np.int64]] = {}
        self._run: dict[str, NDArray[np.int64]] = {}

    def observe(self, layer: str, step: int, zero: NDArray[np.bool_]) -> None:
        """Count one batch: ``zero[c]`` says that channel c was zero for every sample of it."""
        run = self._run.get(layer)
        if run is None or len(run) != len(zero):
            run = self._run[layer] = np.zeros(len(zero), np.int64)
            self._since[layer] = np.full(len(zero), step, np.int64)
        since = self._since[layer]
        since[zero & (run == 0)] = step
        run[zero] += 1
        run[~zero] = 0

    def dead(self, layer: str) -> dict[int, int]:
        """Return {channel: step since which it has been zero} for the dead channels."""
        run = self._run.get(layer)
        if run is None:
            return {}
        since = self._since[layer]
        return {int(c): int(since[c]) for c in np.flatnonzero(run >= WINDOW)}

    def clear(self) -> None:
        """Forget everything, when another model is followed."""
        self._since.clear()
        self._run.clear()
