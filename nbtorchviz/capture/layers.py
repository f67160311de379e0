"""List and look up the layers of a model by qualified name."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from torch import nn
from torch.jit import ScriptModule
from torch.nn.parallel import DataParallel, DistributedDataParallel

from nbtorchviz.errors import LayerNotFoundError
from nbtorchviz.events import LayerInfo

INPUT = "input"
INPUT_MODULE = "input (module)"
"""What a submodule that is itself called ``input`` is listed as."""
OUTPUT = "output"
"""The only layer of a model without submodules, such as a bare ``nn.Linear``."""

_ALWAYS_STRIPPED = frozenset({"_fsdp_wrapped_module", "_checkpoint_wrapped_module"})


def is_compiled_wrapper(module: nn.Module) -> bool:
    """Tell whether ``torch.compile`` returned this module."""
    # By name: importing torch._dynamo to ask for the class takes a second.
    return "_orig_mod" in module._modules and type(module).__name__ == "OptimizedModule"


def wrapped_name(module: nn.Module) -> str | None:
    """Return the attribute under which a wrapper keeps the user's module; None: no wrapper."""
    if isinstance(module, (DataParallel, DistributedDataParallel)):
        return "module"
    if is_compiled_wrapper(module):
        return "_orig_mod"
    return next((name for name in _ALWAYS_STRIPPED if name in module._modules), None)


def unwrap(model: nn.Module) -> nn.Module:
    """Return the user's own module inside DDP, DataParallel and compiled wrappers."""
    while (name := wrapped_name(model)) is not None:
        inner = model._modules[name]
        if inner is None:
            break
        model = inner
    return model


def split_key(key: str) -> tuple[str, int]:
    """Split ``"layer1.0.relu#1"`` into name and call."""
    name, _, call = key.rpartition("#")
    return (name, int(call)) if name and call.isdigit() else (key, 0)


def join_key(name: str, call: int) -> str:
    """Write name and call as a layer key."""
    return f"{name}#{call}" if call else name


@dataclass(frozen=True, slots=True)
class Entry:
    """One module of the tree. Holds names only, so that it keeps no module alive."""

    name: str
    """Qualified name without wrapper prefixes."""
    raw: str
    """Name for ``model.get_submodule``."""
    type: str
    detail: str
    lists: bool
    """False for containers that are never called, such as ``nn.ModuleList``."""
    own_batch_first: bool | None = None
    """The module's own flag; None where it has none."""
    batch_first: bool | None = None
    """Its own flag, or that of the nearest module around it that has one."""


class Tree:
    """Names of all modules of one model, canonical names and aliases of shared modules."""

    def __init__(self, root: nn.Module) -> None:
        self.entries: dict[str, Entry] = {}
        self.aliases: dict[str, str] = {}
        """Other names of shared modules -> the first one."""
        self.read(root)

    def read(self, root: nn.Module) -> None:
        """Read the names anew: modules may have been added or replaced."""
        self._modules = _identities(root)
        self.entries, self.aliases = {}, {}
        seen: dict[int, str] = {id(root): ""}
        for name, raw, module in _walk(root, "", "", {id(root)}):
            if id(module) in seen:
                self.aliases[name] = seen[id(module)]
                continue
            seen[id(module)] = name
            if name in self.entries:  # the inside of a wrapper that has the name already
                continue
            self.entries[name] = self._entry(name, raw, module)
        if not self.entries:
            self.entries[OUTPUT] = self._entry(OUTPUT, "", root)

    def outdated(self, root: nn.Module) -> bool:
        """Whether modules were added, removed or exchanged since the names were read."""
        return self._modules != _identities(root)

    def refresh(self, root: nn.Module) -> None:
        """Update types and details: a lazy module gets both in its first forward."""
        for name, entry in self.entries.items():
            with contextlib.suppress(AttributeError):
                module = root.get_submodule(entry.raw)
                self.entries[name] = replace(entry, type=type_name(module), detail=detail(module))

    def _entry(self, name: str, raw: str, module: nn.Module) -> Entry:
        own = getattr(unwrap(module), "batch_first", None)
        own = own if isinstance(own, bool) else None
        above = self.entries.get(name.rpartition(".")[0])
        return Entry(
            name,
            raw,
            type_name(module),
            detail(module),
            lists=type(module).forward is not nn.Module.forward,
            own_batch_first=own,
            batch_first=own if own is not None or above is None else above.batch_first,
        )

    def entry(self, name: str) -> Entry | None:
        """Find a module by name or alias."""
        return self.entries.get(name) or self.entries.get(self.aliases.get(name, ""))

    def find(self, key: str, known: Iterable[str]) -> str:
        """Return the canonical key of a layer.

        Raises:
            LayerNotFoundError: no such layer; its message lists the nearest names in ``known``.
        """
        if key == INPUT:
            return key
        name, call = split_key(key)
        entry = self.entry(key) or self.entry(name)
        if entry is None or not entry.lists:
            raise LayerNotFoundError(key, known)
        return entry.name if self.entry(key) else join_key(entry.name, call)

    def listing(self) -> tuple[LayerInfo, ...]:
        """List the layers in ``named_modules`` order, before anything ran."""
        listed = {entry.name for entry in self.entries.values() if entry.lists}
        blocks = blocks_of(listed)
        rows = [LayerInfo(key=INPUT, type=INPUT, depth=0, block=False)]
        rows += [
            LayerInfo(
                key=name,
                type=entry.type,
                depth=len(ancestors(name, listed)),
                block=name in blocks,
                detail=entry.detail,
            )
            for name, entry in self.entries.items()
            if entry.lists
        ]
        return tuple(rows)


