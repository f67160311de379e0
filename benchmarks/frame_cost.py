"""A new frame of 64 channels of 56x56: what Python spends from event to bytes (bar: 1.5 ms)."""

from typing import Any

import numpy as np

from benchmarks.timing import median_ms
from nbtorchviz.analysis.packets import pack
from nbtorchviz.events import ActivationCaptured, LayerInfo, Statistics
from nbtorchviz.session.kept_frames import KeptFrames
from nbtorchviz.widgets.browser_packet import Shot, frame_parts
from nbtorchviz.widgets.selection import Selection

SHAPES = {"64x56x56": (64, 56, 56), "512x7x7": (512, 7, 7), "2048x7x7": (2048, 7, 7)}


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Time building the packet and keeping the frame, for three shapes."""
    rows = []
    for name, shape in SHAPES.items():
        values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        event = ActivationCaptured(
            layer="conv",
            axes=("C", "H", "W"),
            values=values,
            shape=(1, *shape),
            statistics=Statistics(count=values.size, sampled=values.size),
        )
        info = LayerInfo(key="conv", type="Conv2d", depth=0, block=False)
        shot = Shot(event=event, info=info, selection=Selection(layer="conv"))
        packet = pack(*frame_parts(shot, 1))
        kept = KeptFrames()
        rows.append(
            {
                "frame": name,
                "python_ms": median_ms(lambda shot=shot: pack(*frame_parts(shot, 1))),
                "kB": len(packet) / 1000,
                "keep_ms": median_ms(lambda event=event, kept=kept: kept.add(event)),
            }
        )
    return rows
