"""One row per parameter out of ``ParameterStatisticsCaptured``, and the weight of each layer."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from nbtorchviz.analysis.findings.names import layer_of
from nbtorchviz.events import ParameterStatisticsCaptured

NAN = math.nan
BARELY_BEGUN = 0.1
"""Share of the usual weight of a model below which a layer has not grown to its size yet, as a new
head that begins at zero: what is compared with its weight says nothing about it. Measured while its
updates are more than 10 % of it, in trainings that learn: at most 0.09."""


@dataclass(slots=True, kw_only=True)
class ParameterRow:
    """What one optimizer step showed of one parameter; NaN where it was not measured."""

    name: str
    """``"conv1.weight"``."""
    state: str = ""
    """As in the event: ``""``, ``"frozen"``, ``"unused"``, ``"no optimizer"``, ..."""
    gradient: float = NAN
    """L2 norm of the gradient that the optimizer got."""
    weight: float = NAN
    """L2 norm of the parameter before the step."""
    update: float = NAN
    """L2 norm of what the step changed."""
    rate: float = NAN
    """Learning rate."""
    count: int = 0
    """Elements; 0 when not known."""
    nonfinite: int = 0
    """Non-finite gradient values among those read."""
    layer: str = field(init=False)
    """The layer that owns it."""

    def __post_init__(self) -> None:
        self.layer = layer_of(self.name)

    @property
    def gradient_rms(self) -> float:
        """Root mean square of the gradient's elements; NaN when not known."""
        return self.gradient / math.sqrt(self.count) if self.count > 0 else NAN

    @property
    def weight_rms(self) -> float:
        """Root mean square of the parameter's elements; NaN when not known."""
        return self.weight / math.sqrt(self.count) if self.count > 0 else NAN

    @property
    def ratio(self) -> float:
        """Size of the update as a share of the weights; NaN when not known or 0 / 0."""
        if not self.weight > 0:
            return NAN
        return self.update / self.weight

    @property
    def trained(self) -> bool:
        """True when the step was meant to change it."""
        return self.state in ("", "sparse", "shard")


def read_rows(event: ParameterStatisticsCaptured) -> list[ParameterRow]:
    """Read an event whose optional columns may be missing or short."""
    names = event.parameters
    gradients, weights = _floats(event.gradient_norms, names), _floats(event.norms, names)
    updates, rates = _floats(event.update_norms, names), _floats(event.learning_rates, names)
    counts, nonfinite = _whole(event.counts, names), _whole(event.nonfinite, names)
    states = (*event.states[: len(names)], *[""] * (len(names) - len(event.states)))
    return [
        ParameterRow(
            name=name,
            state=states[at],
            gradient=gradients[at],
            weight=weights[at],
            update=updates[at],
            rate=rates[at],
            count=counts[at],
            nonfinite=nonfinite[at],
        )
        for at, name in enumerate(names)
    ]


def main_weights(rows: Iterable[ParameterRow]) -> list[ParameterRow]:
    """Return the largest parameter of each layer, in the order given.

    Biases and the scales of normalisation layers begin at 0 or 1 and say little about the others:
    rules of thumb speak about the weight matrices.
    """
    largest: dict[str, ParameterRow] = {}
    for row in rows:
        known = largest.get(row.layer)
        if known is None or row.count > known.count:
            largest[row.layer] = row
    return list(largest.values())


def usual_weight(rows: Iterable[ParameterRow]) -> float:
    """Return the median root mean square of the weights; NaN when none is known."""
    return median([row.weight_rms for row in rows if row.weight_rms > 0] or [NAN])


def _floats(column: Sequence[float] | object, names: Sequence[str]) -> list[float]:
    values = [float(value) for value in _listed(column)[: len(names)]]
    return values + [NAN] * (len(names) - len(values))


def _whole(column: Sequence[int] | object, names: Sequence[str]) -> list[int]:
    values = [int(value) for value in _listed(column)[: len(names)]]
    return values + [0] * (len(names) - len(values))


def _listed(column: object) -> list[float]:
    as_list = getattr(column, "tolist", None)
    return list(as_list()) if as_list is not None else []
