"""The only place that detaches, selects, pools, copies, casts and moves tensors to the CPU."""

import functools
import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from nbtorchviz.capture.leaves import dtype_name, refusal, shape_of
from nbtorchviz.capture.plans import Caught, Summarise, Want
from nbtorchviz.capture.shapes import LayoutLike
from nbtorchviz.events import Statistics

EXACT_LIMIT = 4_000_000
SPREAD_LIMIT = 2_048
_SPATIAL = frozenset("HWDLT")
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
            self._tensor = source.clone(memory_format=torch.contiguous_format)
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
        if want.half:
            part = part.half()
    result.copy = HostCopy(part)
    return result


def select(tensor: Tensor, axis: int | None, sample: int) -> tuple[Tensor, tuple[str, ...]]:
    """View one sample of a detached tensor as a plain dense tensor where that is possible."""
    notes: tuple[str, ...] = ()
    if hasattr(tensor, "to_local"):  # DTensor: a full read would be a collective
        tensor, notes = tensor.to_local(), ("this rank's shard",)
    if tensor.is_nested:
        return tensor.unbind()[sample], (*notes, "nested: true length of this sample")
    if tensor.layout is not torch.strided:
        return _of_sparse(tensor, axis, sample, notes)
    if axis is not None and tensor.ndim > axis:
        tensor = tensor.select(axis, min(sample, tensor.shape[axis] - 1))
    if tensor.is_quantized:
        return tensor.dequantize(), (*notes, "dequantised")
    if tensor.is_complex():
        return tensor.abs(), (*notes, "|z| of complex")
    return tensor, notes


def _of_sparse(
    tensor: Tensor, axis: int | None, sample: int, notes: tuple[str, ...]
) -> tuple[Tensor, tuple[str, ...]]:
    stored, count = tensor._nnz() * tensor.dense_dim() or tensor._nnz(), math.prod(tensor.shape)
    if count > EXACT_LIMIT:
        return tensor.values().reshape(-1), (*notes, "sparse: stored values only")
    dense = tensor.to_dense()
    share = f"{100 * stored / max(count, 1):.2g} % stored"
    return (dense if axis is None else dense.select(axis, sample)), (*notes, f"sparse, {share}")


def spread(tensor: Tensor, limit: int = SPREAD_LIMIT) -> Tensor:
    """Sub-sample a dense tensor at a fixed stride that meets every channel and column.

    Returns:
        Vector of at most ``limit`` values, still on the device; a view or a small copy.
    """
    count = tensor.numel()
    if count <= limit:
        return tensor.reshape(-1)
    step = stride_of(count, limit)
    if not tensor.is_contiguous():
        strides = tensor.stride()
        order = sorted(range(tensor.ndim), key=lambda axis: (-strides[axis], axis))
        tensor = tensor.permute(order)  # channels_last becomes contiguous, at no cost
    if tensor.is_contiguous():
        return tensor.view(-1)[::step]
    flat = torch.arange(0, count, step, device=tensor.device)
    return tensor[torch.unravel_index(flat, tensor.shape)]


