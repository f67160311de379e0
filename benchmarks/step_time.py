"""Step time with widgets open against bare training (the README's "Cost")."""

from typing import Any

import torch

import nbtorchviz as nbv
from benchmarks.timing import interleaved
from benchmarks.views import FakeView
from benchmarks.workloads import ALL, Trainer


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Measure bare, bare again, closed, watched only, one layer, and both widgets."""
    torch.set_num_threads(1)
    rows = []
    for name, make in ALL.items():
        if name == "vgg16":
            continue
        # Blocks are long: each begins with what waited while the other variants ran.
        rows += _measure(make(), block_s=1.0 if quick else 4.0, rounds=4 if quick else 10)
    return rows


def _measure(workload: Any, *, block_s: float, rounds: int) -> list[dict[str, Any]]:
    names = ("bare", "bare again", "closed", "watched", "one layer", "both widgets")
    trainers = {name: Trainer(workload) for name in names}
    closed = nbv.watch(trainers["closed"].model)
    nbv.ActivationBrowser(closed, layer=workload.layer).close()
    closed.close()
    sessions = {
        name: nbv.watch(trainers[name].model, trainers[name].optimizer) for name in names[3:]
    }
    widgets = [
        nbv.ActivationBrowser(sessions["one layer"], layer=workload.layer),
        nbv.ActivationBrowser(sessions["both widgets"], layer=workload.layer),
        nbv.LiveLossPlot(sessions["both widgets"]),
    ]
    views = [FakeView(widget) for widget in widgets]

    def both() -> None:
        sessions["both widgets"].log(loss=trainers["both widgets"].step())

    variants = {name: trainer.step for name, trainer in trainers.items()}
    variants["both widgets"] = both
    found = interleaved(variants, block_s=block_s, rounds=rounds)
    frames = sum(view.frames for view in views)
    for view in views:
        view.close()
    for widget in widgets:
        widget.close()
    for session in sessions.values():
        session.close()
    return [
        {"model": workload.name, "variant": name, **figures, "frames": frames}
        for name, figures in found.items()
    ]
