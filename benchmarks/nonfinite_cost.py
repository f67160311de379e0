"""Guarding a training against NaN, some steps a second or every step, beside bare training."""

from typing import Any

import torch

import nbtorchviz as nbv
from benchmarks.timing import interleaved
from benchmarks.workloads import ALL, Trainer


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Train a twin of each model bare, with ``on_nonfinite("tell")``, and with every step."""
    torch.set_num_threads(1)
    rows = []
    for name in ("mlp", "transformer", "resnet18"):
        trainers = {kind: Trainer(ALL[name]()) for kind in ("bare", "again", "sampled", "every")}
        sessions = [nbv.watch(trainers[kind].model) for kind in ("sampled", "every")]
        sessions[0].on_nonfinite("tell")
        sessions[1].on_nonfinite("tell", every_step=True)
        found = interleaved(
            {kind: trainer.step for kind, trainer in trainers.items()},
            block_s=0.05 if name == "mlp" else 0.5,
            rounds=3 if quick else 15,
        )
        rows += [{"model": name, "variant": kind, **numbers} for kind, numbers in found.items()]
        for session in sessions:
            assert session.first_nonfinite is None
            session.close()
    return rows
