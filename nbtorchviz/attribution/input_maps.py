"""Maps of the input through captum: Integrated Gradients, SmoothGrad, Occlusion, DeepLift.

Captum is imported when the first of them is asked for. All run as ``gradcam`` does: in eval mode,
behind the guard, with random streams put back. DeepLift has hooks and attributes in modules while
it runs and cannot pass in-place activations, so it gets a copy of the model.
"""

import copy
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from nbtorchviz.attribution.guard import guarded
from nbtorchviz.attribution.methods import name_of, need_captum
from nbtorchviz.attribution.passes import CamPass
from nbtorchviz.attribution.reading import checked_model, own_inputs
from nbtorchviz.attribution.result import CamResult
from nbtorchviz.attribution.targets import Target, logits_of
from nbtorchviz.capture.layers import INPUT
from nbtorchviz.capture.permission import asked
from nbtorchviz.errors import NoMapError

IG_STEPS = 32
SMOOTH_SAMPLES, SMOOTH_NOISE = 16, 0.15
"""Noise as a share of the picture's range."""
OCCLUDED = 6
"""A square covers this part of the shorter side; squares overlap by half."""
AT_ONCE = 8
"""So many pictures go through the model together."""


def input_maps(
    model: nn.Module, images: object, *, target: Target = None, method: str
) -> CamResult:
    """Map which pixels the score of a class depends on; the model is left as it was.

    Args:
        model: a classifier of pictures.
        images: one tensor (N, C, H, W), as the model takes it.
        target: None: the predicted class of each; an index; one index for each.
        method: one of ``INPUT_METHODS``.

    Returns:
        Maps (N, H, W) in the size of the input, ``layer="input"``; the notes say what was done.

    Raises:
        ImportError: captum is not installed.
        NoMapError: the model does not take pictures, puts out no class scores, or is of a kind that
            the method cannot explain.
        TypeError, ValueError: as ``gradcam``.
    """
    need_captum(method)
    root = checked_model(model)
    with CamPass(root, images, layers=()) as done:
        logits, notes = done.logits, done.notes
    if logits is None:
        raise NoMapError(f"{name_of(method)} needs a model that puts out class scores (N, K).")
    picture = _picture(own_inputs(root, images), method)
    classes = _classes(target, logits, method)
    asked(root)  # a copy may no more be made of a model in the middle of a step than a forward
    with ExitStack() as stack:
        runs = _copied(root) if method == "deeplift" else root
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # captum tells of the hooks that it takes off again
        stack.enter_context(guarded(runs, []))
        torch.default_generator.manual_seed(0)  # the guard puts the stream back
        maps, how = _ATTRIBUTED[method](_Scores(runs), picture, torch.tensor(classes))
    found = maps.detach().to("cpu", torch.float32).numpy()
    return CamResult(
        maps=np.ascontiguousarray(found),
        layer=INPUT,
        call=0,
        method=method,
        targets=tuple(classes),
        logits=logits,
        axes=("H", "W"),
        notes=(*notes, how),
    )


def runs_of(method: str, side: int = 224) -> int:
    """Return about how many forwards, or backwards, of each picture a method takes."""
    occluded = (2 * OCCLUDED) ** 2 if side >= OCCLUDED else side**2
    return {
        "integrated_gradients": 2 * IG_STEPS,
        "smoothgrad": 2 * SMOOTH_SAMPLES,
        "occlusion": occluded,
        "deeplift": 4,
    }[method]


