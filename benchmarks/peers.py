"""What other ways of watching cost, beside ours in the same run. Those not installed are left out.

``pip install wandb tensorboard`` for all of them. wandb runs offline, in a folder that goes again.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import nbtorchviz as nbv
from benchmarks.twins import Step, beside_bare
from benchmarks.views import FakeView
from benchmarks.workloads import Trainer

OFTEN = 10
"""TensorBoard's histograms are written every so many steps."""


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Train twins of each model: bare, with all of our widgets, and as others watch."""
    return beside_bare(_watched, quick=quick, rounds=5)


def _watched(workload: Any, ends: contextlib.ExitStack) -> dict[str, Step]:
    variants = {"all our widgets": ends.enter_context(_ours(workload))}
    if find_spec("wandb") is not None:
        variants |= ends.enter_context(_wandb(workload))
    if find_spec("tensorboard") is not None:
        label = f"TensorBoard histograms every {OFTEN} steps"
        variants[label] = ends.enter_context(_tensorboard(workload))
    return variants


@contextlib.contextmanager
def _ours(workload: Any) -> Iterator[Step]:
    trainer = Trainer(workload)
    session = nbv.watch(trainer.model, trainer.optimizer)
    widgets = [
        nbv.LiveLossPlot(session),
        nbv.ActivationBrowser(session, layer=workload.layer),
        nbv.GradientInspector(session),
    ]
    views = [FakeView(widget) for widget in widgets]
    yield lambda: session.log(loss=trainer.step())
    for each in (*views, *widgets):
        each.close()
    session.close()


@contextlib.contextmanager
def _wandb(workload: Any) -> Iterator[dict[str, Step]]:
    import wandb

    os.environ["WANDB_SILENT"] = "true"
    with tempfile.TemporaryDirectory() as folder:
        run, variants = wandb.init(mode="offline", dir=folder), {}
        for index, every in enumerate((1, 100)):
            trainer = Trainer(workload)
            run.watch(trainer.model, log="all", log_freq=every, idx=index)
            variants[f"wandb.watch all, log_freq={every}"] = _logged(run, trainer)
        yield variants
        run.unwatch()
        run.finish()


def _logged(run: Any, trainer: Trainer) -> Step:
    return lambda: run.log({"loss": trainer.step()})


@contextlib.contextmanager
def _tensorboard(workload: Any) -> Iterator[Step]:
    from torch.utils.tensorboard import SummaryWriter

    with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:
        trainer, count = Trainer(workload), 0

        def step() -> None:
            nonlocal count
            loss = trainer.step()
            writer.add_scalar("loss", loss.item(), count)
            if count % OFTEN == 0:
                for name, parameter in trainer.model.named_parameters():
                    writer.add_histogram(name, parameter, count)
                    if parameter.grad is not None:
                        writer.add_histogram(f"{name}.grad", parameter.grad, count)
            count += 1

        yield step
