"""Statistics of all layers and of all parameters, beside bare training.

``pip install nansense`` for its rows, with every layer watched and its defaults otherwise.
"""

import contextlib
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import nbtorchviz as nbv
from benchmarks.twins import Step, beside_bare
from benchmarks.workloads import Trainer
from nbtorchviz.capture.plans import Plan

EVERY_STEP = {
    "all layers, every step": Plan(statistics=True),
    "parameters, every step": Plan(parameters=True),
}


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Train twins of each model: bare, read at every step, and read as often as a widget asks."""
    return beside_bare(_watched, quick=quick, rounds=7)


def _watched(workload: Any, ends: contextlib.ExitStack) -> dict[str, Step]:
    variants = {
        word: ends.enter_context(_planned(workload, plan)) for word, plan in EVERY_STEP.items()
    }
    variants["all, up to 10 a second, within the budget"] = ends.enter_context(_demanded(workload))
    if find_spec("nansense") is not None:
        variants["nansense, all layers"] = ends.enter_context(_nansense(workload))
    return variants


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
