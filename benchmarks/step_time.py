"""Step time with widgets open against bare training (the README's "Cost")."""

from contextlib import ExitStack
from typing import Any

import torch

import nbtorchviz as nbv
from benchmarks.timing import interleaved
from benchmarks.views import FakeView
from benchmarks.workloads import ALL, Trainer
from nbtorchviz.capture.boundaries import dispatcher

OPEN = {
    "watched, no widget": (),
    "one layer": ("activations",),
    "loss and activations": ("loss", "activations"),
    "loss, activations, gradients": ("loss", "activations", "gradients"),
}


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Train twins of each model: bare, with everything closed again, and with widgets open."""
    torch.set_num_threads(1)
    rows = []
    for name, make in ALL.items():
        if name == "vgg16":
            continue
        # Blocks are long: each begins with what waited while the other variants ran.
        rows += _measure(make(), block_s=1.0 if quick else 4.0, rounds=3 if quick else 7)
    return rows


def _measure(workload: Any, *, block_s: float, rounds: int) -> list[dict[str, Any]]:
    trainers = {name: Trainer(workload) for name in ("bare", "bare again", "closed again")}
    variants = {name: trainer.step for name, trainer in trainers.items()}
    variants["loss kept in a list"] = _listing(Trainer(workload))
    closed = nbv.watch(trainers["closed again"].model)
    nbv.ActivationBrowser(closed, layer=workload.layer).close()
    closed.close()
    courses: dict[str, Any] = {}

    def begin(variant: str) -> None:
        # Optimizer hooks are process-wide: training would pay for the sessions of the others.
        for name, course in courses.items():
            (dispatcher.join if name == variant else dispatcher.leave)(course)

    with ExitStack() as ends:
        views: list[FakeView] = []
        for name, kinds in OPEN.items():
            trainer = Trainer(workload)
            session = nbv.watch(trainer.model, trainer.optimizer)
            ends.callback(session.close)
            courses[name] = session.tap._course
            variants[name] = _logging(session, trainer)
            for kind in kinds:
                widget = _widget(kind, session, workload.layer)
                ends.callback(widget.close)
                views.append(FakeView(widget))
                ends.callback(views[-1].close)
        found = interleaved(variants, block_s=block_s, rounds=rounds, begin=begin)
        frames = sum(view.frames for view in views)
    return [
        {"model": workload.name, "variant": name, **figures, "frames": frames}
        for name, figures in found.items()
    ]


def _listing(trainer: Trainer) -> Any:
    """What a loop without nbtorchviz does to see its loss."""
    losses: list[float] = []
    return lambda: losses.append(trainer.step().item())


def _logging(session: Any, trainer: Trainer) -> Any:
    return lambda: session.log(loss=trainer.step())


def _widget(kind: str, session: Any, layer: str) -> Any:
    if kind == "loss":
        return nbv.LiveLossPlot(session)
    if kind == "gradients":
        return nbv.GradientInspector(session)
    return nbv.ActivationBrowser(session, layer=layer)
