"""Find the tensors in whatever a module returns, and name where they lie."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree as pytree

MAX_DEPTH = 4
MAX_LEAVES = 64


def leaves(output: object) -> list[tuple[str, Tensor]]:
    """Flatten a module's output into (path, tensor), at most 64 of them, at most 4 levels deep.

    Paths are ``""`` for a plain tensor, ``"1.0"`` in tuples, ``"logits"`` in dictionaries and
    dataclasses, ``"0.data"`` for a packed sequence.
    """
    if isinstance(output, Tensor):
        return [("", output)]
    found: list[tuple[str, Tensor]] = []
    for leaf in _walk(output, "", 0):
        found.append(leaf)
        if len(found) == MAX_LEAVES:
            break
    return found


def pick(found: list[tuple[str, Tensor]], path: str) -> tuple[str, Tensor] | None:
    """Choose the leaf at ``path``; for ``""`` the first floating tensor, else the first."""
    for leaf in found:
        if leaf[0] == path:
            return leaf
    if path or not found:
        return None
    for leaf in found:
        if leaf[1].is_floating_point():
            return leaf
    return found[0]


def tensors_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """List the tensors among the arguments of a forward, in order."""
    found = [tensor for arg in args for _, tensor in leaves(arg)]
    if kwargs:
        found += [tensor for arg in kwargs.values() for _, tensor in leaves(arg)]
    return found


def _walk(value: object, path: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield path, value
        return
    if depth == MAX_DEPTH or value is None or isinstance(value, (str, bytes, int, float, bool)):
        return
    for name, child in _children(value):
        yield from _walk(child, f"{path}.{name}" if path else name, depth + 1)


def _children(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, PackedSequence):
        yield "data", value.data
    elif isinstance(value, Mapping):  # also the ModelOutput of transformers
        yield from ((str(key), item) for key, item in value.items())
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        yield from zip(value._fields, value, strict=True)
    elif isinstance(value, (list, tuple)):
        yield from ((str(index), item) for index, item in enumerate(value))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield field.name, getattr(value, field.name, None)
    elif type(value) in pytree.SUPPORTED_NODES:
        items, _ = pytree.SUPPORTED_NODES[type(value)].flatten_fn(value)
        yield from ((str(index), item) for index, item in enumerate(items))


def refusal(tensor: Tensor) -> str:
    """Say why a tensor has no values to show; ``""`` when it has."""
    if _wrapped_by_functorch(tensor):
        return "batched by vmap or transformed by torch.func: not shown"
    if tensor.device.type == "meta":
        return "meta tensor: it has a shape and no values"
    if type(tensor).__name__ in {"FakeTensor", "FunctionalTensor"}:
        return "fake tensor: it has a shape and no values"
    if tensor.dtype in _PACKED:
        return f"{dtype_name(tensor)}: values cannot be read"
    return ""


def dtype_name(tensor: Tensor) -> str:
    """Return ``"float32"`` for ``torch.float32``."""
    return str(tensor.dtype).removeprefix("torch.")


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    """Return the shape; of a nested tensor the batch and the largest size of the others."""
    if not tensor.is_nested:
        return tuple(int(size) for size in tensor.shape)
    parts = [tuple(part.shape) for part in tensor.unbind()]
    return (len(parts), *(max(sizes) for sizes in zip(*parts, strict=True)))


def _wrapped_by_functorch(tensor: Tensor) -> bool:
    try:
        return bool(torch._C._functorch.is_functorch_wrapped_tensor(tensor))
    except AttributeError:  # private; without it .numpy() at the boundary refuses instead
        return False


_PACKED = frozenset(
    getattr(torch, name) for name in ("float4_e2m1fn_x2", "bits8", "bits16") if hasattr(torch, name)
)
