"""Everything switched on, on trainings that are awkward to watch: they stay the same."""

import random

import numpy as np
import pytest
import torch

import nbtorchviz as nbv
from benchmarks.views import FakeView
from tests.capture.test_identical import Planner, assert_same, state_of
from tests.session.odd_trainings import TRAININGS

STEPS = 24


def trained(name, watched):
    torch.manual_seed(11)
    random.seed(11)
    np.random.seed(11)  # noqa: NPY002
    model, optimizers, step = TRAININGS[name]()
    faults, views = [], []
    if watched:
        session = nbv.watch(model, optimizers or None)
        session.on_nonfinite("tell", every_step=True)
        widgets = [nbv.LiveLossPlot(session), nbv.ActivationBrowser(session)]
        widgets += [nbv.GradientInspector(session), nbv.GradCAMViewer(session)]
        views = [FakeView(widget) for widget in widgets]
        planner = Planner(session.tap)
        session.recorder.next_plan = lambda phase: planner()
    for _ in range(STEPS):
        if watched:
            session.tap.look()
        step()
    if watched:
        session.findings()
        for widget in widgets:
            widget.summary()
            widget.snapshot()
        faults = session.faults
        for each in (*views, *widgets, session):
            each.close()
    return state_of(model, optimizers[0] if optimizers else None), faults


@pytest.mark.parametrize("name", TRAININGS)
def test_training_is_the_same_and_nothing_of_ours_fails(name):
    bare, _ = trained(name, watched=False)
    watched, faults = trained(name, watched=True)
    assert faults == []
    assert_same(bare, watched)
