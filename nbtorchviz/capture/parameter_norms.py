"""Norms of many tensors in one call and one copy to the host, and of many vectors in one pass."""

import math
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nbtorchviz.capture.tensors import HostCopy

ALIKE = 1e-2
"""Values that were scaled alike differ by their rounding only: 0.4 % of the largest in bfloat16."""


class Norms:
    """L2 norms of some tensors, in float32 whatever their own type, on their way to the host.

    Args:
        tensors: dense floating ones, at least one.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._copies = [HostCopy(part) for part in _stacked(tensors)]
        self._values: list[float] | None = None

    @property
    def ready(self) -> bool:
        """True when no copy is still on its way from the device."""
        return all(copy.ready for copy in self._copies)

    def values(self) -> list[float]:
        """Return one number per tensor."""
        if self._values is None:
            self._values = [value for copy in self._copies for value in copy.host().tolist()]
        return self._values


def _stacked(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Norms in the order of the tensors, as a vector where all lie on one device."""
    with torch.no_grad():
        if all(tensor.dtype is torch.float32 for tensor in tensors):
            norms = list(torch._foreach_norm(list(tensors)))
        else:
            norms = [_norm(tensor) for tensor in tensors]
        if len({norm.device for norm in norms}) == 1:
            return [torch.stack(norms)]
        return [norm.reshape(1) for norm in norms]


def _norm(tensor: Tensor) -> Tensor:
    wide = tensor.dtype is torch.float64  # which torch does not narrow by itself
    norm: Tensor = torch.linalg.vector_norm(tensor, dtype=None if wide else torch.float32)
    return norm.float()


@dataclass(frozen=True, slots=True)
class _Kept:
    parameter: weakref.ref[Tensor]
    norms: Norms
    place: int
    at_s: float

    def of(self, parameter: Tensor) -> bool:
        # A weight that was zero is one that has only begun to grow.
        grown = self.norms.ready and self.norms.values()[self.place] > 0
        return grown and self.parameter() is parameter


class WeightNorms:
    """Norms of the weights, which change slowly: those of the last second will do.

    Args:
        clock: seconds, monotonic.
    """

    KEPT_S = 1.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[int, _Kept] = {}

    def norms(
        self, parameters: Mapping[int, Tensor], *, exact: bool = False
    ) -> dict[int, tuple[Norms, int]]:
        """Return where the norm of each is, by the same number.

        Args:
            parameters: by any number.
            exact: none may be older than this call.
        """
        now = self._clock()
        stale = [
            at
            for at, parameter in parameters.items()
            if exact
            or (kept := self._kept.get(at)) is None
            or now - kept.at_s >= self.KEPT_S
            or not kept.of(parameter)
        ]
        if stale:
            norms = Norms([parameters[at].detach() for at in stale])
            for place, at in enumerate(stale):
                self._kept[at] = _Kept(weakref.ref(parameters[at]), norms, place, now)
        return {at: (self._kept[at].norms, self._kept[at].place) for at in parameters}


def same_values(one: Mapping[int, NDArray[Any]], other: Mapping[int, NDArray[Any]]) -> list[int]:
    """List the parameters of which the same values were read twice; one pass over all."""
    places = [at for at in one if at in other and one[at].size == other[at].size > 0]
    if not places:
        return []
    same = np.concatenate([one[at] for at in places]) == np.concatenate(
        [other[at] for at in places]
    )
    sizes = np.array([one[at].size for at in places])
    kept = np.logical_and.reduceat(same, np.cumsum(sizes) - sizes)
    return [at for at, equal in zip(places, kept.tolist(), strict=True) if equal]


def lengths(vectors: Sequence[NDArray[Any]]) -> list[float]:
    """L2 of each vector, in float64; one pass over all of them."""
    sizes = np.array([vector.size for vector in vectors], np.int64)
    found, full = np.zeros(len(vectors)), np.flatnonzero(sizes)
    if full.size:
        with np.errstate(over="ignore", invalid="ignore"):
            squares = np.square(np.concatenate(vectors, dtype=np.float64))
            starts = (np.cumsum(sizes) - sizes)[full]
            found[full] = np.sqrt(np.add.reduceat(squares, starts))
    return found.tolist()


def scales_between(
    before: Sequence[NDArray[Any]], after: Sequence[NDArray[Any]]
) -> list[float | None]:
    """By what factor each vector was multiplied; None where not all values by the same."""
    found: list[float | None] = []
    for one, other, was, now in zip(before, after, lengths(before), lengths(after), strict=True):
        scale = now / was if was > 0 else 0.0
        alike = one.size == other.size and 0 < scale < math.inf
        if alike:
            wanted = one.astype(np.float64) * scale
            alike = bool(np.abs(wanted - other).max() <= ALIKE * np.abs(wanted).max())
        found.append(scale if alike else None)
    return found
