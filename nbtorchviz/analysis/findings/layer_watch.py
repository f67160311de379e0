"""Applies the rules about activations and modes to each sampled forward."""

import math
from collections.abc import Iterator

import numpy as np

from nbtorchviz.analysis.findings.activation_rules import (
    ChannelHistory,
    dead_channels,
    dead_relu,
    saturated,
)
from nbtorchviz.analysis.findings.facts import INPUT, ModelFacts
from nbtorchviz.analysis.findings.finding import HEALTHY, UNSURE, Verdict
from nbtorchviz.analysis.findings.names import SQUASHING
from nbtorchviz.analysis.findings.output_rules import Spread, constant_output
from nbtorchviz.analysis.findings.twin_rules import Call, twin_calls
from nbtorchviz.events import ActivationCaptured, LayerStatisticsCaptured, Statistics

Verdicts = Iterator[tuple[str, str, Verdict]]


class LayerWatch:
    """Applies the rules to one forward; it remembers nothing but the model's facts."""

    rules = ("dead_relu", "saturated", "constant_output", "repeated_layer")

    def __init__(self, facts: ModelFacts) -> None:
        self._facts = facts

    def verdicts(self, event: LayerStatisticsCaptured) -> Verdicts:
        """Yield (rule, layer, verdict); a rule about the whole model has layer ``""``."""
        if event.phase != "train":
            return
        layers = event.layers[: len(event.statistics)]
        hidden = self._facts.followed_by_parameters(layers)
        calls = []
        for layer, statistics in zip(layers, event.statistics, strict=False):
            kind = self._facts.kind(layer)
            yield "dead_relu", layer, dead_relu(kind, statistics)
            if kind in SQUASHING:
                # The last sigmoid of a classifier or an autoencoder is sure, not saturated.
                verdict = saturated(kind, statistics) if layer in hidden else HEALTHY
                yield "saturated", layer, verdict
            if self._facts.is_leaf(layer):
                calls.append(Call(layer, kind, statistics))
        yield "constant_output", "", constant_output(self._spreads(event))
        twins = twin_calls(calls)
        yield from (("repeated_layer", call.key, twins.get(call.key, HEALTHY)) for call in calls)

    def _spreads(self, event: LayerStatisticsCaptured) -> list[Spread]:
        spreads = event.batch_spreads.tolist()
        spreads += [math.nan] * (len(event.layers) - len(spreads))
        return [
            Spread(layer, self._spread(layer, statistics, float(spread)), _largest(statistics))
            for layer, statistics, spread in zip(
                event.layers, event.statistics, spreads, strict=False
            )
            if layer == INPUT or self._facts.is_leaf(layer)
        ]

    def _spread(self, layer: str, statistics: Statistics, spread: float) -> float:
        """Fall back on the standard deviation where each sample has a single value."""
        single = math.prod(self._facts.shapes.get(layer, (0,))) == 1
        if math.isnan(spread) and single and statistics.count > 1 and statistics.std is not None:
            return statistics.std
        return spread


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
        verdict = dead_channels(kind, zero.size, history.dead())
        yield "dead_channels", event.layer, verdict if kind else UNSURE
