"""Run a model with gradients, in eval mode, and leave no trace of it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from nbtorchviz.capture.by_identity import ByIdentity
from nbtorchviz.capture.compiled import eager, is_compiled
from nbtorchviz.capture.hooks import own_forward
from nbtorchviz.capture.module_state import Written
from nbtorchviz.capture.permission import asked
from nbtorchviz.capture.probe import no_trace

_writes: ByIdentity[bool] = ByIdentity()
"""Model -> whether its forward changes parameters even in eval mode, as seen in a first run."""
_MOST_NAMED = 4


@contextmanager
def guarded(
    root: nn.Module, notes: list[str], modules: Sequence[nn.Module] | None = None
) -> Iterator[None]:
    """Everything that ``no_trace`` promises, with gradients on; parameters are safe too.

    Buffers and attributes are always copies. The first run of a model is on copies of its
    parameters as well, which are compared byte by byte afterwards. A model that changed them
    runs on copies ever after; the others run on their own, guarded by version counters. What those
    do not count, a write through ``.data``, is missed if it begins after a clean first run.

    Args:
        root: the user's module, unwrapped.
        notes: a sentence is added when state was written.
        modules: ``list(root.modules())``, from whoever has it.

    Raises:
        RunRefusedError: the model has lazy parameters, is sharded across ranks, or is being
            trained by another thread.
    """
    asked(root)
    changed: list[str] = []
    with ExitStack() as stack:
        stack.enter_context(own_forward())
        held = stack.enter_context(no_trace(root, modules))
        stack.enter_context(eager(needed=any(map(is_compiled, held.modules))))
        stack.enter_context(torch.enable_grad())
        own = held.parameters
        copies: dict[int, Tensor] = {}
        versions: list[int] = []
        if _writes.get(root) is not False or any(parameter.is_inference() for parameter in own):
            copies = _copied_parameters(held.modules)
        else:
            versions = [parameter._version for parameter in own]
        yield
        if copies:
            same = [_same(parameter, copies[id(parameter)]) for parameter in own]
            _writes[root] = not all(same)
        else:
            pairs = zip(own, versions, strict=True)
            same = [parameter._version == version for parameter, version in pairs]
        if not all(same):
            names = (name for name, _ in root.named_parameters())
            changed += [name for name, is_same in zip(names, same, strict=True) if not is_same]
    changed += _named(root, held.written)
    if changed:
        notes.append(_sentence(changed))


def _copied_parameters(modules: Iterable[nn.Module]) -> dict[int, Tensor]:
    """Give every module copies of its parameters; ``no_trace`` puts the originals back."""
    copies: dict[int, Tensor] = {}
    for module in modules:
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            if id(parameter) not in copies:
                copies[id(parameter)] = nn.Parameter(
                    parameter.detach().clone(), requires_grad=parameter.requires_grad
                )
            module._parameters[name] = copies[id(parameter)]  # type: ignore[assignment]
    return copies


def _named(root: nn.Module, entries: Written) -> list[str]:
    """Return the qualified names of entries of modules."""
    if not entries:
        return []
    names = {id(module): name for name, module in root.named_modules()}
    return [
        f"{name}.{key}" if (name := names.get(id(module), "")) else key for module, key in entries
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
