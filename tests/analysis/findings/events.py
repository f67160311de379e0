"""Hand-made events of a small healthy model, and how to make one of its numbers ill."""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from nbtorchviz.analysis.findings import Finding, Findings
from nbtorchviz.analysis.findings.rows import ParameterRow
from nbtorchviz.events import (
    ActivationCaptured,
    Event,
    LayerInfo,
    LayerStatisticsCaptured,
    ModelAttached,
    ParameterStatisticsCaptured,
    ScalarLogged,
    Statistics,
)

KINDS = {
    "input": "input",
    "conv": "Conv2d",
    "bn": "BatchNorm2d",
    "relu": "ReLU",
    "relu2": "ReLU",
    "hidden": "Linear",
    "tanh": "Tanh",
    "rnn": "RNN",
    "drop": "Dropout",
    "fc": "Linear",
}
MODEL = ModelAttached(
    model="Net",
    parameters=500,
    layers=tuple(LayerInfo(key=k, type=t, depth=0, block=False) for k, t in KINDS.items()),
)
# Means differ, so that no two layers look alike.
HEALTHY = {
    layer: Statistics(
        count=4_000,
        sampled=2_000,
        minimum=-0.9,
        maximum=0.9,
        mean=0.01 * place,
        std=0.4,
        zero_share=0.5,
    )
    for place, layer in enumerate(KINDS)
}
PARAMETERS = ("conv.weight", "conv.bias", "bn.weight", "bn.bias")
PARAMETERS += ("hidden.weight", "hidden.bias", "fc.weight", "fc.bias")


def row(name: str, **changes: Any) -> ParameterRow:
    """A healthy parameter: 100 elements (a bias 10), update ratio 1e-3."""
    count = 100 if name.endswith("weight") else 10
    # Each weight has its own norm: equal ones are an illness.
    weight = 10.0 + sum(map(ord, name)) % 97 / 100
    healthy = ParameterRow(
        name=name, gradient=1.0, weight=weight, update=weight / 1_000, rate=0.1, count=count
    )
    return replace(healthy, **changes)


def stepped(step: int, *, event: dict[str, Any] | None = None, **rows: dict[str, Any]) -> Event:
    """One optimizer step; ``conv_weight={"gradient": 0.0}`` changes one parameter."""
    changes = {name.replace("_", "."): change for name, change in rows.items()}
    all_rows = [row(name, **changes.get(name, {})) for name in PARAMETERS]
    return of_rows(step, all_rows, **(event or {}))


def of_rows(step: int, rows: list[ParameterRow], **fields: Any) -> ParameterStatisticsCaptured:
    return ParameterStatisticsCaptured(
        step=step,
        parameters=tuple(r.name for r in rows),
        gradient_norms=np.array([r.gradient for r in rows], "f"),
        norms=np.array([r.weight for r in rows], "f"),
        update_norms=np.array([r.update for r in rows], "f"),
        learning_rates=np.array([r.rate for r in rows], "f"),
        counts=np.array([r.count for r in rows], np.int64),
        states=tuple(r.state for r in rows),
        nonfinite=np.array([r.nonfinite for r in rows], np.int64),
        **fields,
    )


def forward(
    step: int,
    *,
    phase: str = "train",
    off: Iterable[str] = (),
    spreads: dict[str, float] | None = None,
    **layers: dict[str, Any],
) -> Event:
    """One forward; ``relu={"zero_share": 1.0}`` changes one layer, ``off`` are in eval mode."""
    spreads = spreads or {}
    return LayerStatisticsCaptured(
        step=step,
        phase=phase,
        layers=tuple(HEALTHY),
        statistics=tuple(replace(HEALTHY[key], **layers.get(key, {})) for key in HEALTHY),
        gradient_norms=np.full(len(HEALTHY), 1.0 if phase == "train" else math.nan, "f"),
        training=tuple(key not in off for key in HEALTHY),
        batch_spreads=np.array([spreads.get(key, 0.3) for key in HEALTHY], "f"),
    )


def logged(step: int, value: float, *, name: str = "loss", **fields: Any) -> Event:
    return ScalarLogged(step=step, name=name, value=value, **fields)


def frame(step: int, dead: Iterable[int], *, channels: int = 8) -> Event:
    """A picture of ``relu``, some of whose channels are zero for the whole batch."""
    zero = np.zeros(channels, bool)
    zero[list(dead)] = True
    return ActivationCaptured(
        step=step,
        layer="relu",
        values=np.zeros((channels, 1, 1), "f"),
        statistics=HEALTHY["relu"],
        channel_zero=zero,
    )


def observe(findings: Findings, events: Iterable[Event]) -> list[Finding]:
    return [change for event in events for change in findings.observe(event)]


def listening(*, called: bool = True) -> Findings:
    """Findings that know the model, its owners of parameters and the order of its calls."""
    findings = Findings()
    start = [MODEL, stepped(0), forward(0)] if called else [MODEL]
    assert observe(findings, start) == []
    return findings
