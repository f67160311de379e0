"""Models whose output does not depend on their input."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nbtorchviz.analysis.findings.finding import HEALTHY, UNSURE, Verdict, sick
from nbtorchviz.analysis.findings.words import number

CONSTANT = 1e-6
"""Spread over the batch as a share of the largest value: what is left of differences in float32,
whose rounding is 6e-8 and adds up over a matrix product. Our choice."""
CONSTANT_NO_MORE = 1e-4


@dataclass(frozen=True, slots=True)
class Spread:
    """How much one layer's output differs between the samples of a batch."""

    layer: str
    spread: float
    """Largest standard deviation over the batch axis; NaN when not known."""
    largest: float
    """Largest absolute value."""

    @property
    def share(self) -> float:
        """Spread as a share of the largest value; 0 where all is zero."""
        if self.largest > 0:
            return self.spread / self.largest
        return self.spread


def constant_output(spreads: Sequence[Spread]) -> Verdict:
    """Find a model that answers every sample of a batch alike, and the layer where that begins.

    Args:
        spreads: of the input and of the layers without layers inside, in the order of the calls.
    """
    if not spreads:
        return UNSURE
    output = spreads[-1]
    if math.isnan(output.share):
        return UNSURE
    if output.share > CONSTANT:
        return HEALTHY if output.share > CONSTANT_NO_MORE else UNSURE
    first = output
    for spread in reversed(spreads):
        if not spread.share <= CONSTANT:
            break
        first = spread
    if first is spreads[0] and len(spreads) > 1:
        return UNSURE  # a batch of equal samples, or an input that is not a tensor
    begins = "" if first is output else f"; {first.layer} is the first layer that is constant"
    return sick(
        f"The output does not depend on the input: {output.layer} is the same for every sample",
        f"largest standard deviation over the batch {number(output.spread)} at values up to "
        f"{number(output.largest)}{begins}",
        layer=first.layer,
        remedy=f"Look at {first.layer} in ActivationBrowser and at what goes into it.",
    )
