"""What earlier forwards of a model have shown about it, so that a later one hooks less."""

from dataclasses import dataclass, field

from torch import nn

from nbtorchviz.attribution.reading import Reading, read
from nbtorchviz.attribution.taps import Taps
from nbtorchviz.capture.by_identity import ByIdentity
from nbtorchviz.capture.layers import Tree
from nbtorchviz.capture.plans import Inputs
from nbtorchviz.capture.survey import CallRecord

_MOST_SHAPES = 8

Shapes = tuple[tuple[int, ...], ...]


@dataclass(slots=True)
class Seen:
    """One whole forward."""

    calls: tuple[CallRecord, ...]
    recomputes: bool
    readings: dict[bool, Reading] = field(default_factory=dict)
    """Without and with a list of images."""
    usual: str = ""
    """The last layer that is worth a map, once it has explained something."""
    overwrites: bool = False
    """Whether what that layer puts out is written to afterwards, so that it must be copied."""

    def read(self, inputs: Inputs, shapes: Shapes) -> Reading:
        """Infer the layout of every call; once for all inputs of these shapes."""
        first = inputs.args[0] if inputs.args else None
        listed = isinstance(first, list)
        found = self.readings.get(listed)
        if found is None:
            found = self.readings[listed] = read(inputs, shapes, self.calls)
        return found


@dataclass(slots=True)
class Structure:
    """Names of a model's modules, and its calls by the shapes of its inputs."""

    signature: tuple[tuple[str, type, int], ...]
    tree: Tree
    seen: dict[Shapes, Seen] = field(default_factory=dict)
    early: set[frozenset[str]] = field(default_factory=set)
    """Layers for which gradients have to be on from the start, see ``LateError``."""

    def learn(self, shapes: Shapes, taps: Taps) -> Seen:
        """Note a forward in which every module was hooked."""
        if len(self.seen) >= _MOST_SHAPES:
            self.seen.clear()
        found = self.seen[shapes] = Seen(tuple(taps.calls), taps.recomputes)
        return found

    def fits(self, shapes: Shapes, taps: Taps, names: frozenset[str]) -> bool:
        """Tell whether a forward with hooks on ``names`` alone went as the one that is known."""
        return taps.calls == [call for call in self.seen[shapes].calls if call.name in names]


_structures: ByIdentity[Structure] = ByIdentity()


def structure_of(root: nn.Module) -> Structure:
    """Return what is known; nothing is, once a module was added, replaced or renamed."""
    return surveyed(root)[0]


def surveyed(root: nn.Module) -> tuple[Structure, dict[str, nn.Module]]:
    """Return what is known, and all modules by all of their names, the root first."""
    named: dict[str, nn.Module] = {}
    _walk(root, "", named)
    signature = tuple([(name, type(module), id(module)) for name, module in named.items()])
    known = _structures.get(root)
    if known is None or known.signature != signature:
        known = _structures[root] = Structure(signature, Tree(root))
    return known, named


def _walk(module: nn.Module, name: str, named: dict[str, nn.Module]) -> None:
    """As ``named_modules(remove_duplicate=False)``, in a third of the time."""
    named[name] = module
    for key, child in module._modules.items():
        if child is not None:
            _walk(child, f"{name}.{key}" if name else key, named)
