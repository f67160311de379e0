"""Compute maps of the input, not of layers: they take many runs, so only when asked."""

import time

import numpy as np
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from nbtorchviz.analysis.cam_frame import INPUT_SIDE, NONE, OWN, CamFrame, cam_layer
from nbtorchviz.attribution.input_maps import AT_ONCE, input_map_pieces
from nbtorchviz.attribution.methods import name_of
from nbtorchviz.attribution.passes import CamPass
from nbtorchviz.attribution.pieces import Pieces, finished
from nbtorchviz.attribution.result import CamResult
from nbtorchviz.capture.layers import INPUT
from nbtorchviz.capture.plans import Inputs
from nbtorchviz.errors import NoMapError
from nbtorchviz.session.cam_compute import (
    ONE_SCORE,
    SECOND,
    CamRequest,
    CamShot,
    picked,
    probabilities,
    tops_of,
)
from nbtorchviz.session.cam_images import CamImages

UNSIGNED = "smoothgrad"
"""Sizes of gradients: the difference of two such maps says nothing."""


def compute_input(
    model: nn.Module, images: CamImages, request: CamRequest, *, step: int = 0
) -> CamShot:
    """Make maps of what is explained, and of the class it is held against; no others.

    Args:
        model: the watched model; it is left as it was.
        images: what it is run on.
        request: its method is one of ``INPUT_METHODS``.
        step: written on the result.

    Raises:
        ImportError: captum is not installed.
        NoMapError, RunRefusedError, TypeError, ValueError: as ``input_maps``.
    """
    return finished(input_pieces(model, images, request, step=step))


def input_pieces(
    model: nn.Module,
    images: CamImages,
    request: CamRequest,
    *,
    step: int = 0,
    at_once: int = AT_ONCE,
) -> Pieces[CamShot]:
    """Do ``compute_input`` in pieces of one run of ``at_once`` pictures."""
    method, count, began_s = request.method, len(images), time.time()
    if callable(request.own):
        raise NoMapError(f"{name_of(method)} explains classes: choose one in place of your target.")
    if request.contrast is not None and method == UNSIGNED:
        raise NoMapError("SmoothGrad shows sizes without a sign: choose “nothing” against it.")
    with CamPass(model, images.inputs, layers=()) as done:
        logits, notes, samples = done.logits, done.notes, done.samples
    if logits is None:
        raise NoMapError(f"{name_of(method)} needs a model that puts out class scores (N, K).")
    p = probabilities(logits, samples)
    unedited, p = dict(zip(images.unedited, p[count:], strict=True)), p[:count]
    order = np.argsort(-logits[:count], axis=1, kind="stable").tolist()
    usual = [ranked[0] for ranked in order] if request.own is None else list(request.own)
    columns = [usual if request.target is None else [request.target] * count]
    if request.contrast == SECOND:
        pairs = zip(order, columns[0], strict=True)
        columns.append([next((c for c in ranked if c != own), own) for ranked, own in pairs])
    elif request.contrast is not None:
        columns.append([int(request.contrast)] * count)
    inputs = _first(images.inputs, count)
    passes: list[dict[str, CamResult]] = []
    for column in columns:
        pieces = input_map_pieces(model, inputs, target=column, method=method, at_once=at_once)
        while True:
            try:
                yield (len(passes) + next(pieces)) / len(columns)
            except StopIteration as ended:
                passes.append({INPUT: ended.value})
                break
    maps = np.stack([each[INPUT].maps for each in passes], axis=1)
    shape = next(tuple(leaf.shape[1:]) for leaf in pytree.tree_leaves(inputs.args))
    how = passes[0][INPUT].notes[-1]
    layer = cam_layer(INPUT, maps, type="", shape=shape, note=how, most_side=INPUT_SIDE)
    classes = np.array(columns, np.int32).T
    if logits.shape[1] == 1:
        classes, usual = np.full_like(classes, OWN), [OWN] * count
    return CamShot(
        frame=CamFrame(
            step=step,
            method=method,
            linear=method != UNSIGNED,
            layers=(layer,),
            layer=INPUT,
            classes=classes,
            against=np.full_like(classes, NONE),
            p=picked(p, classes),
            explained=tuple(usual),
            tops=tops_of(p),
            names=images.names,
            labels=images.labels,
            classes_known=0 if logits.shape[1] == 1 else logits.shape[1],
            captured_at_s=began_s,  # when the weights were these
            notes=(*notes, *([images.note] if images.note else [])),
        ),
        passes=tuple(passes),
        keys=(INPUT,),
        others=(),
        own=ONE_SCORE if usual[0] == OWN else "" if request.own is None else "as given",
        images=images,
        p=p,
        unedited=unedited,
    )


def _first(inputs: Inputs, count: int) -> Inputs:
    """Leave out what edited images were before."""

    def cut(leaf: object) -> object:
        return leaf[:count] if isinstance(leaf, Tensor) and leaf.ndim > 1 else leaf

    args, kwargs = pytree.tree_map(cut, (inputs.args, inputs.kwargs))
    return Inputs(args, kwargs)
