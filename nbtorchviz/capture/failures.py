"""Say in words why a forward failed: which layer, what reached it, what would fit."""

import sys
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Any

from torch import nn

from nbtorchviz.capture.layers import Entry, Tree, blocks_of, join_key, type_name
from nbtorchviz.capture.layers import detail as module_detail
from nbtorchviz.capture.leaves import shape_of, tensors_of
from nbtorchviz.capture.plans import ForwardFailure
from nbtorchviz.capture.survey import CallRecord

MOST_CHARACTERS = 500
MOST_ROWS = 12
Shape = tuple[int, ...]
_CALL = nn.Module._call_impl.__code__


def error_in(frame: FrameType) -> BaseException | None:
    """Return the exception whose handler in ``frame`` is running; None when it is another's.

    A root forward may succeed inside the user's own ``except`` block; that block's exception is
    caught in another frame.
    """
    error = sys.exc_info()[1]
    trace = error.__traceback__ if error is not None else None
    return error if trace is not None and trace.tb_frame is frame else None


def calls_itself(root: nn.Module, frame: FrameType | None) -> bool:
    """Whether the call of ``root`` that ``frame`` is part of was made inside another call of it."""
    calls = 0
    while frame is not None and calls < 2:
        if frame.f_code is _CALL:
            calls += frame.f_locals.get("self") is root
        frame = frame.f_back
    return calls > 1


def raised_in(error: BaseException, root: nn.Module | None) -> bool:
    """Whether ``error`` came out of a call of ``root``, by its traceback."""
    trace = error.__traceback__
    while trace is not None and root is not None:
        frame = trace.tb_frame
        if frame.f_code.co_name == "_call_impl" and frame.f_locals.get("self") is root:
            return True
        trace = trace.tb_next
    return False


def explain(
    error: BaseException,
    tree: Tree,
    root: nn.Module,
    calls: Sequence[CallRecord],
    *,
    fresh: bool,
    **position: Any,
) -> ForwardFailure:
    """Describe a failed forward.

    Args:
        error: what the user's model raised; it is only read.
        tree: names of the modules.
        root: the model.
        calls: what a survey saw, of this forward or of the last good one.
        fresh: they are of this forward; else their shapes may be of another input and the trail
            leaves them out.
        position: ``step``, ``forward``, ``micro`` and ``phase``.
    """
    message = f"{type(error).__name__}: {error}"[:MOST_CHARACTERS]
    found = _innermost(error.__traceback__, tree, root)
    if found is None:
        title = f"Forward failed in {type(root).__name__}: {_first_line(error)}"
        return ForwardFailure(
            "", message, title, trail=_trail(calls, None, fresh=fresh), **position
        )
    entry, module, shapes, call = found
    shape = shapes[0] if shapes else None
    # The user may have put another layer in this place since the model was looked through.
    what = f"{type_name(module)} {_plain(module_detail(module))}".strip()
    got = f": got {_written(shape)}" if shape else ""
    title = f"Forward failed at {entry.name} ({what}{got})."
    before = _before(calls, entry.name)
    detail, remedy = _mismatch(module, shape, before)
    last = (entry.name, type_name(module), _written(shape) if shape else "")
    rows = _trail(before, last, fresh=fresh)
    key = join_key(entry.name, call)
    return ForwardFailure(key, message, title, detail, remedy, rows, **position)


def _innermost(
    trace: TracebackType | None, tree: Tree, root: nn.Module
) -> tuple[Entry, nn.Module, list[Shape], int] | None:
    """Find the innermost module call in a traceback, and the shapes it was given."""
    names = {}
    for entry in tree.entries.values():
        if entry.raw:
            names[id(root.get_submodule(entry.raw))] = entry
    found = None
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_code.co_name == "_call_impl":
            module = frame.f_locals.get("self")
            entry_here = names.get(id(module))
            if isinstance(module, nn.Module) and entry_here is not None:
                args = frame.f_locals.get("args", ())
                shapes = [shape_of(tensor) for tensor in tensors_of(tuple(args), {})]
                found = (entry_here, module, shapes, 0)
        trace = trace.tb_next
    return found


