"""Can a map be trusted? Three checks on demand, in numbers and words; each takes many forwards."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from nbtorchviz.analysis.rank_correlation import spearman
from nbtorchviz.attribution.explain import gradcam
from nbtorchviz.attribution.passes import CamPass
from nbtorchviz.attribution.reading import checked_model
from nbtorchviz.attribution.result import CamResult
from nbtorchviz.capture.layers import split_key

BLUR = 11
"""Pixels of the box that is applied three times to make the baseline."""


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """What happens to the class's probability when pixels go, or come, in the map's order."""

    deletion: float
    """Mean probability while the map's strongest pixels are blurred first; low is good."""
    insertion: float
    """Mean probability while they come back first into a blurred picture; high is good."""
    deletion_beats: int
    """How many random maps have a higher deletion."""
    insertion_beats: int
    """How many random maps have a lower insertion."""
    randoms: int

    @property
    def text(self) -> str:
        """Say it in one sentence; a bare area proves nothing, so the rank is in it."""
        return (
            f"Blurring the map's strongest pixels first leaves a mean probability of "
            f"{self.deletion:.3f}, lower than with {self.deletion_beats} of {self.randoms} random "
            f"maps; showing them first gives {self.insertion:.3f}, higher than with "
            f"{self.insertion_beats} of {self.randoms} (Petsiuk et al. 2018, RISE)."
        )


@dataclass(frozen=True, slots=True)
class Dependence:
    """How much of a map is left when weights are replaced by random ones, from the head down."""

    correlations: dict[str, float]
    """Layer down to which weights are random -> rank correlation with the map; the model's last
    layer first. NaN where the map became constant."""

    @property
    def text(self) -> str:
        """Say it in one sentence."""
        (head, first), (last, end) = (list(self.correlations.items())[at] for at in (0, -1))
        return (
            f"With random weights in {head!r} the map's rank correlation with the real one is "
            f"{first:.2f}, with random weights down to {last!r} {end:.2f}; a map that explains the "
            "model falls towards 0 (Adebayo et al. 2018, Sanity Checks for Saliency Maps; one "
            "image, one seed)."
        )


def faithfulness(
    model: nn.Module,
    image: Tensor,
    result: CamResult,
    *,
    steps: int = 10,
    randoms: int = 10,
    seed: int = 0,
) -> Faithfulness:
    """Delete and insert pixels in the order of a map, and of random maps, and compare.

    Args:
        model: a classifier; it is left as it was.
        image: the picture that the map was made of, shape (1, C, H, W).
        result: a map of it for one class.
        steps: how many times a part of the pixels goes or comes.
        randoms: how many random maps of the layer's size it is compared with.
        seed: of the random maps; no global random stream is used.

    Raises:
        ValueError: not one picture, or the map does not explain a class.
    """
    index = result.targets[0]
    if image.ndim != 4 or len(image) != 1 or result.axes != ("H", "W") or isinstance(index, str):
        raise ValueError(
            "faithfulness() needs one picture of shape (1, C, H, W) and a map of it, of height and "
            f"width, for one class; got {tuple(image.shape)} and a map over "
            f"{result.axes} for {index!r}."
        )
    size = (image.shape[-2], image.shape[-1])
    source = np.random.default_rng(seed)
    maps = [result.maps[0], *source.random((randoms, *result.maps.shape[1:]), dtype=np.float32)]
    blurred = image
    for _ in range(3):
        blurred = F.avg_pool2d(blurred, BLUR, 1, BLUR // 2, count_include_pad=False)
    areas = []
    for raw in maps:
        large = F.interpolate(torch.from_numpy(raw)[None, None], size, mode="bilinear")
        order = large.flatten().argsort(descending=True, stable=True).argsort().to(image.device)
        place = order.reshape(size) / order.numel()
        cuts = torch.linspace(0, 1, steps + 1, device=image.device)[:, None, None, None]
        gone = place[None, None] < cuts
        deleted, inserted = torch.where(gone, blurred, image), torch.where(gone, image, blurred)
        both = _probabilities(model, torch.cat([deleted, inserted]), int(index))
        areas.append((_area(both[: steps + 1]), _area(both[steps + 1 :])))
    (deletion, insertion), others = areas[0], areas[1:]
    return Faithfulness(
        deletion,
        insertion,
        sum(other > deletion for other, _ in others),
        sum(other < insertion for _, other in others),
        randoms,
    )


def weight_dependence(
    model: nn.Module, images: object, result: CamResult, *, stages: int = 5, seed: int = 0
) -> Dependence:
    """Replace weights by random ones, from the head down, and see what is left of a map.

    Args:
        model: it is copied, and left as it was.
        images: what the map was made of.
        result: a map for classes.
        stages: after how many evenly spaced layers with weights to look.
        seed: of the weights; no global random stream is used.

    Raises:
        ValueError: the map explains something else than classes.
    """
    classes = _classes(result)
    twin = copy.deepcopy(checked_model(model))
    source = torch.Generator().manual_seed(seed)
    with CamPass(twin, images, layers=()) as kept:
        ran = list(dict.fromkeys(split_key(key)[0] for key in reversed(kept.called)))
    modules = dict(twin.named_modules())
    weighted = [name for name in ran if name in modules and modules[name]._parameters]
    stops = {round(at) for at in np.linspace(0, len(weighted) - 1, min(stages, len(weighted)))}
    found: dict[str, float] = {}
    for at, name in enumerate(weighted):
        for parameter in modules[name].parameters(recurse=False):
            values = torch.randn(parameter.shape, generator=source)
            spread = parameter.detach().float().cpu()
            scale = spread.std() if spread.numel() > 1 else spread.abs()
            parameter.data = (spread.mean() + scale * values).to(parameter)
        if at in stops:
            now = gradcam(twin, images, target=classes, layer=result.layer, method=result.method)
            pairs = zip(now.maps, result.maps, strict=True)
            found[name] = float(np.mean([spearman(a, b) for a, b in pairs]))
    return Dependence(found)


def agreement(
    model: nn.Module,
    images: object,
    result: CamResult,
    methods: Sequence[str] = ("gradcam", "hirescam", "layercam"),
) -> dict[str, float]:
    """Return each method's rank correlation with a map, at the same layer for the same classes.

    Raises:
        ValueError: the map explains something else than classes.
    """
    classes = _classes(result)
    found = {}
    for method in methods:
        other = gradcam(model, images, target=classes, layer=result.layer, method=method)
        pairs = zip(other.maps, result.maps, strict=True)
        found[method] = float(np.mean([spearman(a, b) for a, b in pairs]))
    return found


def _classes(result: CamResult) -> list[int]:
    classes = [index for index in result.targets if not isinstance(index, str)]
    if len(classes) != len(result.maps):
        raise ValueError(f"This needs a map that explains a class, not {result.targets[0]!r}.")
    return classes


def _probabilities(model: nn.Module, images: Tensor, index: int) -> NDArray[np.float32]:
    with CamPass(model, images, layers=()) as done:
        if done.logits is None:
            raise ValueError("This model puts out no class scores (N, K).")
        exponents = np.exp(done.logits - done.logits.max(1, keepdims=True))
    shares: NDArray[np.float32] = exponents[:, index] / exponents.sum(1)
    return shares


def _area(curve: NDArray[np.float32]) -> float:
    """Return the mean of a curve by trapezoids."""
    return float((curve[1:] + curve[:-1]).mean() / 2)
