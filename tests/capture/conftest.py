from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from nbtorchviz.analysis.layouts import infer_layout
from nbtorchviz.analysis.many_statistics import summarise_many
from nbtorchviz.analysis.root_batch import root_batch_size
from nbtorchviz.analysis.statistics import summarise
from nbtorchviz.capture.tap import ModelTap, Plan
from tests.capture.desk import Desk


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def tap_on(desk: Desk) -> Iterator[Callable[..., ModelTap]]:
    """Build taps that look at once and are closed after the test."""
    taps: list[ModelTap] = []

    def build(model: nn.Module, *, plan: Plan | None = None, **options: Any) -> ModelTap:
        options = {
            "infer_layout": infer_layout,
            "summarise": summarise,
            "summarise_many": summarise_many,
            "root_batch": root_batch_size,
            **options,
        }
        tap = ModelTap(model, desk, desk, **options)
        taps.append(tap)
        desk.tap = tap
        if plan is not None:
            desk.plan = plan
        tap.look()
        return tap

    yield build
    for tap in taps:
        tap.close()
