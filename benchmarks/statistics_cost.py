"""Statistics of all layers and of all parameters, beside bare training.

``pip install nansense`` for its rows, with every layer watched and its defaults otherwise.
"""

import contextlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import torch

import nbtorchviz as nbv
from benchmarks.timing import interleaved
from benchmarks.workloads import ALL, Trainer
from nbtorchviz.capture.plans import Plan

Step = Callable[[], object]
EVERY_STEP = {
    "all layers, every step": Plan(statistics=True),
    "parameters, every step": Plan(parameters=True),
}


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Train twins of each model: bare, read at every step, and read as often as a widget asks."""
    torch.set_num_threads(1)
    rows = []
    for name in ("mlp", "transformer", "resnet18"):
        workload = ALL[name]()
        with contextlib.ExitStack() as ends:
            trainers = {word: Trainer(workload) for word in ("bare", "bare again")}
            variants: dict[str, Step] = {word: each.step for word, each in trainers.items()}
            for word, plan in EVERY_STEP.items():
                variants[word] = ends.enter_context(_planned(workload, plan))
            variants["all, up to 10 a second, within the budget"] = ends.enter_context(
                _demanded(workload)
            )
            if find_spec("nansense") is not None:
                variants["nansense, all layers"] = ends.enter_context(_nansense(workload))
            found = interleaved(variants, block_s=1.0 if quick else 5.0, rounds=3 if quick else 7)
        rows += [{"model": workload.name, "variant": kind, **one} for kind, one in found.items()]
    return rows


@contextlib.contextmanager
def _planned(workload: Any, plan: Plan) -> Iterator[Step]:
    trainer = Trainer(workload)
    session = nbv.watch(trainer.model, trainer.optimizer)
    session.recorder.next_plan = lambda phase: plan
    session.tap.look()
    yield trainer.step
    assert session.findings() is not None
    session.close()


@contextlib.contextmanager
def _demanded(workload: Any) -> Iterator[Step]:
    trainer = Trainer(workload)
    session = nbv.watch(trainer.model, trainer.optimizer)
    session.recorder.recording.demand(0, lambda: True)
    session.tap.look()
    yield trainer.step
    session.close()


@contextlib.contextmanager
def _nansense(workload: Any) -> Iterator[Step]:
    import nansense

    trainer = Trainer(workload)
    session = nansense.start(trainer.model, optimizer=trainer.optimizer)
    session.step_run()
    for layer in session.layer_names:
        session.watch(layer)

    def step() -> None:
        with session.batch(phase="train", epoch=0):
            trainer.step()

    yield step
    session.close()
