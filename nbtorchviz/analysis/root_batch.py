"""Find the batch axis of what a model is given, from its inputs and what its modules put out."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from nbtorchviz.analysis.layouts import RECURRENT_TYPE, SPATIAL_AXES, SPATIAL_TYPE, Shape

_TAKER_TYPE = re.compile(r"(?:Lazy)?(?:Conv|BatchNorm|InstanceNorm)\w*([123])d$")
_OTHER_TAKER_TYPE = re.compile(r"(Linear|LayerNorm|Embedding|Attention|LSTM|GRU|RNN|Flatten)$")


@dataclass(frozen=True, slots=True)
class RootBatch:
    """How many samples the root input holds."""

    size: int | None
    """None: unknown, or a forward without a batch axis."""
    axis: int | None
    """Batch axis of the first root input."""
    unbatched: bool = False
    """True: the forward got one sample without a batch axis."""
    note: str = ""
    taker: str = ""
    """Type of the spatial module (``Conv1d``, ``Conv2d``) that took the first root input as it
    came, and so promises its axes; ``""``: none did."""


@dataclass(frozen=True, slots=True)
class Call:
    """One finished module call of a forward, as evidence for ``root_batch_size``."""

    module_type: str
    shape: Shape
    """Of its first output tensor."""
    batch_first: bool | None = None
    """Its own flag; None where the module has none."""
    given: Shape = ()
    """Of the first tensor given to it; ``()``: not known."""


def root_batch_size(
    input_shapes: Sequence[Shape], *, calls: Iterable[Call] = (), labels: int | None = None
) -> RootBatch:
    """Find the batch axis of the root input.

    Args:
        input_shapes: of the tensors given to the root module, in order.
        calls: what the modules of this forward put out, in order; may be empty or partial.
        labels: how many labels belong to the batch, if known.

    Returns:
        Size and axis; axis 0 where nothing speaks against it. Who took the input, by ``calls``.
    """
    calls = tuple(calls)
    found = _root_batch(input_shapes, calls, labels)
    first = next((tuple(shape) for shape in input_shapes if len(shape)), ())
    return replace(found, taker=_taker(first, calls, 0 if found.unbatched else 1))


def _root_batch(
    input_shapes: Sequence[Shape], calls: tuple[Call, ...], labels: int | None
) -> RootBatch:
    shapes = [tuple(shape) for shape in input_shapes if len(shape)]
    if not shapes:
        return RootBatch(None, None, note="the model got no tensor with axes")
    first = shapes[0]
    axes = range(min(2, len(first)))
    by_label = [axis for axis in axes if labels is not None and first[axis] == labels]
    if len(by_label) == 1:
        return RootBatch(labels, by_label[0])
    if _runs_unbatched(first, calls):
        return RootBatch(None, None, unbatched=True, note="one sample without a batch axis")
    for call in calls:
        if call.batch_first is None or len(call.shape) != 3:
            continue
        size = call.shape[0 if call.batch_first else 1]
        fitting = [axis for axis in axes if first[axis] == size]
        if len(fitting) == 1:
            return RootBatch(size, fitting[0])
        if len(fitting) == 2:
            axis = 0 if call.batch_first or len(first) != 3 else 1
            note = f"axes 0 and 1 both have {size} entries; axis {axis} taken as the batch"
            return RootBatch(size, axis, note=f"{note} by batch_first of {call.module_type}")
    packed = _by_lengths(shapes, calls)
    if packed is not None:
        return RootBatch(first[packed], packed)
    others = [shape for shape in shapes[1:] if len(shape) > 1]
    differs = any(shape[0] != first[0] for shape in others)
    if len(first) > 1 and differs and all(shape[1] == first[1] for shape in others):
        return RootBatch(first[1], 1)
    return RootBatch(first[0], 0)


def _runs_unbatched(first: Shape, calls: tuple[Call, ...]) -> bool:
    """Tell from the first call with a fixed rank whether the batch axis is missing."""
    for call in calls:
        family = SPATIAL_TYPE.search(call.module_type)
        if family and call.module_type.startswith(("Conv", "LazyConv")):
            return len(call.shape) == int(family[1]) + 1 == len(first)
        if _is_recurrent(call):
            return len(call.shape) == 2 == len(first) and call.shape[0] == first[0]
        if call.module_type == "Linear":
            return len(call.shape) == 1 == len(first)
    return False


def _is_recurrent(call: Call) -> bool:
    return bool(RECURRENT_TYPE.search(call.module_type)) and call.batch_first is not None


def _by_lengths(shapes: Sequence[Shape], calls: tuple[Call, ...]) -> int | None:
    """Axis of the first input that another gives the lengths of, where sequences were packed."""
    if not any(_is_recurrent(call) and len(call.shape) == 2 for call in calls):
        return None
    lengths = {shape[0] for shape in shapes[1:] if len(shape) == 1}
    fitting = [axis for axis, size in enumerate(shapes[0][:2]) if size in lengths]
    return fitting[0] if len(fitting) == 1 else None


def _taker(first: Shape, calls: tuple[Call, ...], batch_axes: int) -> str:
    """Type of the first module that needs certain axes, if it is spatial and got ``first``."""
    for call in calls:
        kind = call.module_type
        if family := _TAKER_TYPE.match(kind):
            if len(call.given) == len(SPATIAL_AXES[int(family[1])]) + batch_axes:
                return kind if tuple(call.given) == first else ""
        elif _OTHER_TAKER_TYPE.search(kind):
            return ""
    return ""
