"""Pack the layers overview; ``static/src/map_overview.js`` has the format."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.packets import pack
from nbtorchviz.session import Session
from nbtorchviz.session.overview import Overview, overview_of
from nbtorchviz.widgets.gradient_packet import kept_columns

LIMIT_BYTES = 160_000


def overview_packet(session: Session, statistic: str, seq: int, limit_bytes: int) -> bytes:
    """Return what is recorded of ``session`` as one packet of at most ``limit_bytes``."""
    log, layers = session.statistics, session.layers
    history = log.layers()  # once: a sample may come between two readings
    header, arrays = overview_parts(
        overview_of(history, layers, statistic),
        overview_of(history, layers, "nonfinite"),
        log.gaps(),
        statistic=statistic,
        seq=seq,
        limit_bytes=min(limit_bytes, LIMIT_BYTES),
    )
    return pack(header, arrays)


def overview_parts(
    shown: Overview,
    broken: Overview,
    gaps: Sequence[tuple[int, int]],
    *,
    statistic: str,
    seq: int,
    limit_bytes: int = LIMIT_BYTES,
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return header and arrays of one packet, for ``analysis.packets.pack``.

    What does not fit is thinned: of neighbouring steps the one farthest from usual stays, and any
    that held NaN or infinity before all others.

    Args:
        shown: the statistic.
        broken: ``"nonfinite"`` of the same layers and steps.
        gaps: stretches of steps (last sample before, first one after) without samples.
        statistic: its name.
        seq: number that views ack.
        limit_bytes: most bytes of the packet.
    """
    header: dict[str, Any] = {"version": 1, "seq": seq, "statistic": statistic}
    header |= {"layers": list(shown.layers), "gaps": [list(gap) for gap in gaps]}
    header["samples"] = len(shown.steps)
    bad = np.nan_to_num(broken.values) > 0
    used = 1000 + sum(len(key) + 4 for key in shown.layers)
    column = 4 + 5 * len(shown.layers)
    most = max(2, (limit_bytes - used) // column)
    kept = kept_columns(_unusual(shown.values, bad), most)
    arrays: dict[str, NDArray[Any]] = {
        "steps": shown.steps[kept].astype(np.uint32),
        "values": shown.values[:, kept],
    }
    if bad.any():
        arrays["bad"] = bad[:, kept].astype(np.uint8)
    return header, arrays


def _unusual(values: NDArray[np.float32], bad: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How far each step is from the layers' own means, in units of their own spread."""
    if not values.size:
        return np.zeros(values.shape[1])
    known = np.where(np.isnan(values), np.nan, values.astype(np.float64))
    count = np.maximum(1, (~np.isnan(known)).sum(axis=1, keepdims=True))
    mean = np.nansum(known, axis=1, keepdims=True) / count
    away = np.nan_to_num(np.abs(known - mean))
    spread = away.mean(axis=1, keepdims=True)
    return np.where(bad.any(axis=0), np.inf, (away / np.where(spread > 0, spread, 1)).max(axis=0))
