"""What the open widgets look at, and the plan that follows from it.

Widgets state their look at any time from any thread; the training thread reads it at the next
root forward. Only the newest look of a widget counts.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nbtorchviz.capture.plans import Plan, Want, WeightWant

KEPT_LIMIT = 64_000
"""Most values of a layer that is kept only for the slider; larger ones are pooled."""
NEIGHBOURS = 2
"""Layers kept before and after the watched one, in the order of the slider."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one widget wants to see."""

    layer: str
    path: str = ""
    sample: int = 0
    gradient: bool = False
    pinned: bool = False
    """Of the pinned input instead of the training batches."""


def _always() -> bool:
    return True


class Looks:
    """The newest look of every open widget, and whether a user has just moved."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._looks: dict[int, Look | WeightWant] = {}
        self._wanted: dict[int, Callable[[], bool]] = {}
        self.urgent = False
        """A user moved, or looks again, and no sample was taken since."""
        self.on_urgent: Callable[[], None] = lambda: None
        """Called when that begins or is said again, on the thread that says so."""

    def set(
        self,
        owner: int,
        look: Look | WeightWant,
        *,
        urgent: bool = False,
        wanted: Callable[[], bool] = _always,
    ) -> None:
        """Replace what ``owner`` (an id) looks at.

        Args:
            owner: its id.
            look: at a layer, or at a parameter.
            urgent: a user's move waits for it.
            wanted: whether it is to be read now, asked at each sample.
        """
        with self._lock:
            self._looks[owner], self._wanted[owner] = look, wanted
            self.urgent = self.urgent or urgent
        if urgent:
            self.on_urgent()

    def hurry(self, owner: int) -> None:
        """Note that a user waits for a fresh picture of what ``owner`` looks at, if anything."""
        with self._lock:
            self.urgent = self.urgent or owner in self._looks
        self.on_urgent()

    def all(self) -> tuple[Look, ...]:
        """Return the looks at layers without taking them."""
        return tuple(look for look in self._now() if isinstance(look, Look))

    def drop(self, owner: int) -> None:
        """Forget ``owner``."""
        with self._lock:
            self._looks.pop(owner, None)
            self._wanted.pop(owner, None)

    def take(self) -> tuple[tuple[Look, ...], tuple[WeightWant, ...]]:
        """Return the looks to serve now, and note that they are being served.

        Returns:
            Those at layers and those at parameters.
        """
        self.urgent = False
        now = self._now()
        layers = tuple(look for look in now if isinstance(look, Look))
        return layers, tuple(look for look in now if isinstance(look, WeightWant))

    def _now(self) -> list[Look | WeightWant]:
        with self._lock:
            looks = [(look, self._wanted[owner]) for owner, look in self._looks.items()]
        return list(dict.fromkeys(look for look, wanted in looks if wanted()))

    def __len__(self) -> int:
        return len(self._looks)


def make_plan(
    looks: Sequence[Look],
    layers: Sequence[str],
    visited: Mapping[str, float],
    extra: int,
    *,
    survey: bool = False,
) -> Plan:
    """Decide which layers the next window reads.

    Args:
        looks: what the widgets look at; each is read at full resolution with exact statistics.
        layers: all layer keys in the order of the slider.
        visited: when each kept layer was last captured; unvisited layers come first.
        extra: how many further layers the budget allows for the sliders' sake.
        survey: also record execution order and shapes.
    """
    wants: dict[tuple[str, str, int], Want] = {}
    for look in looks:
        place = (look.layer, look.path, look.sample)
        gradient = look.gradient or (place in wants and wants[place].gradient)
        wants[place] = Want(key=look.layer, path=look.path, sample=look.sample, gradient=gradient)
    sample = looks[0].sample if looks else 0
    for layer in _kept_order(looks, layers, visited)[:extra]:
        wants[layer, "", sample] = Want(
            key=layer, sample=sample, limit=KEPT_LIMIT, exact=False, watched=False
        )
    return Plan(wants=tuple(wants.values()), survey=survey)


def first_paths(plan: Plan, caught: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Tell where the tensors lay that were asked for without a path: {layer: path}.

    Args:
        plan: what was asked for.
        caught: layer and path of all that came.
    """
    found: dict[str, str] = {}
    for layer in {want.key for want in plan.wants if not want.path}:
        came = [path for key, path in caught if key == layer]
        for want in plan.wants:
            if want.key == layer and want.path in came:
                came.remove(want.path)
        if came:
            found[layer] = came[0]
    return found


def _kept_order(
    looks: Sequence[Look], layers: Sequence[str], visited: Mapping[str, float]
) -> list[str]:
    """Layers to keep, most useful first: unvisited, then neighbours in turn with the oldest."""
    places = {layer: index for index, layer in enumerate(layers)}
    watched = {look.layer for look in looks}
    others = [layer for layer in layers if layer not in watched]
    unvisited = [layer for layer in others if layer not in visited]
    centres = [places[layer] for layer in watched if layer in places]
    near = [
        layer
        for layer in others
        if layer in visited and any(abs(places[layer] - c) <= NEIGHBOURS for c in centres)
    ]
    oldest = sorted((layer for layer in others if layer in visited), key=visited.__getitem__)
    near.sort(key=visited.__getitem__)
    turns = [layer for pair in zip(near, oldest, strict=False) for layer in pair]
    return list(dict.fromkeys([*unvisited, *turns, *near, *oldest]))
