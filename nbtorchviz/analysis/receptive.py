"""Receptive fields: which input pixels one value of a layer can see, where that follows.

Follows each call back to the output it was computed from, by number of channels and size, so
that a residual branch is no longer taken for a longer chain. Normalisation counts as local, as is
usual. Where anything is open (attention, concatenation, squeeze-and-excitation, pooling done by a
function) the answer is None: no box beats a wrong one.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

Pair = tuple[int, int]

_WINDOW = re.compile(r"^(Lazy)?(Conv2d|MaxPool2d|AvgPool2d|LPPool2d)$")
_LOCAL = re.compile(
    r"ReLU|ELU|GELU|SiLU|Mish|Hard(swish|sigmoid|tanh|shrink)|Sigmoid$|Tanh|Softplus|Softsign"
    r"|Norm|Dropout|DropPath|StochasticDepth|^Identity$|LayerScale"
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One finished call of a module without submodules."""

    type: str
    """Class name, or for a subclass of ``Conv2d`` that keeps its arithmetic, ``"Conv2d"``."""
    shape: tuple[int, ...]
    """Of one sample of the output: (C, H, W)."""
    in_channels: int | None = None
    """None: any (pooling, activation)."""
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair | str = (0, 0)
    dilation: Pair = (1, 1)

    @classmethod
    def of(cls, module: Any, shape: tuple[int, ...]) -> Self:
        """Read type, kernel and so on from a module's attributes."""
        kernel = pair(getattr(module, "kernel_size", 1))
        padding = getattr(module, "padding", 0)
        channels = getattr(module, "in_channels", None) or getattr(module, "num_features", None)
        return cls(
            type(module).__name__,
            tuple(shape),
            channels if isinstance(channels, int) else None,
            kernel,
            pair(getattr(module, "stride", None) or 1),
            padding if isinstance(padding, str) else pair(padding),
            pair(getattr(module, "dilation", 1)),
        )


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """Value (r, c) sees pixels ``start + stride * (r, c)`` to ``+ size``; may reach outside."""

    size: Pair
    stride: Pair
    start: Pair

    def header(self) -> dict[str, list[int]]:
        """Return the field ``receptive`` of the frame packet."""
        return {"size": list(self.size), "stride": list(self.stride), "start": list(self.start)}


@dataclass(slots=True)
class _Output:
    shape: tuple[int, ...]
    field: ReceptiveField | None
    used: bool = False


def receptive_fields(
    input_shape: tuple[int, ...], operations: Iterable[Operation]
) -> list[ReceptiveField | None]:
    """Work out the receptive field of every operation's output.

    Args:
        input_shape: (C, H, W) of one input sample.
        operations: of one forward, in the order in which they ran, only modules without
            submodules.

    Returns:
        One entry per operation; None where it cannot be derived.
    """
    outputs = [_Output(tuple(input_shape), ReceptiveField((1, 1), (1, 1), (0, 0)))]
    for operation in operations:
        outputs.append(_Output(operation.shape, _field(operation, outputs)))
    return [output.field for output in outputs[1:]]


def pair(value: Any) -> Pair:
    """Read 3 or (3, 3) as (3, 3)."""
    if isinstance(value, (tuple, list)):
        return (int(value[0]), int(value[-1])) if value else (1, 1)
    return (int(value), int(value))


def _field(operation: Operation, outputs: list[_Output]) -> ReceptiveField | None:
    """Find what the operation read and widen its field; marks the source as used."""
    windowed = bool(_WINDOW.match(operation.type))
    if len(operation.shape) != 3 or not (windowed or _LOCAL.search(operation.type)):
        outputs[-1].used = True
        return None
    source = next((one for one in reversed(outputs) if _fits(operation, one, windowed)), None)
    if source is None:
        return None
    # Outputs of that shape that nobody read yet were added to it by a residual connection.
    same = [one for one in outputs if one.shape == source.shape and not one.used]
    open_ends = [one for one in outputs if one.field is None and not one.used]
    joined = source.field
    for one in [*same, source]:
        joined = _union(joined, one.field)
        one.used = True
    if joined is None or open_ends:
        return None
    if not windowed:
        return joined
    before = _padding_before(operation)
    size, stride, start = [], [], []
    for axis in (0, 1):
        step = joined.stride[axis]
        reach = (operation.kernel[axis] - 1) * operation.dilation[axis] * step
        size.append(joined.size[axis] + reach)
        stride.append(step * operation.stride[axis])
        start.append(joined.start[axis] - before[axis] * step)
    return ReceptiveField((size[0], size[1]), (stride[0], stride[1]), (start[0], start[1]))


def _fits(operation: Operation, source: _Output, windowed: bool) -> bool:
    if len(source.shape) != 3:
        return False
    if not windowed:
        return source.shape == operation.shape
    wanted = operation.in_channels or operation.shape[0]
    return source.shape[0] == wanted and all(
        operation.shape[1 + axis] in _sizes(operation, source.shape[1 + axis], axis)
        for axis in (0, 1)
    )


def _sizes(operation: Operation, size: int, axis: int) -> tuple[int, int]:
    """Output sizes that rounding down or up would give."""
    if isinstance(operation.padding, str):
        padding = _same_padding(operation, axis) if operation.padding == "same" else 0
    else:
        padding = 2 * operation.padding[axis]
    rest = size + padding - operation.dilation[axis] * (operation.kernel[axis] - 1) - 1
    stride = operation.stride[axis]
    return rest // stride + 1, -(-rest // stride) + 1


def _padding_before(operation: Operation) -> Pair:
    if isinstance(operation.padding, str):
        if operation.padding != "same":
            return (0, 0)
        return (_same_padding(operation, 0) // 2, _same_padding(operation, 1) // 2)
    return operation.padding


def _same_padding(operation: Operation, axis: int) -> int:
    return operation.dilation[axis] * (operation.kernel[axis] - 1)


def _union(a: ReceptiveField | None, b: ReceptiveField | None) -> ReceptiveField | None:
    if a is None or b is None or a.stride != b.stride:
        return None
    start = (min(a.start[0], b.start[0]), min(a.start[1], b.start[1]))
    ends = [max(a.start[i] + a.size[i], b.start[i] + b.size[i]) for i in (0, 1)]
    return ReceptiveField((ends[0] - start[0], ends[1] - start[1]), a.stride, start)
