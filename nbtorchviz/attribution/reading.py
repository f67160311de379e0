"""Read a model, its inputs and what its layers put out, as maps need them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from nbtorchviz.analysis.layouts import Layout, infer_layout
from nbtorchviz.analysis.root_batch import Call, RootBatch, root_batch_size
from nbtorchviz.capture.layers import join_key, unwrap
from nbtorchviz.capture.leaves import refusal
from nbtorchviz.capture.plans import Inputs
from nbtorchviz.capture.probe import device_of, out_of_inference
from nbtorchviz.capture.survey import CallRecord


def checked_model(model: object) -> nn.Module:
    """Return the user's module inside its wrappers.

    Raises:
        TypeError: not a module, or scripted or traced.
    """
    if not isinstance(model, nn.Module):
        kind = type(model).__name__
        raise TypeError(f"gradcam() needs a torch.nn.Module, got {kind}: gradcam(model, images).")
    root = unwrap(model)
    if isinstance(root, torch.jit.ScriptModule):
        raise TypeError(
            "A scripted or traced model calls no hooks, so its layers cannot be seen: give the "
            "module that torch.jit.script or torch.jit.trace was given."
        )
    return root


def own_inputs(root: nn.Module, images: object, *, graph: bool = True) -> Inputs:
    """Copy the inputs to the model's device; with ``graph`` let one start at them."""
    if isinstance(images, Inputs):
        given = images
    elif isinstance(images, dict):
        given = Inputs((), images)
    else:
        given = Inputs(images if isinstance(images, tuple) else (images,))
    device = device_of(root)

    def own(leaf: object) -> object:
        if isinstance(leaf, np.ndarray):
            leaf = torch.from_numpy(leaf)
        if not isinstance(leaf, Tensor):
            return leaf
        leaf = leaf if device is None or leaf.device == device else leaf.to(device)
        if refusal(leaf):
            return leaf
        if not graph or not leaf.is_floating_point():
            return leaf.clone()
        # A copy of a leaf, so that the model may write to it in place.
        source = leaf.clone() if leaf.is_inference() else leaf.detach()
        return source.requires_grad_().clone()

    with out_of_inference(), torch.set_grad_enabled(graph):
        if not given.kwargs and all(type(arg) is Tensor for arg in given.args):  # as a rule
            return Inputs(tuple(map(own, given.args)))
        args, kwargs = pytree.tree_map(own, (given.args, given.kwargs))
    return Inputs(args, kwargs)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the shapes of one forward mean."""

    batch: RootBatch
    image_hw: tuple[int, int] | None
    layouts: dict[str, Layout]
    """By layer key."""
    called: tuple[str, ...]
    """Keys of all finished calls, in the order in which they finished."""


def read(inputs: Inputs, shapes: Sequence[tuple[int, ...]], calls: Sequence[CallRecord]) -> Reading:
    """Read the shapes of a forward's inputs and of what its calls put out."""
    batch, image_hw = batch_of(inputs, shapes, calls), image_size(shapes)
    called = tuple(join_key(call.name, call.call) for call in calls)
    return Reading(batch, image_hw, layouts_of(calls, batch, image_hw), called)


def batch_of(
    inputs: Inputs, shapes: Sequence[tuple[int, ...]], calls: Sequence[CallRecord]
) -> RootBatch:
    """Say how many samples there are, and along which axis."""
    first = inputs.args[0] if inputs.args else None
    if isinstance(first, list) and all(isinstance(item, Tensor) for item in first):
        return RootBatch(len(first), 0)  # images of different sizes, as detectors take them
    seen = [Call(call.type, call.shape, call.batch_first) for call in calls if call.shape]
    return root_batch_size(shapes, calls=seen)


def image_size(shapes: Sequence[tuple[int, ...]]) -> tuple[int, int] | None:
    """Return height and width of the input where it is an image."""
    first = next((shape for shape in shapes if shape), ())
    return (first[-2], first[-1]) if len(first) in (3, 4) and first[-3] in (1, 3, 4) else None


def layouts_of(
    calls: Sequence[CallRecord], batch: RootBatch, image_hw: tuple[int, int] | None
) -> dict[str, Layout]:
    """Infer the layout of every call, each with the one before as evidence."""
    found: dict[str, Layout] = {}
    before: tuple[tuple[int, ...], Layout] | None = None
    for call in calls:
        if not call.paths:
            continue
        layout = infer_layout(
            call.shape,
            module_type=call.type,
            batch_size=batch.size,
            batch_first=call.batch_first,
            unbatched=batch.unbatched,
            path=call.paths[0],
            image_hw=image_hw,
            previous=before,
            layer=call.name,
        )
        before = (call.shape, layout)
        found[join_key(call.name, call.call)] = layout
    return found


def mixes_samples(modules: Iterable[nn.Module]) -> bool:
    """Tell whether a sample's output depends on the others even in eval mode."""
    norm = torch.nn.modules.batchnorm._BatchNorm
    return any(isinstance(m, norm) and m.running_mean is None for m in modules)
