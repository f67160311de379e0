"""Can a map be trusted? Three checks on demand; each takes many forwards, so it comes in pieces.

A piece is one short run of the model. Who has a thread of its own calls the plain functions; who
shares one with a training takes the pieces, and lets other things happen between them.
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from nbtorchviz.analysis.rank_correlation import spearman
from nbtorchviz.attribution.explain import gradcam
from nbtorchviz.attribution.passes import CamPass
from nbtorchviz.attribution.pieces import Pieces, finished
from nbtorchviz.attribution.reading import checked_model
from nbtorchviz.attribution.result import CamResult
from nbtorchviz.attribution.trust_results import Agreement, Dependence, Faithfulness
from nbtorchviz.capture.layers import split_key

STEPS, RANDOMS, STAGES = 10, 10, 5
COMPARED = ("gradcam", "hirescam", "layercam")
BLUR = 11
"""Pixels of the box that is applied three times to make the baseline."""
PIECE_VALUES = 2**18
"""So many numbers of pictures at most go through the model in one piece; one picture at least."""


def faithfulness(
    model: nn.Module,
    image: Tensor,
    result: CamResult,
    *,
    steps: int = STEPS,
    randoms: int = RANDOMS,
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
        ValueError: not one picture, the map does not explain a class, or it is the same everywhere.
    """
    return finished(
        faithfulness_pieces(model, image, result, steps=steps, randoms=randoms, seed=seed)
    )


def faithfulness_pieces(
    model: nn.Module,
    image: Tensor,
    result: CamResult,
    *,
    steps: int = STEPS,
    randoms: int = RANDOMS,
    seed: int = 0,
) -> Pieces[Faithfulness]:
    """Do ``faithfulness`` in pieces of a few forwards."""
    index = result.targets[0]
    if image.ndim != 4 or len(image) != 1 or result.axes != ("H", "W") or isinstance(index, str):
        raise ValueError(
            "faithfulness() needs one picture of shape (1, C, H, W) and a map of it, of height and "
            f"width, for one class; got {tuple(image.shape)} and a map over "
            f"{result.axes} for {index!r}."
        )
    _must_vary(result)
    size = (image.shape[-2], image.shape[-1])
    source = np.random.default_rng(seed)
    maps = [result.maps[0], *source.random((randoms, *result.maps.shape[1:]), dtype=np.float32)]
    blurred = image
    for _ in range(3):
        blurred = F.avg_pool2d(blurred, BLUR, 1, BLUR // 2, count_include_pad=False)
    cuts = torch.linspace(0, 1, steps + 1, device=image.device)[:, None, None, None]
    at_once = max(1, PIECE_VALUES // image.numel())
    areas, count = [], 2 * len(cuts)
    for done, raw in enumerate(maps):
        large = F.interpolate(torch.from_numpy(raw)[None, None], size, mode="bilinear")
        order = large.flatten().argsort(descending=True, stable=True).argsort().to(image.device)
        gone = (order.reshape(size) / order.numel())[None, None] < cuts
        both = torch.cat([torch.where(gone, blurred, image), torch.where(gone, image, blurred)])
        parts = []
        for first in range(0, count, at_once):
            parts.append(_probabilities(model, both[first : first + at_once], int(index)))
            yield (done + min(1.0, (first + at_once) / count)) / len(maps)
        p = np.concatenate(parts)
        areas.append((_area(p[: steps + 1]), _area(p[steps + 1 :])))
    (deletion, insertion), others = areas[0], areas[1:]
    return Faithfulness(
        deletion,
        insertion,
        sum(other > deletion for other, _ in others),
        sum(other < insertion for _, other in others),
        randoms,
    )


def weight_dependence(
    model: nn.Module, images: object, result: CamResult, *, stages: int = STAGES, seed: int = 0
) -> Dependence:
    """Replace weights by random ones, from the head down, and see what is left of a map.

    Args:
        model: it is copied, and left as it was.
        images: what the map was made of.
        result: a map for classes.
        stages: after how many evenly spaced layers with weights to look.
        seed: of the weights; no global random stream is used.

    Raises:
        ValueError: the map explains something else than classes, or is the same everywhere.
    """
    return finished(weight_dependence_pieces(model, images, result, stages=stages, seed=seed))


def weight_dependence_pieces(
    model: nn.Module, images: object, result: CamResult, *, stages: int = STAGES, seed: int = 0
) -> Pieces[Dependence]:
    """Do ``weight_dependence`` in pieces of one map."""
    classes = _classes(result)
    _must_vary(result)
    twin = copy.deepcopy(checked_model(model))
    source = torch.Generator().manual_seed(seed)
    with CamPass(twin, images, layers=()) as kept:
        ran = list(dict.fromkeys(split_key(key)[0] for key in reversed(kept.called)))
    modules = dict(twin.named_modules())
    weighted = [name for name in ran if name in modules and modules[name]._parameters]
    if not weighted:
        raise ValueError("No layer of this model has weights to replace.")
    stops = {round(at) for at in np.linspace(0, len(weighted) - 1, min(stages, len(weighted)))}
    found: dict[str, float] = {}
    yield 1 / (1 + len(stops))
    for at, name in enumerate(weighted):
        for parameter in modules[name].parameters(recurse=False):
            values = torch.randn(parameter.shape, generator=source)
            spread = parameter.detach().float().cpu()
            scale = spread.std() if spread.numel() > 1 else spread.abs()
            parameter.data = (spread.mean() + scale * values).to(parameter)
        if at in stops:
            now = gradcam(twin, images, target=classes, layer=result.layer, method=result.method)
            found[name] = _alike(now, result)
            yield (1 + len(found)) / (1 + len(stops))
    return Dependence(found)


def agreement(
    model: nn.Module, images: object, result: CamResult, methods: Sequence[str] = COMPARED
) -> Agreement:
    """Compare a map with those of other methods, at the same layer for the same classes.

    Raises:
        ValueError: the map explains something else than classes, or is the same everywhere.
    """
    return finished(agreement_pieces(model, images, result, methods))


def agreement_pieces(
    model: nn.Module, images: object, result: CamResult, methods: Sequence[str] = COMPARED
) -> Pieces[Agreement]:
    """Do ``agreement`` in pieces of one map."""
    classes = _classes(result)
    _must_vary(result)
    others = [method for method in methods if method != result.method]
    found: dict[str, float] = {}
    for method in others:
        other = gradcam(model, images, target=classes, layer=result.layer, method=method)
        found[method] = _alike(other, result)
        yield len(found) / len(others)
    return Agreement(result.method, found)


def _must_vary(result: CamResult) -> None:
    flat = result.maps.reshape(len(result.maps), -1)
    if not np.isfinite(flat).all() or (flat.max(1) == flat.min(1)).any():
        why = "; ".join(result.notes)
        raise ValueError(
            f"The map of {result.layer!r} is the same everywhere or not finite, so there is "
            f"nothing to check{f': {why}' if why else ''}."
        )


def _alike(one: CamResult, other: CamResult) -> float:
    pairs = zip(one.maps, other.maps, strict=True)
    return float(np.mean([spearman(a, b) for a, b in pairs]))


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
