"""What the checks of a map found: numbers, a verdict and a sentence with its source."""

import math
from dataclasses import dataclass

from nbtorchviz.attribution.methods import name_of

CLOSE = 0.7
"""Rank correlation from which two maps are said to agree."""
APART = 0.3
KEPT = 0.5
"""Rank correlation from which a map is said to outlive its weights."""


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """What happens to the class's probability when pixels go, or come, in the map's order."""

    deletion: float
    """Mean probability while the map's strongest pixels are blurred first; low is good."""
    insertion: float
    """Mean probability while they come back first into a blurred picture; high is good."""
    deletion_beats: int
    """How many random maps have a higher deletion."""
    insertion_beats: int
    """How many random maps have a lower insertion."""
    randoms: int

    @property
    def verdict(self) -> str:
        """Say in a few words what follows from the ranks."""
        ranks = (self.deletion_beats / self.randoms, self.insertion_beats / self.randoms)
        if min(ranks) >= 0.9:
            return "The pixels it marks matter to the model."
        if max(ranks) <= 0.5:
            return "No better than random maps: do not trust it."
        return "Only partly better than random maps."

    @property
    def text(self) -> str:
        """Say it in sentences; a bare area proves nothing, so the rank is in them."""
        return (
            f"{self.verdict} Blurring the map's strongest pixels first leaves a mean probability "
            f"of {self.deletion:.3f}, lower than with {self.deletion_beats} of {self.randoms} "
            f"random maps; showing them first gives {self.insertion:.3f}, higher than with "
            f"{self.insertion_beats} of {self.randoms} (Petsiuk et al. 2018, RISE, "
            "arXiv:1806.07421)."
        )


@dataclass(frozen=True, slots=True)
class Dependence:
    """How much of a map is left when weights are replaced by random ones, from the head down."""

    correlations: dict[str, float]
    """Layer down to which weights are random -> rank correlation with the map; the model's last
    layer first. NaN where the map became constant."""

    @property
    def verdict(self) -> str:
        """Say in a few words what follows from the first, the least and the last correlation."""
        head, first = next(iter(self.correlations.items()))
        found = [value for value in self.correlations.values() if not math.isnan(value)]
        end = list(self.correlations.values())[-1]
        if len(found) == len(self.correlations) and min(found) >= KEPT:
            return "It hardly depends on the weights: do not trust it."
        if first >= 0.9:
            return f"It depends on the weights, but hardly on those of the head {head!r}."
        if end >= KEPT:
            return (
                "Mixed: it changes with the weights, yet with all of them random it is alike again."
            )
        return "It depends on the weights."

    @property
    def text(self) -> str:
        """Say it in sentences."""
        (head, first), (last, end) = (list(self.correlations.items())[at] for at in (0, -1))
        return (
            f"{self.verdict} With random weights in {head!r} the map's rank correlation with the "
            f"real one is {_number(first)}, with random weights down to {last!r} {_number(end)}; a "
            "map that explains the model falls towards 0 or below (Adebayo et al. 2018, Sanity "
            "Checks for Saliency Maps, arXiv:1810.03292; one seed)."
        )


@dataclass(frozen=True, slots=True)
class Agreement:
    """How alike the maps of other methods are, at the same layer for the same classes."""

    method: str
    """Of the map that the others are compared with."""
    correlations: dict[str, float]
    """Other method -> rank correlation. NaN where a map is constant."""

    @property
    def verdict(self) -> str:
        """Say in a few words what follows from the least alike."""
        known = [value for value in self.correlations.values() if not math.isnan(value)]
        if not known:
            return "There is nothing to compare: the maps are constant."
        if min(known) >= CLOSE:
            return "The methods agree."
        if max(known) < APART:
            return "The methods disagree: do not trust one of them alone."
        return "The methods agree in part."

    @property
    def text(self) -> str:
        """Say it in sentences."""
        found = [f"{name_of(name)} {_number(value)}" for name, value in self.correlations.items()]
        return (
            f"{self.verdict} Rank correlation of {name_of(self.method)} with {', '.join(found)}. "
            "Agreement does not prove a map right; where two disagree, at most one is "
            "(Krishna et al. 2022, The Disagreement Problem, arXiv:2202.01602)."
        )


def _number(value: float) -> str:
    return "undefined (it became constant)" if math.isnan(value) else f"{value:.2f}"
