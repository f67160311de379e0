"""Statistics of all layers and of all parameters, beside bare training.

The floor is what hooks in Python cost that copy as many values and make nothing of them.
``pip install nansense`` for its rows, with every layer watched and its defaults otherwise.
"""

import contextlib
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
from torch import Tensor

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
    variants["floor: hooks that copy 512 values, every step"] = _copying(workload)
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


def _copying(workload: Any) -> Step:
    trainer = Trainer(workload)
    copies: list[np.ndarray] = []

    def take(tensor: Tensor) -> None:
        values = tensor.detach().numpy().reshape(-1)
        copies.append(values[:: max(1, values.size // 512)].copy())

    def ended(module: object, args: object, output: object) -> None:
        if isinstance(output, Tensor):
            take(output)
            output.register_hook(take)  # type: ignore[no-untyped-call]

    def step() -> None:
        copies.clear()
        # Hooks that stayed on the modules would cost less, and be saved with the model.
        handles = [layer.register_forward_hook(ended) for layer in layers]
        trainer.step()
        for handle in handles:
            handle.remove()

    layers = [layer for name, layer in trainer.model.named_modules() if name]
    return step


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
