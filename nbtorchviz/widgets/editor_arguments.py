"""Check what users pass to an input editor."""

from collections.abc import Sequence

import numpy as np

from nbtorchviz.analysis.painting import Point
from nbtorchviz.arguments import real, refusal

Places = Sequence[Sequence[float]]


def points_of(given: Places) -> tuple[Point, ...]:
    """Return one or more (x, y)."""
    accepted = "one or more (x, y) of finite numbers, such as [(3, 4), (10, 4)]"
    try:
        found = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise refusal("points", accepted, given) from None
    if found.ndim != 2 or found.shape[1] != 2 or not len(found) or not np.isfinite(found).all():
        raise refusal("points", accepted, given, typed=True)
    return tuple((float(x), float(y)) for x, y in found.tolist())


def width_of(size: float, most: int) -> float:
    """Return the width of a line in pixels."""
    return real("size", size, f"from 1 to {most} pixels", lambda x: 1 <= x <= most)


def values_of(value: float | Sequence[float], channels: int) -> tuple[float, ...]:
    """Return one number per channel."""
    accepted = "a finite number" + (f", or {channels} of them" if channels > 1 else "")
    try:
        found = np.asarray(value, np.float64).reshape(-1)
    except (TypeError, ValueError):
        raise refusal("value", accepted, value) from None
    if len(found) not in (1, channels) or not np.isfinite(found).all():
        raise refusal("value", accepted, value, typed=True)
    return tuple(np.broadcast_to(found, channels).tolist())
