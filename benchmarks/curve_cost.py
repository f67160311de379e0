"""A curve update at 1,000 to 1,000,000 points: Python time and bytes (bar: 40 ms, 40 kB)."""

from typing import Any

import numpy as np

from benchmarks.timing import median_ms
from nbtorchviz.events import ScalarLogged
from nbtorchviz.session.curves import CurveView, curve_packet
from nbtorchviz.session.metrics import MetricHistory
from nbtorchviz.session.series import KeptSums


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Log a loss every step and a validation loss every 100th; time one more update."""
    rows = []
    for points in (1_000, 10_000, 100_000) if quick else (1_000, 10_000, 100_000, 1_000_000):
        history, sums = MetricHistory(), KeptSums()
        values = np.random.default_rng(0).normal(1.0, 0.1, points)
        for step, value in enumerate(values):
            history.add(ScalarLogged(step=step, name="loss", value=float(value)))
            if step % 100 == 0:
                history.add(ScalarLogged(step=step, name="val_loss", value=float(value)))

        def update(history: MetricHistory = history, sums: KeptSums = sums) -> bytes:
            last = history.latest("loss").step
            history.add(ScalarLogged(step=last + 1, name="loss", value=1.0))
            return curve_packet(history, CurveView(smoothing=0.9), sums=sums)

        size = len(update())
        rows.append({"points": points, "python_ms": median_ms(update), "kB": size / 1000})
    return rows