def _before(calls: Sequence[CallRecord], name: str) -> list[CallRecord]:
    """Keep the finished leaf calls that began before the failing layer did."""
    kept: list[CallRecord] = []
    for call in calls:
        if call.name == name:
            break
        kept.append(call)
    parents = blocks_of({call.name for call in kept})
    return [call for call in kept if call.finished and call.paths and call.name not in parents]


def _trail(
    calls: Sequence[CallRecord], last: tuple[str, str, str] | None, *, fresh: bool
) -> tuple[tuple[str, str, str], ...]:
    rows = [
        (join_key(call.name, call.call), call.type, _written(call.shape) if fresh else "")
        for call in calls
        if call.finished and call.paths
    ]
    if last is not None:
        rows.append(last)
    return tuple(rows[-MOST_ROWS:])


def _mismatch(
    module: nn.Module, shape: Shape | None, before: Sequence[CallRecord]
) -> tuple[str, str]:
    """Explain a size that does not fit, and what would; empty where shapes do not tell."""
    if shape is None:
        return "", ""
    if isinstance(module, nn.Linear) and len(shape) > 1 and shape[-1] != module.in_features:
        return _wrong_features(module, shape, before)
    if isinstance(module, nn.modules.conv._ConvNd) and not module.transposed:
        rank = len(module.kernel_size) + 2
        if len(shape) == rank and shape[1] != module.in_channels:
            fits = _call(module, shape[1], module.out_channels)
            return f"{shape[1]} channels reach it; it takes {module.in_channels}.", (
                f"This fits: `{fits}`." if module.groups == 1 else ""
            )
    is_norm = isinstance(module, nn.modules.batchnorm._BatchNorm) and len(shape) > 1
    if is_norm and shape[1] != module.num_features:
        text = f"{shape[1]} channels reach it; it takes {module.num_features}."
        return text, f"This fits: `nn.{type(module).__name__}({shape[1]})`."
    return "", ""


def _wrong_features(
    module: nn.Linear, shape: Shape, before: Sequence[CallRecord]
) -> tuple[str, str]:
    fits = f"`nn.Linear({shape[-1]}, {module.out_features})`"
    maps = next((call for call in reversed(before) if len(call.shape) >= 3), None)
    if len(shape) == 2 and maps is not None and _flattened(maps.shape) == shape[-1]:
        channels, sizes = maps.shape[1], maps.shape[2:]
        pixels = " × ".join(map(str, sizes)) + (" pixels" if len(sizes) == 2 else "")
        text = f"{channels} channels × {pixels} = {shape[-1]} reach it after {maps.name}."
        if channels == module.in_features and len(sizes) <= 3:
            return (
                text,
                f"Either fits: `nn.AdaptiveAvgPool{len(sizes)}d(1)` before Flatten, or {fits}.",
            )
        return text, f"This fits: {fits}."
    return f"{shape[-1]} features reach it; it takes {module.in_features}.", f"This fits: {fits}."


def _flattened(shape: Shape) -> int:
    size = 1
    for length in shape[1:]:
        size *= length
    return size


def _call(module: nn.modules.conv._ConvNd, channels: int, out: int) -> str:
    kernel = _least(module.kernel_size)
    rest = "".join(
        f", {name}={_least(own)}"
        for name, usual in (("stride", 1), ("padding", 0), ("dilation", 1))
        if (own := getattr(module, name)) not in ((usual,) * len(module.kernel_size), usual)
    )
    return f"nn.{type(module).__name__}({channels}, {out}, {kernel}{rest})"


def _least(values: tuple[int, ...] | str) -> str:
    """Write one number where all are the same."""
    alike = isinstance(values, tuple) and len(set(values)) == 1
    return str(values[0]) if alike else repr(values)


def _plain(detail: str) -> str:
    return detail.replace(", ", " ")


def _written(shape: Shape | None) -> str:
    return "×".join(map(str, shape)) if shape else ("scalar" if shape == () else "")


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:160]
