"""Run a model with gradients, in eval mode, and leave no trace of it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from nbtorchviz.capture.compiled import compiled_how, eager
from nbtorchviz.capture.hooks import own_forward
from nbtorchviz.capture.permission import asked
from nbtorchviz.capture.probe import no_trace, same_entries

_writes: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()
"""Model -> whether its forward changes parameters even in eval mode, as seen in a first run."""
_MOST_NAMED = 4


@contextmanager
def guarded(root: nn.Module, notes: list[str]) -> Iterator[None]:
    """Everything that ``no_trace`` promises, with gradients on; parameters are safe too.

    Buffers and attributes are always copies. The first run of a model is on copies of its
    parameters as well, which are compared byte by byte afterwards. A model that changed them
    runs on copies ever after; the others run on their own, guarded by version counters.

    Args:
        root: the user's module, unwrapped.
        notes: a sentence is added when state was written.

    Raises:
        RunRefusedError: the model has lazy parameters, is sharded across ranks, or is being
            trained by another thread.
    """
    asked(root)
    with ExitStack() as stack:
        stack.enter_context(own_forward())
        stack.enter_context(eager(needed=compiled_how(None, root) is not None))
        stack.enter_context(no_trace(root))
        stack.enter_context(torch.enable_grad())
        own = list(root.parameters())
        inference = any(parameter.is_inference() for parameter in own)
        copies: dict[int, Tensor] = {}
        if inference or _writes.get(root, True):
            copies = _copied_parameters(root)
        buffers = list(_buffers(root))
        before = [(module, dict(vars(module))) for module in root.modules()]
        versions = [0 if parameter.is_inference() else parameter._version for parameter in own]
        yield
        written = [name for name, module, key, copy in buffers if _changed(module, key, copy)]
        if copies:
            changed = [not _same(parameter, copies[id(parameter)]) for parameter in own]
            _writes[root] = any(changed)
        else:
            changed = [
                parameter._version != version
                for parameter, version in zip(own, versions, strict=True)
            ]
        if any(changed):
            named = [name for name, _ in root.named_parameters()]
            written += [name for name, is_changed in zip(named, changed, strict=True) if is_changed]
        written += _attributes(root, before)
        if written:
            notes.append(_sentence(written))


def _copied_parameters(root: nn.Module) -> dict[int, Tensor]:
    """Give every module copies of its parameters; ``no_trace`` puts the originals back."""
    copies: dict[int, Tensor] = {}
    for module in root.modules():
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            if id(parameter) not in copies:
                copies[id(parameter)] = nn.Parameter(
                    parameter.detach().clone(), requires_grad=parameter.requires_grad
                )
            module._parameters[name] = copies[id(parameter)]  # type: ignore[assignment]
    return copies


def _buffers(root: nn.Module) -> Iterator[tuple[str, nn.Module, str, Tensor]]:
    for prefix, module in root.named_modules():
        for key, buffer in module._buffers.items():
            if buffer is not None:
                yield (f"{prefix}.{key}" if prefix else key), module, key, buffer


def _changed(module: nn.Module, key: str, copy: Tensor) -> bool:
    now = module._buffers.get(key)
    return now is not copy or copy._version != 0


def _attributes(root: nn.Module, before: list[tuple[nn.Module, dict[str, Any]]]) -> list[str]:
    changed = [(module, held) for module, held in before if not same_entries(vars(module), held)]
    if not changed:
        return []
    names = {id(module): name for name, module in root.named_modules()}
    return [
        f"{name}.{key}" if (name := names.get(id(module), "")) else key
        for module, held in changed
        for key, value in vars(module).items()
        if held.get(key, held) is not value and not key.startswith("_flat_weight")
    ]


def _same(one: Tensor, other: Tensor) -> bool:
    """Compare bytes: NaN equals NaN, and -0.0 differs from 0.0."""
    flat = (t.detach().contiguous().reshape(-1).view(torch.uint8) for t in (one, other))
    return torch.equal(*flat)


def _sentence(written: list[str]) -> str:
    shown = ", ".join(written[:_MOST_NAMED])
    more = len(written) - _MOST_NAMED
    return (
        f"the model writes state even in eval mode ({shown}{f' and {more} more' * (more > 0)}); "
        "it ran on copies"
    )
