"""``gradcam``: where, at a layer, the evidence for what a model said lies."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal, overload

from torch import nn

from nbtorchviz.arguments import named_layer
from nbtorchviz.attribution.input_maps import input_maps
from nbtorchviz.attribution.methods import ALL_METHODS, INPUT_METHODS, name_of
from nbtorchviz.attribution.passes import CamPass
from nbtorchviz.attribution.reading import checked_model
from nbtorchviz.attribution.result import CamResult
from nbtorchviz.attribution.structure import structure_of
from nbtorchviz.attribution.targets import Scores, Target
from nbtorchviz.capture.layers import INPUT, Tree, split_key
from nbtorchviz.errors import LayerNotFoundError, NoMapError

ALL = "all"


@overload
def gradcam(  # type: ignore[overload-overlap]
    model: nn.Module, images: object, *, layer: Literal["all"] | list[str] | tuple[str, ...],
    target: Target = ..., method: str = ...,
) -> dict[str, CamResult]: ...  # fmt: skip
@overload
def gradcam(
    model: nn.Module, images: object, *, layer: str | None = ..., target: Target = ...,
    method: str = ...,
) -> CamResult: ...  # fmt: skip
def gradcam(
    model: nn.Module,
    images: object,
    *,
    target: Target = None,
    layer: str | list[str] | tuple[str, ...] | None = None,
    method: str = "gradcam",
) -> CamResult | dict[str, CamResult]:
    """Map where, at a layer, the evidence for a class lies; the model is left as it was.

    One forward in eval mode and one backward down to the layer: no weight, buffer, ``.grad``,
    mode, hook or random stream changes, and it works in ``no_grad``, in ``inference_mode`` and
    with frozen models.

    Args:
        model: a classifier, or any model if ``target`` is a callable.
        images: what ``model(images)`` takes, a batch (N, C, H, W) as a rule; a tuple for several
            arguments, a dictionary for keywords.
        target: None explains the predicted class of each sample; an index one class; a sequence
            one class per sample; a callable takes the output and returns one score per sample.
            See ``nbtorchviz.attribution.targets`` for contrasts, masks, boxes and embeddings.
        layer: name as in ``model.named_modules()``; ``"relu#1"`` is the second call of ``relu``.
            None chooses the last layer with positions that is not a pooling. ``"all"`` returns
            every layer with positions, in the order of execution, and a list of names those.
        method: ``"gradcam"``, ``"hirescam"``, ``"layercam"``, ``"xgradcam"`` or ``"gradcam++"``.
            With the extra ``captum`` also ``"integrated_gradients"``, ``"smoothgrad"``,
            ``"occlusion"`` and ``"deeplift"``: maps of the input for classes, of many runs each.

    Returns:
        A ``CamResult``, or for several layers a dictionary of them by layer key. Its ``maps``
        are raw: before the ReLU, in the layer's own size. ``heatmaps((H, W))`` is for the eye.

    Raises:
        TypeError: the model is no module, is scripted or traced, or the target is none.
        ValueError: no such method, or the target does not fit the output.
        LayerNotFoundError: no such layer; the message lists the nearest names.
        NoMapError: the layer, or the model, has no positions to draw a map of.
        RunRefusedError: a forward now would leave a trace.
        ImportError: the method is captum's, and captum is not installed.
    """
    if method not in ALL_METHODS:
        raise ValueError(f"method must be one of {', '.join(ALL_METHODS)}, got {method!r}.")
    if method in INPUT_METHODS:
        if layer not in (None, INPUT):
            raise ValueError(
                f"{name_of(method)} maps the input, not a layer: leave layer= out, got {layer!r}."
            )
        return input_maps(model, images, target=target, method=method)
    if layer == ALL:
        with CamPass(model, images) as done:
            if not done.taps:
                done.default_key(done.scores(target))
            return done.maps(target, method=method, last=True)
    if isinstance(layer, list | tuple):
        tree = structure_of(checked_model(model)).tree
        keys = list(dict.fromkeys(find_layer(tree, name) for name in layer))
        with CamPass(model, images, layers=[split_key(key)[0] for key in keys] + keys) as done:
            for key in keys:
                must_have_map(done, key)
            return done.maps(target, keys=keys, method=method, last=True)
    with kept_layer(model, images, layer, target=target, choose=True) as (done, key, scores):
        result = done.maps(
            target if scores is None else scores, keys=[key], method=method, last=True
        )[key]
    if layer is None or result.maps.any():
        return result
    return _with_advice(result, model, images, target)


@contextmanager
def kept_layer(
    model: nn.Module,
    images: object,
    layer: str | None,
    *,
    target: Target = None,
    choose: bool = False,
) -> Iterator[tuple[CamPass, str, Scores | None]]:
    """Run the model once and keep one layer.

    Args:
        model: see ``gradcam``.
        images: see ``gradcam``.
        layer: its name; None: the default one.
        target: what the default layer has to explain.
        choose: whether it has to explain the target; otherwise it is the last with positions.

    Yields:
        The pass, the key of the layer among its ``taps``, and the scores that it explains if it
        had to be chosen.
    """
    root = checked_model(model)
    if layer is not None:
        tree = structure_of(root).tree
        key = find_layer(tree, layer)
        with CamPass(model, images, layers=[split_key(key)[0], key]) as done:
            must_have_map(done, key)
            yield done, key, None
        return
    done = CamPass(model, images, lazy=True, usual=True)
    if done.usual:
        with done:
            key, scores = done.usual, done.scores(target) if choose else None
            kept = key in done.taps and not done.taps[key].overwritten
            if kept and (scores is None or done.explains(key, scores)):
                yield done, key, scores
                return
        done = CamPass(model, images, lazy=True)
    with done:
        scores = done.scores(target) if choose else None
        key = done.candidates()[-1] if scores is None else done.default_key(scores)
        if not done.taps[key].overwritten:
            yield done, key, scores
            return
        done.note_overwritten()
    with CamPass(model, images, layers=[split_key(key)[0]]) as done:
        yield done, key, None


def find_layer(tree: Tree, layer: object) -> str:
    """Return the canonical key of a layer.

    Raises:
        TypeError: not a name.
        LayerNotFoundError: no such layer.
    """
    known = [entry.name for entry in tree.entries.values() if entry.lists]
    accepted = f"a name such as {known[-1]!r}, a list of names, None or 'all'"
    name = named_layer(layer, f"{accepted} (see model.named_modules())")
    with suppress(LayerNotFoundError):
        return tree.find(name, ())
    raise LayerNotFoundError(name, known, see="model.named_modules()")


def must_have_map(done: CamPass, key: str) -> None:
    """Refuse a layer that has no map in this forward.

    Raises:
        NoMapError: it was not called, or put out no positions; the message says which.
    """
    if key in done.taps:
        return
    name = split_key(key)[0]
    calls = [other for other in done.called if split_key(other)[0] == name]
    if key in done.flat:
        shape = done.flat[key]
        raise NoMapError(
            f"The output of {key!r} is {shape}: it has no positions, one value for each sample "
            "and place, to draw a map of. Choose a layer before the pooling, or layer=None."
        )
    if calls and key not in calls:
        raise NoMapError(f"{name!r} was called {len(calls)}×, so there is no {key!r}: {calls}.")
    if calls:
        raise NoMapError(f"{key!r} puts out no floating-point tensor with positions.")
    raise NoMapError(
        f"{key!r} was not called in this forward: its parent uses its weights directly, or "
        "another branch was taken. Choose its parent, or layer=None."
    )


def _with_advice(result: CamResult, model: nn.Module, images: object, target: Target) -> CamResult:
    """Name a layer to try where a map is blank."""
    with CamPass(model, images, lazy=True) as done:
        scores = done.scores(target)
        try:
            key = done.default_key(scores)
        except NoMapError:
            return result
    advice = f"try layer={key!r}" if key != result.layer else "try another target"
    return CamResult(
        **{name: getattr(result, name) for name in result.__slots__ if name != "notes"},
        notes=(*result.notes, advice),
    )
