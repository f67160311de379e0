"""One statistic of every layer's output over the steps: what the layers overview shows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.arguments import refusal
from nbtorchviz.session.statistics_log import LAYER_FIELDS, History


class Overview(NamedTuple):
    """L layers at C sampled steps."""

    layers: tuple[str, ...]
    """Layer keys in the order of the tree, blocks included; those never measured are left out."""
    steps: NDArray[np.int64]
    """Shape (C,), rising: the step that each sample's boundary completed."""
    values: NDArray[np.float32]
    """Shape (L, C), in the unit of the activation; a share from 0 to 1 for ``"zero_share"``, a
    count for ``"nonfinite"``. NaN: not measured."""


def overview_of(history: History | None, layers: Sequence[str], statistic: str = "std") -> Overview:
    """Return one statistic of all layers.

    Args:
        history: of the layers' statistics; None: there is none yet.
        layers: keys in the order of the tree.
        statistic: of the at most 2,048 values x that were read of the layer's whole output, the
            batch included, NaN and infinity left out: ``"mean"`` sum(x)/n, ``"std"``
            sqrt(mean((x - mean)**2)), ``"minimum"``, ``"maximum"``, ``"zero_share"``
            count(x == 0)/n; or ``"nonfinite"``, how many of them are NaN or infinite.

    Raises:
        ValueError: no such statistic.
    """
    if statistic not in LAYER_FIELDS:
        accepted = f"one of {', '.join(map(repr, LAYER_FIELDS))}"
        raise refusal("statistic", accepted, statistic, typed=True)
    if history is None:
        return Overview((), np.empty(0, np.int64), np.empty((0, 0), np.float32))
    place = {key: row for row, key in enumerate(history.rows)}
    rows = tuple(key for key in layers if key in place)
    values = history.columns[statistic][[place[key] for key in rows]]
    return Overview(rows, history.steps, values)
