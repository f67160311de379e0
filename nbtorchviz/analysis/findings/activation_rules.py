"""Layers that pass nothing on: ReLUs that are always 0, squashing layers stuck at their limits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.findings.finding import HEALTHY, UNSURE, Verdict, sick
from nbtorchviz.analysis.findings.names import RECURRENT_TANH, RELU_LIKE, SQUASHING
from nbtorchviz.analysis.findings.words import listed, number, percent
from nbtorchviz.events import Statistics

DEAD = 1.0
"""Zero share of the values read of a layer. In healthy models a ReLU layer is zero at 30 to 95 %,
in a sparse autoencoder at 99.9 %: only nothing else in ten batches of 2,048 values read is dead."""
DEAD_NO_MORE = 0.999
ALMOST_DEAD = 0.98
"""Zero share from which on a layer is said to be almost dead, as a hint: a sparse autoencoder is
meant so. Our choice: where a hidden layer of 64 came to 98.7 %, 62 % of held-out digits were read
correctly, at 99.9 % and more 11 %, with a healthy learning rate 93 %."""
ALMOST_DEAD_NO_MORE = 0.95
FEWEST_VALUES = 16

SATURATED = 0.05
"""Mean slope of a tanh or sigmoid, as a share of its largest slope (1 and 1/4). At 0.05 half of
all outputs or more are within 2.5 % of the limits, and twenty times less gradient passes.
Glorot and Bengio 2010, section 3, show training stuck at such layers; healthy nets: 0.2 to 1."""
SATURATED_NO_MORE = 0.1
NEAR_LIMIT = 0.95
"""Outputs scaled to -1 .. 1 count as at the limit from here on."""

DEAD_CHANNELS = 0.5
"""Share of a layer's channels that are zero for the whole window from which on it is told. Some
dead channels are usual in ReLU networks and do no harm."""
DEAD_CHANNELS_NO_MORE = 0.4
WINDOW = 20
"""Batches for which a channel must have been zero."""


def dead_relu(kind: str, statistics: Statistics) -> Verdict:
    """Find a ReLU-like layer that puts out nothing but zeros."""
    claim = "Dead ReLU: {who} puts out zeros only, and no gradient passes it"
    return _by_zeros(kind, statistics, DEAD, DEAD_NO_MORE, claim)


def almost_dead_relu(kind: str, statistics: Statistics) -> Verdict:
    """Find a ReLU-like layer that puts out hardly anything but zeros."""
    claim = "{who} is almost dead: it puts out hardly anything but zeros"
    return _by_zeros(kind, statistics, ALMOST_DEAD, ALMOST_DEAD_NO_MORE, claim)


def _by_zeros(kind: str, statistics: Statistics, ill: float, well: float, claim: str) -> Verdict:
    """Judge a ReLU-like layer by its zero share: sick from ``ill`` on, healthy below ``well``."""
    if kind not in RELU_LIKE:
        return HEALTHY
    share = statistics.zero_share
    if share is None or not math.isfinite(share) or statistics.sampled < FEWEST_VALUES:
        return UNSURE
    if share < ill:
        return HEALTHY if share < well else UNSURE
    read = f"{statistics.sampled:,} values read" if not statistics.exact else "all values read"
    return sick(claim, f"{percent(share)} of its output is 0 ({read})")


def saturated(kind: str, statistics: Statistics) -> Verdict:
    """Find a tanh or sigmoid that sits at its limits, or a recurrent layer whose states do.

    With outputs t scaled to -1 .. 1 the slope of both is proportional to 1 - t**2, so that mean
    and standard deviation give the mean slope exactly: 1 - (mean**2 + std**2). They also give a
    lower bound of the share p of outputs with ``|t| >= s``: mean(t**2) <= p + (1 - p) * s**2.
    """
    recurrent = kind in RECURRENT_TANH
    limits = SQUASHING["Tanh"] if recurrent else SQUASHING.get(kind)
    if limits is None or (recurrent and not (statistics.minimum or 0) < 0):  # states of a ReLU
        return HEALTHY
    mean, std = statistics.mean, statistics.std
    if mean is None or std is None or statistics.sampled < FEWEST_VALUES:
        return UNSURE
    low, high = limits
    half = (high - low) / 2
    centre, spread = (mean - low) / half - 1, std / half
    square = centre * centre + spread * spread
    if not 0 <= square <= 1.001:  # not the outputs of such a layer, or not finite
        return UNSURE
    slope = max(0.0, 1 - square)
    if slope > SATURATED:
        return HEALTHY if slope > SATURATED_NO_MORE else UNSURE
    near = min(1.0, max(0.0, (square - NEAR_LIMIT**2) / (1 - NEAR_LIMIT**2)))
    width = (1 - NEAR_LIMIT) * half
    return sick(
        f"{{who}} is saturated: at least {percent(near)} of its "
        f"{'states' if recurrent else 'outputs'} are at the limits",
        f"within {number(width)} of {number(low)} or {number(high)}; its mean slope is "
        f"{number(slope / 4 if kind == 'Sigmoid' else slope)}, at best "
        f"{'0.25' if kind == 'Sigmoid' else '1'}",
    )


@dataclass(slots=True)
class ChannelHistory:
    """When each channel of a layer last put out anything but zero."""

    alive_at: NDArray[np.int64]
    """Count of the batch in which a channel was last alive; 0: not yet."""
    seen: int = 0

    def add(self, zero: NDArray[np.bool_]) -> None:
        """Take in one batch: per channel, whether it was zero throughout."""
        self.seen += 1
        self.alive_at[~zero] = self.seen

    def dead(self) -> list[int] | None:
        """List the channels that were zero for the whole window; None before it is full."""
        if self.seen < WINDOW:
            return None
        return [int(at) for at in np.flatnonzero(self.seen - self.alive_at >= WINDOW)]


def dead_channels(
    kind: str, channels: int, dead: Sequence[int] | None, noun: str = "channels"
) -> Verdict:
    """Find a ReLU-like layer most of whose channels are dead.

    Args:
        kind: type of the layer.
        channels: how many it has.
        dead: those that were zero for ``WINDOW`` batches; None: not known yet.
        noun: what they are called, ``"neurons"`` where each is one number.
    """
    if kind not in RELU_LIKE:
        return HEALTHY
    if dead is None or channels < 2:
        return UNSURE
    share = len(dead) / channels
    if share < DEAD_CHANNELS:
        return HEALTHY if share < DEAD_CHANNELS_NO_MORE else UNSURE
    return sick(
        f"Dead {noun}: {len(dead):,} of {channels:,} in {{who}} ({listed(dead, most=8)})",
        f"zero for all samples of the last {WINDOW} batches or more",
    )
