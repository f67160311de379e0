"""Mean and standard deviation that a user's transforms normalise with, so that it can be undone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from nbtorchviz.arguments import refusal

ACCEPTED = (
    "what prepared the images: a torchvision transform (v1 or v2), Compose, Normalize, a list of "
    "them, nn.Sequential or weights.transforms()"
)
_NAMES = (("mean", "std"), ("image_mean", "image_std"))
_DEEPEST = 20
"""Transforms inside transforms."""


@dataclass(frozen=True, slots=True)
class Normalisation:
    """What was done to an image with values in [0, 1]: ``(x - mean) / std``."""

    mean: tuple[float, ...] = (0.0,)
    """One for each channel, or one."""
    std: tuple[float, ...] = (1.0,)

    def then(self, mean: Sequence[float], std: Sequence[float]) -> "Normalisation":
        """Return this normalisation followed by another."""
        first = np.broadcast_arrays(self.mean, self.std, mean, std)
        own_mean, own_std, later_mean, later_std = first
        both = (own_mean + own_std * later_mean, own_std * later_std)
        return Normalisation(*(tuple(each.tolist()) for each in both))

    def for_channels(self, count: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation for images of ``count`` channels.

        Raises:
            ValueError: it is for another number of channels.
        """
        if len(self.mean) not in (1, count):
            raise ValueError(
                f"transforms= normalises {len(self.mean)} channels, and the images have {count}."
            )
        return self.mean, self.std

    @property
    def text(self) -> str:
        """Name the numbers."""
        if self == Normalisation():
            return "no normalisation in transforms="
        mean, std = (", ".join(f"{x:.4g}" for x in each) for each in (self.mean, self.std))
        return f"normalisation undone: mean {mean}; std {std} (transforms=)"


def normalisation_of(transforms: Any) -> Normalisation | None:
    """Find mean and standard deviation in transforms; None for None.

    Args:
        transforms: see ``ACCEPTED``. Several normalisations are taken one after another.

    Raises:
        TypeError: nothing that can be looked into, such as a function of the user's.
        ValueError: one is applied at random, or the numbers of channels differ.
    """
    if transforms is None:
        return None
    if isinstance(transforms, partial):  # weights.transforms without ()
        transforms = transforms()
    if not _readable(transforms):
        raise refusal("transforms", ACCEPTED, transforms)
    found = Normalisation()
    for mean, std in _each(transforms, 0, random=False):
        try:
            found = found.then(mean, std)
        except ValueError:
            raise ValueError(
                f"transforms= normalises {len(found.mean)} channels, then {len(mean)}."
            ) from None
    return found


def _readable(transform: Any) -> bool:
    """Tell whether one can say what normalisation a transform holds."""
    if isinstance(transform, list | tuple):
        return bool(transform)
    if _numbers(transform) is not None or _inner(transform) is not None:
        return True
    return "transforms" in type(transform).__module__  # one of torchvision's that has no mean


def _each(
    transform: Any, depth: int, *, random: bool
) -> Iterator[tuple[tuple[float, ...], tuple[float, ...]]]:
    numbers = _numbers(transform)
    if numbers is not None:
        if random:
            raise ValueError(
                "transforms= normalises at random, so one cannot say how these images were made: "
                "give the transform that was applied."
            )
        yield numbers
        return
    random = random or type(transform).__name__.startswith("Random")
    if depth < _DEEPEST:
        for inner in _inner(transform) or ():
            yield from _each(inner, depth + 1, random=random)


def _numbers(transform: Any) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return mean and standard deviation of a transform that has both."""
    for names in _NAMES:
        mean, std = (_floats(getattr(transform, name, None)) for name in names)
        if mean is not None and std is not None:
            return mean, std
    return None


def _floats(values: Any) -> tuple[float, ...] | None:
    if values is None or callable(values):
        return None
    try:
        found = np.asarray(values, np.float64).reshape(-1)
    except (TypeError, ValueError):
        return None
    return tuple(found.tolist()) if len(found) else None


def _inner(transform: Any) -> list[Any] | None:
    """Return the transforms inside one: of a list, a Compose, an ``nn.Sequential``."""
    if isinstance(transform, list | tuple):
        return list(transform)
    inner = getattr(transform, "transforms", None)
    if isinstance(inner, list | tuple):
        return list(inner)
    if type(transform).__name__ == "Sequential" and hasattr(transform, "children"):
        return list(transform.children())
    return None
