"""Applies the rules about activations and modes to each sampled forward."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from nbtorchviz.analysis.findings.activation_rules import (
    ChannelHistory,
    almost_dead_relu,
    dead_channels,
    dead_relu,
    saturated,
)
from nbtorchviz.analysis.findings.facts import INPUT, ModelFacts
from nbtorchviz.analysis.findings.finding import HEALTHY, UNSURE, Verdict
from nbtorchviz.analysis.findings.names import IDEMPOTENT, RECURRENT_TANH, RELU_LIKE, SQUASHING
from nbtorchviz.analysis.findings.output_rules import Spread, constant_output
from nbtorchviz.analysis.findings.twin_rules import Call, twin_calls
from nbtorchviz.events import ActivationCaptured, LayerStatisticsCaptured, Statistics

Verdicts = Iterator[tuple[str, str, Verdict]]


@dataclass(frozen=True, slots=True)
class _Judged:
    """Which of the called layers a rule can speak about; the others are healthy by their type."""

    relus: list[tuple[int, str, str]]
    """(place, layer, kind)."""
    squashing: list[tuple[int, str, str]]
    leaves: list[tuple[int, str]]
    """Layers without layers inside, and the input."""
    repeated: list[tuple[int, int]]
    """Places of calls that follow each other and would do the same twice."""


class LayerWatch:
    """Applies the rules to one forward; it remembers nothing but the model's facts."""

    rules = (
        "dead_relu",
        "almost_dead_relu",
        "saturated",
        "saturated_states",
        "constant_output",
        "repeated_layer",
    )

    def __init__(self, facts: ModelFacts) -> None:
        self._facts = facts
        self._known: tuple[tuple[str, ...], _Judged] | None = None
        self._told = -1

    def verdicts(self, event: LayerStatisticsCaptured) -> Verdicts:
        """Yield (rule, layer, verdict); a rule about the whole model has layer ``""``."""
        if event.phase != "train":
            return
        known, statistics = self._judged(event), event.statistics
        for at, layer, kind in known.relus:
            yield "dead_relu", layer, dead_relu(kind, statistics[at])
            yield "almost_dead_relu", layer, almost_dead_relu(kind, statistics[at])
        if known.squashing:
            hidden = self._facts.followed_by_parameters(event.layers[: len(statistics)])
            for at, layer, kind in known.squashing:
                # The last sigmoid of a classifier or an autoencoder is sure, not saturated.
                verdict = saturated(kind, statistics[at]) if layer in hidden else HEALTHY
                recurrent = kind in RECURRENT_TANH
                yield "saturated_states" if recurrent else "saturated", layer, verdict
        yield "constant_output", "", self._constant(event, known)
        for before, after in known.repeated:
            calls = [
                Call(event.layers[at], self._facts.kind(event.layers[at]), statistics[at])
                for at in (before, after)
            ]
            key = event.layers[after]
            yield "repeated_layer", key, twin_calls(calls).get(key, HEALTHY)

    def _judged(self, event: LayerStatisticsCaptured) -> _Judged:
        layers, facts = event.layers[: len(event.statistics)], self._facts
        if self._known is not None and self._known[0] == layers and self._told == facts.told:
            return self._known[1]
        places = [(at, layer, facts.kind(layer)) for at, layer in enumerate(layers)]
        leaves = [place for place in places if facts.is_leaf(place[1])]
        judged = _Judged(
            relus=[place for place in places if place[2] in RELU_LIKE],
            squashing=[
                place for place in places if place[2] in SQUASHING or place[2] in RECURRENT_TANH
            ],
            leaves=[(at, key) for at, key, _ in places if key == INPUT or facts.is_leaf(key)],
            repeated=[
                (before[0], after[0])
                for before, after in pairwise(leaves)
                if before[2] == after[2] and after[2] in IDEMPOTENT
            ],
        )
        self._known, self._told = (layers, judged), facts.told
        return judged

    def _constant(self, event: LayerStatisticsCaptured, known: _Judged) -> Verdict:
        spreads = event.batch_spreads.tolist()
        spreads += [math.nan] * (len(event.layers) - len(spreads))
        if known.leaves:
            at, layer = known.leaves[-1]
            if math.isnan(self._spread(layer, event.statistics, at, spreads[at])):
                return UNSURE  # the rule asks for the output first
        return constant_output(
            [
                Spread(
                    layer,
                    self._spread(layer, event.statistics, at, spreads[at]),
                    _largest(event.statistics[at]),
                )
                for at, layer in known.leaves
            ]
        )

    def _spread(
        self, layer: str, statistics: Sequence[Statistics], at: int, spread: float
    ) -> float:
        """Fall back on the standard deviation where each sample has a single value."""
        if not math.isnan(spread) or math.prod(self._facts.shapes.get(layer, (0,))) != 1:
            return spread
        found = statistics[at]
        return found.std if found.count > 1 and found.std is not None else spread


def _largest(statistics: Statistics) -> float:
    if statistics.minimum is None or statistics.maximum is None:
        return math.nan
    return max(abs(statistics.minimum), abs(statistics.maximum))


class ChannelWatch:
    """Follows which channels of the shown ReLU layers are ever alive."""

    rules = ()  # one frame shows one layer: the others are not missing
    MOST_LAYERS = 256
    MOST_CHANNELS = 4_096

    def __init__(self, facts: ModelFacts) -> None:
        self._facts = facts
        self.forget()

    def forget(self) -> None:
        """Begin a new run."""
        self._channels: dict[str, ChannelHistory] = {}

    def verdicts(self, event: ActivationCaptured) -> Verdicts:
        """Yield a verdict on the one layer of a frame."""
        zero, kind = event.channel_zero, self._facts.kind(event.layer)
        if zero is None or event.phase != "train" or event.source != "batch" or event.path:
            return
        if zero.ndim != 1 or zero.size > self.MOST_CHANNELS:
            return
        history = self._channels.get(event.layer)
        if history is None or history.alive_at.size != zero.size:
            if history is None and len(self._channels) >= self.MOST_LAYERS:
                return
            history = ChannelHistory(np.zeros(zero.size, np.int64))
            self._channels[event.layer] = history
        history.add(zero.astype(bool))
        noun = "neurons" if event.axes == ("F",) else "channels"
        verdict = dead_channels(kind, zero.size, history.dead(), noun)
        yield "dead_channels", event.layer, verdict if kind else UNSURE