def _walk(
    module: nn.Module, name: str, raw: str, above: set[int]
) -> Iterator[tuple[str, str, nn.Module]]:
    hidden = wrapped_name(module)
    for part, child in module._modules.items():
        if child is None or id(child) in above:  # a cycle: a module that contains itself
            continue
        child_raw = f"{raw}.{part}" if raw else part
        child_name = name if part == hidden else (f"{name}.{part}" if name else part)
        if part == "parametrizations" and isinstance(child, nn.ModuleDict):
            continue  # they put out weights, not activations
        if isinstance(child, ScriptModule):
            continue  # it takes no hooks
        yield (INPUT_MODULE if child_name == INPUT else child_name), child_raw, child
        yield from _walk(child, child_name, child_raw, above | {id(child)})


def ancestors(name: str, listed: set[str]) -> list[str]:
    """List the listed layers that a layer lies inside of."""
    parts = name.split(".")
    above = (".".join(parts[:end]) for end in range(1, len(parts)))
    return [other for other in above if other in listed]


def blocks_of(listed: set[str]) -> set[str]:
    """Find the listed layers that have others inside."""
    return {above for name in listed for above in ancestors(name, listed)}


def type_name(module: nn.Module) -> str:
    """Return the class name; of a compiled or parallel wrapper the class inside it."""
    return type(unwrap(module)).__name__


def detail(module: nn.Module) -> str:
    """Describe a module's configuration in a few characters: ``"16→32, 3×3"``."""
    module = unwrap(module)
    if isinstance(module, nn.modules.conv._ConvNd):
        kernel = "×".join(str(size) for size in module.kernel_size)
        text = f"{module.in_channels}→{module.out_channels}, {kernel}"
        if any(stride != 1 for stride in module.stride):
            text += f", stride {'×'.join(map(str, dict.fromkeys(module.stride)))}"
        return text
    if isinstance(module, nn.Linear):
        return f"{module.in_features}→{module.out_features}"
    if isinstance(module, nn.RNNBase):
        both = ", both directions" if module.bidirectional else ""
        return f"{module.input_size}→{module.hidden_size}, {module.num_layers} deep{both}"
    if isinstance(module, nn.MultiheadAttention):
        return f"{module.embed_dim}, {module.num_heads} heads"
    if isinstance(module, nn.Embedding):
        return f"{module.num_embeddings}→{module.embedding_dim}"
    if isinstance(module, nn.modules.batchnorm._NormBase):
        return str(module.num_features)
    if isinstance(module, nn.Dropout):
        return f"p {module.p:g}"
    size = getattr(module, "kernel_size", None)
    if isinstance(size, (int, tuple)) and "Pool" in type(module).__name__:
        sizes = size if isinstance(size, tuple) else (size,)
        return "×".join(
            map(str, sizes * 2 if len(sizes) == 1 and "2d" in type_name(module) else sizes)
        )
    return ""


def _identities(root: nn.Module) -> list[int]:
    return [id(module) for module in root.modules()]
