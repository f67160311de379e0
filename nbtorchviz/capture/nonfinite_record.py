"""What is kept of one forward so that it can be run again on a copy: references, no copies."""

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from nbtorchviz.capture.leaves import leaves, refusal
from nbtorchviz.capture.nonfinite_earlier import Earlier
from nbtorchviz.capture.nonfinite_ranges import readable
from nbtorchviz.capture.thread_state import capture_thread_state

MOST_BYTES = 256_000_000
"""Of a batch that is kept alive until the next forward."""
MOST_OUTPUT_BYTES = 64_000_000
"""Of the gradient with respect to the model's output, likewise."""
MOST_BUFFER_BYTES = 4_000_000
"""Of buffers, which are copied."""
_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, slice)


class NotKeptError(Exception):
    """A batch cannot be run again; the message says why."""


@dataclass(slots=True)
class Kept:
    """Arguments of one call, by reference; ``again()`` notices when they were overwritten."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    versions: list[int]
    wants_grad: list[bool]
    refusal: str = ""

    @classmethod
    def of(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "Kept":
        """Keep the arguments, unless they are too large or of an unknown kind."""
        size, refused, versions, wants = 0, "", [], []

        def keep(leaf: object) -> object:
            nonlocal size, refused
            if not isinstance(leaf, Tensor):
                if not isinstance(leaf, _PLAIN):
                    refused = f"an argument of type {type(leaf).__name__} cannot be kept"
                return leaf
            if refusal(leaf) or leaf.is_nested or leaf.layout is not torch.strided:
                refused = "an argument is no plain tensor"
                return leaf
            size += leaf.numel() * leaf.element_size()
            # Not the tensor itself: it may carry the graph of another model. Shares the version.
            detached = leaf.detach()
            versions.append(-1 if detached.is_inference() else detached._version)
            wants.append(leaf.requires_grad)
            return detached

        if not kwargs and all(type(arg) is Tensor for arg in args):
            kept_args, kept_kwargs = tuple(keep(arg) for arg in args), {}
        else:
            kept_args, kept_kwargs = pytree.tree_map(keep, (tuple(args), dict(kwargs)))
        if size > MOST_BYTES:
            refused = (
                f"the batch takes {size / 1e6:.0f} MB; at most {MOST_BYTES // 1_000_000} are kept"
            )
        if refused:
            return cls((), {}, [], [], refused)
        return cls(kept_args, kept_kwargs, versions, wants)

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors among them."""
        found = pytree.tree_leaves((self.args, self.kwargs))
        return [leaf for leaf in found if isinstance(leaf, Tensor)]

    def again(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return clones of the arguments.

        Raises:
            NotKeptError: they were not kept, or were overwritten in place since.
        """
        if self.refusal:
            raise NotKeptError(f"{self.refusal[0].upper()}{self.refusal[1:]}.")
        for tensor, version in zip(self.tensors, self.versions, strict=True):
            if version >= 0 and tensor._version != version:
                raise NotKeptError("The batch was overwritten in place since the forward.")
        wants = iter(self.wants_grad)

        def clone(leaf: object) -> object:
            if not isinstance(leaf, Tensor):
                return leaf
            copy = leaf.clone()
            return copy.requires_grad_() if next(wants) else copy

        args, kwargs = pytree.tree_map(clone, (self.args, self.kwargs))
        return args, kwargs


@dataclass(slots=True)
class Streams:
    """Where every random stream stood."""

    torch: Tensor
    cuda: list[Tensor]
    python: Any = None
    numpy: Any = None

    @classmethod
    def now(cls, *, every: bool) -> "Streams":
        """Read them, those of Python and NumPy only where asked for ``every`` one.

        Reading NumPy's takes 40 us, which is too much for each step.
        """
        used = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        devices = range(torch.cuda.device_count()) if used else ()
        return cls(
            torch.get_rng_state(),
            [torch.cuda.get_rng_state(device) for device in devices],
            random.getstate() if every else None,
            np.random.get_state() if every else None,  # noqa: NPY002 - user code draws from it
        )

    def restore(self) -> None:
        """Put them back there."""
        torch.set_rng_state(self.torch)
        if self.python is not None:
            random.setstate(self.python)
            np.random.set_state(self.numpy)  # noqa: NPY002
        for device, state in enumerate(self.cuda):
            torch.cuda.set_rng_state(state, device)


@dataclass(slots=True)
class Record:
    """One training forward."""

    step: int
    """The optimizer step that it belongs to, from 1."""
    batch: Kept
    streams: Streams
    context: Callable[[], AbstractContextManager[None]]
    """Autocast and whatever else belonged to the thread."""
    buffers: dict[str, Tensor]
    """As they were before the forward; empty where they are too large."""
    weights: dict[str, Tensor] = field(default_factory=dict)
    """As they were; empty: the model's own are used."""
    outputs: list[int | None] = field(default_factory=list)
    """Autograd number of each floating output."""
    gradients: dict[int, Tensor] = field(default_factory=dict)
    """Of the loss with respect to these outputs."""
    criterion: Kept | None = None
    """What the loss module was given."""
    earlier: Earlier | None = None
    """Parameters as the forward used them that was guarded before this one."""
    checked_before: bool = False
    """Whether the gradients of the step before were looked at and finite."""

    @classmethod
    def begin(
        cls,
        step: int,
        buffers: "Buffers",
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        streams: Streams,
    ) -> "Record":
        """Note everything that the forward which begins now depends on."""
        batch = Kept.of(args, kwargs)
        return cls(step, batch, streams, capture_thread_state(), buffers.copied())


class Buffers:
    """The places of a model's buffers, so that they need not be looked for at each step.

    Args:
        root: the model; the places are held, not the module.
    """

    def __init__(self, root: nn.Module) -> None:
        self._places = [
            (f"{name}.{own}" if name else own, module._buffers, own)
            for name, module in root.named_modules()
            for own in module._buffers
        ]

    def copied(self) -> dict[str, Tensor]:
        """Return copies by name; none where they are more than ``MOST_BUFFER_BYTES``."""
        held = {name: owner.get(own) for name, owner, own in self._places}
        buffers = {name: buffer for name, buffer in held.items() if buffer is not None}
        if sum(buffer.numel() * buffer.element_size() for buffer in buffers.values()) > (
            MOST_BUFFER_BYTES
        ):
            return {}
        return {name: buffer.detach().clone() for name, buffer in buffers.items()}


def floating_outputs(output: object) -> list[Tensor]:
    """List the tensors of a model's output that may hold NaN, in a fixed order."""
    return [tensor for _, tensor in leaves(output) if readable(tensor)]
