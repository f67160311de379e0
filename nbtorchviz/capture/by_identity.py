"""Remember something of each model, whatever the model's class says about equality."""

import weakref
from typing import Generic, TypeVar

from torch import nn

V = TypeVar("V")


class ByIdentity(Generic[V]):
    """Values by model, held weakly. Unlike a ``WeakKeyDictionary`` it asks no ``__eq__``.

    A module that defines ``__eq__`` may equal another one, which is another model all the same.
    """

    def __init__(self) -> None:
        self._items: dict[int, tuple[weakref.ref[nn.Module], V]] = {}

    def get(self, model: nn.Module) -> V | None:
        """Return what is remembered of ``model``; None: nothing."""
        found = self._items.get(id(model))
        return None if found is None or found[0]() is not model else found[1]

    def __setitem__(self, model: nn.Module, value: V) -> None:
        key, items = id(model), self._items

        def forget(gone: "weakref.ref[nn.Module]") -> None:
            found = items.get(key)
            if found is not None and found[0] is gone:  # else another model has the number now
                del items[key]

        items[key] = weakref.ref(model, forget), value
