"""Maps of the input through captum: Integrated Gradients, SmoothGrad, Occlusion, DeepLift.

Captum is imported when the first of them is asked for. All run as ``gradcam`` does: in eval mode,
behind the guard, with random streams put back. DeepLift has hooks and attributes in modules while
it runs and cannot pass in-place activations, so it gets a copy of the model.
"""

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from nbtorchviz.attribution.guard import guarded
from nbtorchviz.attribution.methods import name_of, need_captum
from nbtorchviz.attribution.passes import CamPass
from nbtorchviz.attribution.pieces import Pieces, finished
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
"""So many pictures go through the model together, where nothing else waits."""


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
    return finished(input_map_pieces(model, images, target=target, method=method))


def input_map_pieces(
    model: nn.Module,
    images: object,
    *,
    target: Target = None,
    method: str,
    at_once: int = AT_ONCE,
) -> Pieces[CamResult]:
    """Do ``input_maps`` in pieces of one run of ``at_once`` pictures; DeepLift is one piece.

    The model must be the same for all of them. Between two pieces it is as it was.
    """
    need_captum(method)
    root = checked_model(model)
    with CamPass(root, images, layers=()) as done:
        logits, notes = done.logits, done.notes
    if logits is None:
        raise NoMapError(f"{name_of(method)} needs a model that puts out class scores (N, K).")
    picture = _picture(own_inputs(root, images, graph=False), method)
    classes = _classes(target, logits, method)
    asked(root)  # a copy may no more be made of a model in the middle of a step than a forward
    runs = _copied(root) if method == "deeplift" else root
    together = max(1, at_once // len(picture))
    pieces = _ATTRIBUTED[method](_Scores(runs), picture, torch.tensor(classes), together)
    streams = _Streams()
    while True:
        with _own_turn(runs, streams):
            try:
                share = next(pieces)
            except StopIteration as ended:
                maps, how = ended.value
                break
        yield share
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


class _Streams:
    """Random streams of torch for one map: they begin at a seed and go on from piece to piece."""

    def __init__(self) -> None:
        self._cpu: Tensor | None = None
        self._cuda: list[Tensor] = []

    def take(self) -> None:
        """Put them in the place of the user's, which the guard puts back."""
        if self._cpu is None:
            torch.manual_seed(0)
            return
        torch.set_rng_state(self._cpu)
        if self._cuda:
            torch.cuda.set_rng_state_all(self._cuda)

    def keep(self) -> None:
        """Remember where they are."""
        self._cpu = torch.get_rng_state()
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            self._cuda = torch.cuda.get_rng_state_all()


@contextmanager
def _own_turn(runs: nn.Module, streams: _Streams) -> Iterator[None]:
    with warnings.catch_warnings(), guarded(runs, []):
        warnings.simplefilter("ignore")  # captum tells of the hooks that it takes off again
        streams.take()
        yield
        streams.keep()


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


_Attributed = Pieces[tuple[Tensor, str]]
"""Yields the share that is done; returns maps (N, H, W) and how they were made."""


def _integrated(scores: nn.Module, picture: Tensor, classes: Tensor, together: int) -> _Attributed:
    from captum.attr import IntegratedGradients
    from captum.attr._utils.approximation_methods import approximation_parameters

    # Cut as captum itself cuts the path for its internal_batch_size, which lets nobody in between.
    method, total = IntegratedGradients(scores), torch.zeros_like(picture)
    sizes, places = (each(IG_STEPS) for each in approximation_parameters("gausslegendre"))
    for begin in range(0, IG_STEPS, together):
        part = slice(begin, begin + together)
        (found,) = method._attribute(
            (picture,), (0,), target=classes, n_steps=len(sizes[part]),
            step_sizes_and_alphas=(sizes[part], places[part]),
        )  # fmt: skip
        total = total + found.detach()
        yield (begin + len(sizes[part])) / IG_STEPS
    how = f"{IG_STEPS} steps from 0, in the model's numbers; sum over channels (Sundararajan 2017)"
    return total.sum(1), how


def _smoothed(scores: nn.Module, picture: Tensor, classes: Tensor, together: int) -> _Attributed:
    from captum.attr import NoiseTunnel, Saliency

    noise = SMOOTH_NOISE * float(picture.amax() - picture.amin())
    method, total = NoiseTunnel(Saliency(scores)), torch.zeros_like(picture)
    for begin in range(0, SMOOTH_SAMPLES, together):
        count = min(together, SMOOTH_SAMPLES - begin)
        mean = method.attribute(
            picture, nt_type="smoothgrad", nt_samples=count, stdevs=noise, target=classes, abs=False
        )
        total = total + cast(Tensor, mean).detach() * (count / SMOOTH_SAMPLES)
        yield (begin + count) / SMOOTH_SAMPLES
    how = (
        f"mean gradient of {SMOOTH_SAMPLES} copies with noise of {noise:.2g}; sum of sizes over "
        "channels, without a sign (Smilkov 2017)"
    )
    return total.abs().sum(1), how


def _occluded(scores: nn.Module, picture: Tensor, classes: Tensor, together: int) -> _Attributed:
    from captum.attr import Occlusion

    channels, height, width = picture.shape[1:]
    side = max(1, min(height, width) // OCCLUDED)
    step = max(1, side // 2)
    windows = math.prod(1 + math.ceil((size - side) / step) for size in (height, width))
    recalled = _Recalled(scores)
    method, total = Occlusion(recalled), 1 + math.ceil(windows / together)
    while True:
        recalled.begin()
        try:
            found = method.attribute(
                picture, sliding_window_shapes=(channels, side, side),
                strides=(channels, step, step), target=classes, perturbations_per_eval=together,
            )  # fmt: skip
            break
        except _EnoughError:
            yield len(recalled.kept) / total
    how = f"fall of the score when a square of {side}×{side}, every {step}, is 0 (Zeiler 2014)"
    return cast(Tensor, found).mean(1), how


class _EnoughError(Exception):
    """The piece is done."""


class _Recalled:
    """Lets captum begin again for each piece: scores it has had are handed back, one run is new.

    Captum's loop over squares cannot be left and taken up again. What it does besides running
    the model is little.
    """

    def __init__(self, scores: nn.Module) -> None:
        self.kept: list[Tensor] = []
        self._scores, self._asked, self._new = scores, 0, 0

    def begin(self) -> None:
        """Allow one more run."""
        self._asked, self._new = 0, 1

    def __call__(self, picture: Tensor) -> Tensor:
        if self._asked == len(self.kept):
            if not self._new:
                raise _EnoughError
            self._new -= 1
            self.kept.append(self._scores(picture).detach())
        self._asked += 1
        return self.kept[self._asked - 1]


def _deeplifted(scores: nn.Module, picture: Tensor, classes: Tensor, together: int) -> _Attributed:
    from captum.attr import DeepLift

    yield 0.0
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


_ATTRIBUTED: dict[str, Callable[[nn.Module, Tensor, Tensor, int], _Attributed]] = {
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
