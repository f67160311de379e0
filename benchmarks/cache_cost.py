"""The layer cache: cost of a sample, and how soon every layer of a deep model has been kept."""

from typing import Any

import torch

import nbtorchviz as nbv
from benchmarks.views import FakeView
from benchmarks.workloads import Trainer, resnet50, vgg16


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Train ResNet-50 and VGG-16 at 224 pixels with one browser open."""
    torch.set_num_threads(1)
    rows = []
    for workload in (resnet50(), vgg16()):
        trainer = Trainer(workload)
        session = nbv.watch(trainer.model, trainer.optimizer)
        browser = nbv.ActivationBrowser(session, layer=workload.layer)
        view = FakeView(browser)
        steps = 0
        kept = session.recorder.kept["batch"]
        most = 10 if quick else 120
        while len(kept.visited()) < len(session.layers) and steps < most:
            trainer.step()
            steps += 1
        overhead = session.overhead
        rows.append(
            {
                "model": workload.name,
                "layers": len(session.layers),
                "kept_layers": len(kept.visited()),
                "steps": steps,
                "elapsed_s": session.elapsed_s,
                "kept_MB": kept.size_bytes / 1e6,
                "share": overhead.share,
                "samples_per_s": overhead.samples_per_s,
            }
        )
        view.close()
        browser.close()
        session.close()
    return rows
