"""The only place that copies tensors, casts them and moves them to the CPU."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nbtorchviz.capture.leaves import dtype_name, refusal, shape_of
from nbtorchviz.capture.plans import Caught, Summarise, Want
from nbtorchviz.capture.reductions import (
    EXACT_LIMIT,
    SPREAD_LIMIT,
    pool,
    select,
    spread,
    zero_channels,
)
from nbtorchviz.capture.shapes import LayoutLike
from nbtorchviz.events import Statistics

MOST_NEURONS = 512
"""Values of a sample without axes of space or time that are followed one by one: the list of those
that are dead goes along with every picture."""
_READABLE = frozenset({torch.float16, torch.float32, torch.float64, torch.int64, torch.int32})


class HostCopy:
    """A copy of a tensor on its way to host memory, without waiting for the device.

    On the CPU it is a plain copy. On CUDA it is an asynchronous copy into pinned memory (torch
    caches those blocks) with an event behind it; ``ready`` asks the event and never waits.
    """

    __slots__ = ("_event", "_later", "_tensor")

    def __init__(self, tensor: Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        self._later: list[HostCopy] = []
        source = tensor.detach()
        if source.device.type != "cuda":
            dense = source if source.layout == torch.strided else source.to_dense()
            self._tensor = dense.clone(memory_format=torch.contiguous_format)
            return
        self._tensor = torch.empty(source.shape, dtype=source.dtype, device="cpu", pin_memory=True)
        self._tensor.copy_(source, non_blocking=True)
        self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._event.record()

    @property
    def ready(self) -> bool:
        """True when the host memory holds the values."""
        arrived = self._event is None or bool(self._event.query())  # type: ignore[no-untyped-call]
        return arrived and all(later.ready for later in self._later)

    def add(self, other: Tensor) -> None:
        """Add a later tensor of the same shape, without waiting for either."""
        if self._event is None:
            self._tensor = self._tensor.to(torch.float32).add_(other.detach())
        else:
            self._later.append(HostCopy(other))

    @property
    def shape(self) -> torch.Size:
        """Shape of the copied tensor."""
        return self._tensor.shape

    def host(self) -> Tensor:
        """Return the values as a CPU tensor."""
        tensor = self._tensor.cpu()
        for later in self._later:
            tensor = tensor.to(torch.float32) + later.host()
        return tensor


@dataclass(slots=True)
class Cut:
    """One sample of one output, copied inside the hook before anything can overwrite it."""

    key: str
    call: int
    path: str
    want: Want
    sample: int
    batch_size: int
    sample_word: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    count: int
    """Elements of the sample before pooling."""
    copy: HostCopy | None
    spread: HostCopy | None
    """Sub-sample for the statistics where ``copy`` was pooled already."""
    pooled: int
    notes: tuple[str, ...]
    channel_zero: HostCopy | None = None
    backwards: int = 0

    @property
    def ready(self) -> bool:
        """True when no copy is still on its way from the device."""
        parts = (self.copy, self.spread, self.channel_zero)
        return all(part is None or part.ready for part in parts)

    def add(self, tensor: Tensor, layout: LayoutLike) -> None:
        """Add another gradient of the same activation."""
        self.backwards += 1
        part, _ = select(tensor.detach(), layout.batch_axis, self.sample)
        if self.spread is not None:
            self.spread.add(spread(part))
            part, _ = pool(part, self.axes, self.want.limit)
        if self.copy is not None:
            self.copy.add(part.reshape(self.copy.shape))


def cut(tensor: Tensor, want: Want, layout: LayoutLike, *, key: str, call: int, path: str) -> Cut:
    """Copy one sample of a tensor; never waits for the device, keeps no reference to it."""
    shape, reason = shape_of(tensor), refusal(tensor)
    axis = layout.batch_axis
    size = shape[axis] if axis is not None and axis < len(shape) else 1
    sample = min(max(want.sample, 0), max(size - 1, 0))
    result = Cut(
        key, call, path, want, sample, size, layout.sample_word, tuple(layout.axes), shape,
        dtype_name(tensor), 0, None, None, 1, (),
    )  # fmt: skip
    if layout.note:
        result.notes += (layout.note,)
    if reason or math.prod(shape) == 0:
        result.notes += (reason or f"empty {shape}",)
        result.axes = ()
        return result
    part, notes = select(tensor.detach(), axis, sample)
    result.notes += notes
    result.count = part.numel()
    if part.ndim != len(result.axes) and result.axes == ("F",):
        part = part.reshape(-1)
    if not want.exact or result.count > EXACT_LIMIT:
        result.spread = HostCopy(spread(part))
        part, result.pooled = pool(part, result.axes, want.limit)
    result.copy = HostCopy(part)
    return result


def zeros_of(tensor: Tensor, layout: LayoutLike) -> HostCopy | None:
    """Find the channels, or neurons, that are zero in the whole batch; None: there are none."""
    if layout.batch_axis is None or tensor.layout is not torch.strided or tensor.is_nested:
        return None
    if "C" not in layout.axes and (tensor.ndim != 2 or tensor.numel() > MOST_NEURONS * len(tensor)):
        return None
    axis = layout.axes.index("C") if "C" in layout.axes else 0
    axis += layout.batch_axis <= axis
    if tensor.is_quantized or axis >= tensor.ndim or len(layout.axes) + 1 != tensor.ndim:
        return None
    return HostCopy(zero_channels(tensor, axis))


def develop(cut: Cut, summarise: Summarise) -> Caught:
    """Turn a copy into arrays and statistics; at the boundary, never in a hook."""
    want, notes = cut.want, cut.notes
    values: NDArray[np.float32] = np.empty(0, np.float32)
    pooled = cut.pooled
    if cut.copy is None:
        statistics = Statistics(count=math.prod(cut.shape), sampled=0, note=notes[-1])
    else:
        tensor = cut.copy.host()
        if cut.spread is None:
            statistics = summarise(tensor, limit=EXACT_LIMIT)
            tensor, pooled = pool(readable(tensor), cut.axes, want.limit)
        else:
            statistics = replace(summarise(cut.spread.host(), limit=SPREAD_LIMIT), count=cut.count)
        values = to_array(tensor)
        notes += _beyond(tensor, values)
        shown, every = values.shape[:1], _channels(cut)
        if every and shown and shown[0] < every:
            notes += (f"first {shown[0]} of {every} channels",)
    return Caught(
        cut.key, cut.call, cut.path, cut.sample, cut.batch_size, cut.sample_word,
        cut.axes, values, cut.shape, cut.dtype, statistics,
        pooled=pooled,
        channel_zero=None if cut.channel_zero is None else cut.channel_zero.host().numpy(),
        notes=notes,
        watched=want.watched,
    )  # fmt: skip


def _channels(cut: Cut) -> int | None:
    """Count the channels of the layer where they come first in a sample."""
    if cut.axes[:1] != ("C",) or len(cut.shape) != len(cut.axes) + 1:
        return None
    return cut.shape[1]


def readable(tensor: Tensor) -> Tensor:
    """Cast exotic dtypes to float32 so that arithmetic and numpy work."""
    return tensor if tensor.dtype in _READABLE else tensor.to(torch.float32)


def to_array(tensor: Tensor) -> NDArray[np.float32]:
    """Return a float32 array that owns its memory. What only float64 can hold is infinite in it."""
    source = tensor.detach().resolve_conj().resolve_neg()
    array = source.to("cpu", torch.float32).contiguous().numpy()
    return array if array.flags.owndata else array.copy()


def _beyond(tensor: Tensor, values: NDArray[np.float32]) -> tuple[str, ...]:
    """Draw what is finite and beyond float32 as the largest float32, in place, and say so."""
    if tensor.dtype is not torch.float64:
        return ()
    beyond = np.isinf(values) & np.isfinite(tensor.detach().cpu().numpy())
    if not beyond.any():
        return ()
    values[beyond] = np.copysign(np.finfo(np.float32).max, values[beyond])
    return ("values beyond 3.4e38 are drawn as 3.4e38",)


def unscaled(caught: Caught, scale: float) -> Caught:
    """Divide a gradient by the factor that a GradScaler multiplied the loss with."""
    values = caught.values / scale
    numbers = caught.statistics
    fields = ("minimum", "maximum", "mean", "std")
    changed = {
        name: None if (value := getattr(numbers, name)) is None else value / scale
        for name in fields
    }
    return replace(
        caught,
        values=values.astype(caught.values.dtype),
        statistics=replace(numbers, **changed),  # type: ignore[arg-type]
        notes=(*caught.notes, f"divided by the GradScaler's {scale:g}"),
    )