@functools.lru_cache(1024)
def stride_of(count: int, limit: int) -> int:
    """Return a stride that leaves at most ``limit`` of ``count`` values, of every column some."""
    step = -(-count // limit)
    while math.gcd(step, count) > 1:  # else only some columns would ever be met
        step += 1
    return step


def spread_any(tensor: Tensor, limit: int = SPREAD_LIMIT) -> Tensor | None:
    """Sub-sample a whole output of any kind; None when it has no values."""
    if refusal(tensor):
        return None
    tensor = tensor.detach()
    if tensor.is_nested:
        tensor = tensor.values() if tensor.layout is torch.jagged else tensor.unbind()[0]
    elif tensor.layout is not torch.strided:
        tensor = (
            tensor.coalesce().values() if tensor.layout is torch.sparse_coo else tensor.values()
        )
    part, _ = select(spread(tensor, limit) if not tensor.is_quantized else tensor, None, 0)
    return part


def pool(tensor: Tensor, axes: tuple[str, ...], limit: int) -> tuple[Tensor, int]:
    """Average-pool the spatial axes by the smallest whole factor that leaves <= ``limit`` values.

    Returns:
        The pooled tensor and the factor. Where even one value per channel is too many, only
        the first ``limit`` channels are kept.
    """
    if tensor.numel() <= limit or tensor.ndim == 0:
        return tensor, 1
    where = [at for at, axis in enumerate(axes) if axis in _SPATIAL or axes == ("F",)]
    if len(axes) != tensor.ndim or not where:
        where = [tensor.ndim - 1]
    where = where[-3:]
    sizes = [tensor.shape[at] for at in where]
    others = tensor.numel() // math.prod(sizes)
    factor = 2
    while others * math.prod(-(-size // factor) for size in sizes) > limit and factor < max(sizes):
        factor += 1
    ends = list(range(-len(where), 0))
    moved = tensor.movedim(where, ends)
    lead = moved.shape[: moved.ndim - len(where)]
    flat = moved.reshape(-1, 1, *sizes)
    flat = flat if flat.dtype in (torch.float32, torch.float64) else flat.float()
    mean = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[len(where) - 1]
    kernel = tuple(min(factor, size) for size in sizes)
    small = mean(flat, kernel, ceil_mode=True, count_include_pad=False)
    result = small.reshape(*lead, *small.shape[2:]).movedim(ends, where)
    if result.numel() > limit and result.shape[0] > 1:
        result = result[: max(limit * result.shape[0] // result.numel(), 1)]
    return result, factor


def zero_channels(tensor: Tensor, axis: int) -> Tensor:
    """Tell for each channel whether it is exactly zero in the whole batch.

    On the CPU the tensor is looked at ever less thinly, and only the channels that were zero so
    far are looked at again: an active layer costs microseconds whatever its size.
    """
    tensor = tensor.detach()
    if tensor.device.type != "cpu":  # nonzero() would wait for the device
        return _all_zero(tensor, axis)
    channels = torch.arange(tensor.shape[axis], device="cpu")
    for points in (3, 12, 0):  # per axis; 0: all
        thin = tuple(
            slice(None) if at == axis or not points else slice(None, None, -(-size // points) or 1)
            for at, size in enumerate(tensor.shape)
        )
        part = tensor[thin]
        if len(channels) < tensor.shape[axis]:
            part = part.index_select(axis, channels)
        channels = channels[_all_zero(part, axis)]
        if not len(channels):
            break
    zero = torch.zeros(tensor.shape[axis], dtype=torch.bool, device="cpu")
    zero[channels] = True
    return zero


def _all_zero(tensor: Tensor, axis: int) -> Tensor:
    others = [at for at in range(tensor.ndim) if at != axis]
    if tensor.dtype is torch.bool or tensor.is_complex():
        return ~(tensor != 0).any(dim=others)
    return (tensor.amax(dim=others) == 0) & (tensor.amin(dim=others) == 0)


def zeros_of(tensor: Tensor, layout: LayoutLike) -> HostCopy | None:
    """Find the channels that are zero in the whole batch; None where there is no channel axis."""
    if layout.batch_axis is None or tensor.layout is not torch.strided or tensor.is_nested:
        return None
    axis = layout.axes.index("C")
    axis += layout.batch_axis <= axis
    if tensor.is_quantized or axis >= tensor.ndim or len(layout.axes) + 1 != tensor.ndim:
        return None
    return HostCopy(zero_channels(tensor, axis))


def develop(cut: Cut, summarise: Summarise) -> Caught:
    """Turn a copy into arrays and statistics; at the boundary, never in a hook."""
    want, notes = cut.want, cut.notes
    values: NDArray[np.generic] = np.empty(0, np.float32)
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
        values = to_array(tensor, half=want.half)
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


def to_array(tensor: Tensor, *, half: bool) -> NDArray[np.generic]:
    """Return a numpy array that owns its memory, float32 or float16."""
    dtype = torch.float16 if half else torch.float32
    array = tensor.detach().resolve_conj().resolve_neg().to("cpu", dtype).contiguous().numpy()
    return array if array.flags.owndata else array.copy()


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
