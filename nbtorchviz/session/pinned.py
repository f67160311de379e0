"""Read what users give as a probe: the arguments of a forward, and labels that belong to them."""

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from nbtorchviz.arguments import refusal, said
from nbtorchviz.capture.plans import Inputs
from nbtorchviz.errors import ModelGoneError, NbTorchVizError, RunRefusedError
from nbtorchviz.events import InputCaptured

if TYPE_CHECKING:
    from nbtorchviz.session.session import Session

_LABELS = "class indices, one per item of the probe"


def run_probe(session: "Session", given: object, labels: object = None) -> None:
    """Show what was given as ``probe=``: an input, or a tuple of inputs.

    Raises:
        Exception: what the model raises for it, with a note on what is accepted. The probe is
            forgotten then.
    """
    inputs = given if isinstance(given, tuple) else (given,)
    if session.model is not None:
        probe_labels(labels, probe_inputs(session.model, inputs), session.class_names)
    try:
        session.probe(*inputs, labels=labels)
    except NbTorchVizError:  # it was not run; what is pinned stays
        raise
    except Exception as error:
        session.recorder.unpin()
        error.add_note(
            f"The model refused the probe: {', '.join(map(said, inputs)) or 'nothing'}. "
            "A probe is what model(x) takes: probe=x, or a tuple for several inputs."
            f"{_hint(inputs)}"
        )
        raise


def _hint(inputs: tuple[Any, ...]) -> str:
    """What mostly was meant, after a space."""
    if any(isinstance(leaf, np.ndarray) for leaf in pytree.tree_leaves(inputs)):
        return " An array is made a tensor by torch.from_numpy(x).float()."
    if len(inputs) == 2 and isinstance(inputs[1], Tensor) and inputs[1].ndim <= 1:
        return " Of a batch (inputs, labels) give the inputs; watch(probe=, labels=) takes both."
    return ""


def check_probe(
    model: nn.Module | None, model_name: str, *, running: bool, elsewhere: bool
) -> nn.Module:
    """Return the model, or refuse a probe that would disturb training.

    Args:
        model: the watched model; None when it is gone.
        model_name: its class.
        running: a background run of ours trains it.
        elsewhere: another thread trains it.

    Raises:
        ModelGoneError, RunRefusedError: the message says why and what to do.
    """
    if model is None:
        raise ModelGoneError(f"The watched {model_name} is gone; watch the new model.")
    if running:
        raise RunRefusedError(
            "A background run is training this model, so a probe would disturb it. "
            "Wait for it with session.run.join(), or press Pin in the widget."
        )
    if elsewhere:
        raise RunRefusedError(
            "Another thread is training this model, so a probe here would disturb it. "
            "Call probe() on that thread, or press Pin in the widget."
        )
    return model


def probe_inputs(model: nn.Module, given: tuple[Any, ...]) -> Inputs:
    """Return ``given`` as the arguments of a forward.

    Args:
        model: its forward decides whether a dictionary holds keywords or is one argument.
        given: positional arguments; a dictionary alone may be keywords.
    """
    if len(given) == 1 and isinstance(given[0], Inputs):
        return given[0]
    if len(given) == 1 and isinstance(given[0], dict) and _takes(model, given[0]):
        return Inputs((), dict(given[0]))
    return Inputs(tuple(given))


def _takes(model: nn.Module, keywords: dict[Any, Any]) -> bool:
    try:
        inspect.signature(model.forward).bind(**keywords)
    except (TypeError, ValueError):
        return False
    return True


def probe_labels(
    labels: object, inputs: Inputs, class_names: Sequence[str] | None = None
) -> Tensor | None:
    """Return ``labels`` as a tensor with one entry per item of ``inputs``.

    Raises:
        TypeError: they are not numbers.
        ValueError: they are no class indices (or class probabilities, shape (N, K)), or there
            are more or fewer of them than items, or one has no class name.
    """
    if labels is None:
        return None
    try:
        found = torch.as_tensor(labels).detach().clone()
        found = found.reshape(1) if found.ndim == 0 else found
    except (TypeError, ValueError, RuntimeError):
        raise refusal("labels", _LABELS, labels) from None
    if found.ndim == 1 and found.is_floating_point() and bool((found.frac() == 0).all()):
        found = found.long()  # 3.0 is an index; NaN and infinity have no fraction of 0
    if found.is_complex() or found.ndim != 1 + found.is_floating_point():
        raise refusal("labels", _LABELS, labels, typed=True)
    first = _first_tensor(inputs)
    if first is not None and len(found) not in first.shape[:2]:  # (T, N, D) has N second
        raise ValueError(
            f"labels must hold one class index per item of the probe: got {len(found)} for "
            f"an input of shape {tuple(first.shape)}."
        )
    named = len(class_names or ())
    most = int(found.max()) if named and found.ndim == 1 and found.numel() else -1
    if most >= max(named, 1):
        raise ValueError(
            f"labels must be class indices from 0 to {named - 1}, as there are {named} "
            f"class_names: got {most}. Name every class, or leave class_names out."
        )
    return found


def shows(seen: InputCaptured | None, inputs: Inputs) -> bool:
    """Whether ``seen``, the newest sample of a batch, is just these inputs."""
    first = _first_tensor(inputs)
    if seen is None or seen.values is None or first is None:
        return False
    values = np.asarray(seen.values, np.float32).reshape(-1)
    return np.array_equal(first.detach().to("cpu", torch.float32).reshape(-1).numpy(), values)


def label_of(seen: InputCaptured | None, inputs: Inputs) -> list[int] | None:
    """Return the label of ``inputs`` if ``seen``, the newest sample, shows just them."""
    if seen is None or seen.label is None or not shows(seen, inputs):
        return None
    return [seen.label]


def _first_tensor(inputs: Inputs) -> Tensor | None:
    for leaf in pytree.tree_leaves((inputs.args, inputs.kwargs)):
        if isinstance(leaf, Tensor) and leaf.ndim:
            return leaf
    return None
