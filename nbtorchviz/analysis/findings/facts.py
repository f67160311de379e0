"""What is known about the model: types of layers, the order of their calls, who has parameters."""

from collections.abc import Iterable, Sequence

from nbtorchviz.analysis.findings.names import is_batch_norm, is_dropout, module_of
from nbtorchviz.events import ModelAttached

INPUT = "input"
NO_DROPOUT = "p 0"
"""Detail of a dropout layer that leaves nothing out."""


class ModelFacts:
    """Knows the layers by name. Holds no more than the events of one model name."""

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {}
        """Module name -> class name."""
        self.shapes: dict[str, tuple[int, ...]] = {}
        """Layer key -> shape of its output without the batch axis."""
        self.parameters: tuple[str, ...] = ()
        """Parameters that are not frozen."""
        self.owners: set[str] = set()
        """Layers with parameters of their own, frozen ones included."""
        self.frozen: set[str] = set()
        """Layers all of whose parameters are frozen."""
        self.two_moded: tuple[str, ...] = ()
        """BatchNorm and dropout layers: those that behave otherwise in eval."""
        self.told = 0
        """Grows with whatever changes kinds or nesting."""
        self._blocks: set[str] = set()
        self._place: dict[str, int] = {}
        self._called: tuple[str, ...] = ()

    def attached(self, event: ModelAttached) -> None:
        """Take in the list of layers."""
        self.told += 1
        self.kinds = {module_of(layer.key): layer.type for layer in event.layers}
        self.shapes = {layer.key: layer.shape for layer in event.layers if layer.shape is not None}
        idle = {module_of(layer.key) for layer in event.layers if layer.detail == NO_DROPOUT}
        self.two_moded = tuple(
            name
            for name, kind in self.kinds.items()
            if is_batch_norm(kind) or (is_dropout(kind) and name not in idle)
        )
        self._blocks = {layer.key for layer in event.layers if layer.block}
        self._called = ()

    def called(self, layers: tuple[str, ...]) -> None:
        """Take in the order in which the layers were called."""
        if layers == self._called:
            return
        self._called = layers
        self.told += 1
        self._place = {}
        for place, key in enumerate(layers):
            module = module_of(key)
            self._place.setdefault(module, place)
            parts = module.split(".")
            self._blocks.update(".".join(parts[:end]) for end in range(1, len(parts)))

    def kind(self, layer: str) -> str:
        """Return the class name of a layer; ``""`` when it is not known."""
        return self.kinds.get(module_of(layer), "")

    def is_leaf(self, layer: str) -> bool:
        """Tell whether no other listed layer lies inside it."""
        return module_of(layer) not in self._blocks and layer != INPUT

    def in_order(self, layers: Iterable[str]) -> list[str]:
        """Sort layers by their first call; one that was not seen follows the one given before."""
        keyed: list[tuple[int, int, str]] = []
        place = -1
        for index, layer in enumerate(layers):
            place = self._place.get(layer, place)
            keyed.append((place, index, layer))
        return [layer for _, _, layer in sorted(keyed)]

    def followed_by_parameters(self, layers: Sequence[str]) -> set[str]:
        """Return the layers after whose first call a layer with parameters is called.

        The others are the model's output, such as the sigmoid of a classifier.
        """
        last = max(
            (at for at, key in enumerate(layers) if module_of(key) in self.owners), default=-1
        )
        return set(layers[: max(last, 0)])