class _Scores(nn.Module):
    """Class scores of a model, from a copy of the input: the model may write to it in place."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = False

    def forward(self, picture: Tensor) -> Tensor:
        logits = logits_of(self.model(picture.clone()))
        assert logits is not None
        return logits


_Attributed = tuple[Tensor, str]


def _integrated(scores: nn.Module, picture: Tensor, classes: Tensor) -> _Attributed:
    from captum.attr import IntegratedGradients

    found = IntegratedGradients(scores).attribute(
        picture, target=classes, n_steps=IG_STEPS, internal_batch_size=max(AT_ONCE, len(picture))
    )
    how = f"{IG_STEPS} steps from 0, in the model's numbers; sum over channels (Sundararajan 2017)"
    return cast(Tensor, found).sum(1), how


def _smoothed(scores: nn.Module, picture: Tensor, classes: Tensor) -> _Attributed:
    from captum.attr import NoiseTunnel, Saliency

    noise = SMOOTH_NOISE * float(picture.amax() - picture.amin())
    found = NoiseTunnel(Saliency(scores)).attribute(
        picture, nt_type="smoothgrad", nt_samples=SMOOTH_SAMPLES,
        nt_samples_batch_size=max(1, AT_ONCE // len(picture)), stdevs=noise, target=classes,
        abs=False,
    )  # fmt: skip
    how = (
        f"mean gradient of {SMOOTH_SAMPLES} copies with noise of {noise:.2g}; sum of sizes over "
        "channels, without a sign (Smilkov 2017)"
    )
    return cast(Tensor, found).abs().sum(1), how


def _occluded(scores: nn.Module, picture: Tensor, classes: Tensor) -> _Attributed:
    from captum.attr import Occlusion

    channels, height, width = picture.shape[1:]
    side = max(1, min(height, width) // OCCLUDED)
    step = max(1, side // 2)
    found = Occlusion(scores).attribute(
        picture, sliding_window_shapes=(channels, side, side), strides=(channels, step, step),
        target=classes, perturbations_per_eval=max(1, AT_ONCE // len(picture)),
    )  # fmt: skip
    how = f"fall of the score when a square of {side}×{side}, every {step}, is 0 (Zeiler 2014)"
    return cast(Tensor, found).mean(1), how


def _deeplifted(scores: nn.Module, picture: Tensor, classes: Tensor) -> _Attributed:
    from captum.attr import DeepLift

    try:
        found = DeepLift(scores).attribute(picture, target=classes)
    except (AssertionError, RuntimeError) as error:
        raise NoMapError(
            "DeepLift needs each activation to be a module of its own that is called once; this "
            f"model calls one twice or writes in place: {str(error).splitlines()[0][:200]}"
        ) from error
    how = (
        "against 0, rescale rule; sum over channels; activations that are no module count as linear"
    )
    return cast(Tensor, found).sum(1), f"{how} (Shrikumar 2017)"


_ATTRIBUTED: dict[str, Callable[[nn.Module, Tensor, Tensor], _Attributed]] = {
    "integrated_gradients": _integrated,
    "smoothgrad": _smoothed,
    "occlusion": _occluded,
    "deeplift": _deeplifted,
}


def _copied(root: nn.Module) -> nn.Module:
    """Copy a model, with its in-place activations out of place."""
    try:
        twin = copy.deepcopy(root)
    except Exception as error:  # a deep copy runs any code of the user's
        raise NoMapError(f"DeepLift runs on a copy, and this model has none: {error}") from error
    for module in twin.modules():
        if getattr(module, "inplace", False) is True:
            module.inplace = False  # type: ignore[assignment]
    return twin


def _picture(inputs: Any, method: str) -> Tensor:
    leaves = pytree.tree_leaves((inputs.args, inputs.kwargs))
    first = leaves[0] if leaves else None
    if len(leaves) != 1 or not isinstance(first, Tensor) or first.ndim != 4:
        raise NoMapError(f"{name_of(method)} needs a model that takes pictures (N, C, H, W) alone.")
    if not first.is_floating_point():
        raise NoMapError(f"{name_of(method)} needs pictures of floats, got {first.dtype}.")
    return first.detach()


def _classes(target: Target, logits: NDArray[np.float32], method: str) -> list[int]:
    count, known = logits.shape
    if target is None:
        return [int(best) for best in logits.argmax(1)]
    if isinstance(target, int | np.integer) and not isinstance(target, bool):
        found = [int(target)] * count
    elif isinstance(target, Sequence | np.ndarray | Tensor) and not isinstance(target, str):
        found = [int(each) for each in target]
    else:
        raise ValueError(
            f"{name_of(method)} explains classes: target must be None, a class index or one for "
            f"each picture, got {type(target).__name__}."
        )
    if len(found) != count or not all(0 <= each < known for each in found):
        raise ValueError(
            f"target must be classes from 0 to {known - 1}, one for each of {count} pictures, got "
            f"{found}."
        )
    return found
