"""Which maps and input channels the tensors of the maps view have, as far as it is known."""

import math
from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from nbtorchviz.arguments import refusal, whole
from nbtorchviz.capture.plans import WeightWant
from nbtorchviz.session import Session
from nbtorchviz.session.looks import Look

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def check_places(session: Session, target: Look | WeightWant, changes: Mapping[str, Any]) -> None:
    """Refuse a ``channel`` or ``part`` that the chosen tensor does not have.

    Kernels decide which parts there are; where none are chosen, all of the model's. How many
    maps a layer's output has is known of convolutions, and of others once it was read.

    Args:
        session: whose model it is.
        target: what is shown after the change.
        changes: what a user selects, checked one by one.

    Raises:
        TypeError, ValueError: the message says what is accepted.
    """
    model = session.model
    if model is None:
        return
    name = target.name if isinstance(target, WeightWant) else target.layer
    if "channel" in changes:
        channel, count = whole("channel", changes["channel"]), _maps(session, model, target)
        if count and channel >= count:
            accepted = f"a map of {name!r}, from 0 to {count - 1}"
            raise refusal("channel", accepted, channel, typed=True)
    if changes.get("part") is not None:
        part, inputs = whole("part", changes["part"]), _inputs_by_kernel(model)
        count = inputs.get(name, max(inputs.values(), default=0))
        if part >= count:
            of = repr(name) if name in inputs else "this model's kernels"
            accepted = f"an input channel of {of}, from 0 to {count - 1}, or None for their mean"
            if not inputs:
                accepted = "None: no parameter of this model is a kernel with input channels"
            raise refusal("part", accepted, part, typed=True)


def _inputs_by_kernel(model: nn.Module) -> dict[str, int]:
    """Return how many input channels each kernel has, by every name of it."""
    found = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if is_lazy(parameter) or parameter.ndim < 4:
            continue
        inputs = math.prod(parameter.shape[1:-2])
        # The kernels of a transposed convolution have their inputs first, unless grouped.
        found[name] = max(inputs, parameter.shape[0]) if _turned(model, name) else inputs
    return found


def _maps(session: Session, model: nn.Module, target: Look | WeightWant) -> int | None:
    """Return how many maps a tensor has; None: not known yet."""
    if isinstance(target, WeightWant):
        named = dict(model.named_parameters(remove_duplicate=False))
        parameter = named.get(target.name)
        if parameter is None or is_lazy(parameter):
            return None
        plain = parameter.ndim > 2 and not _turned(model, target.name)
        return max(parameter.shape[: 1 if plain else 2], default=1)
    module = dict(model.named_modules()).get(target.layer.partition("#")[0])
    if isinstance(module, _CONVOLUTIONS):
        return module.out_channels
    kept = session.recorder.kept["batch"]
    seen = kept.newest(target.layer, path=target.path, gradient=True)
    if seen is None or not seen.values.size:
        return None
    sizes = seen.values.shape
    return sizes[seen.axes.index("C")] if "C" in seen.axes else max(sizes, default=1)


def _turned(model: nn.Module, name: str) -> bool:
    owner = model.get_submodule(name.rpartition(".")[0])
    return "ConvTranspose" in type(owner).__name__
