"""Statistics go on whether anybody looks or not, and never cost more than their share."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.capture.plans import Plan
from nbtorchviz.events import LayerStatisticsCaptured, ParameterStatisticsCaptured
from nbtorchviz.session.recording import EARLY_S, PERIOD_S, SHARE, WATCHED_PERIOD_S, Recording


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Viewers:
    def __init__(self, displayed=True):
        self.shown = displayed

    def displayed(self):
        return self.shown


def make(displayed=True):
    clock = Clock()
    return Recording(Viewers(displayed), lambda: 0.02, clock=clock), clock


def test_nothing_is_recorded_before_the_first_display():
    recording, clock = make(displayed=False)
    clock.now = 100.0
    assert not recording.due()


@given(cost_s=st.floats(1e-4, 0.1), step_s=st.floats(1e-3, 0.5))
def test_unwatched_statistics_stay_within_their_share(cost_s, step_s):
    recording, clock = make()
    spent_s = 0.0
    while clock.now < 120:
        clock.now = max(clock.now, recording.due_at) + step_s
        if recording.due():
            recording.begin()
            recording.spent(cost_s)
            spent_s += cost_s
    # One a minute at the least, and one each time that the run has become twice as long.
    assert spent_s <= SHARE * 120 + (3 + np.log2(120 / EARLY_S)) * cost_s


@given(
    cost_s=st.floats(1e-4, 0.1), steps=st.integers(2, 3_000), step_s=st.floats(5e-4, 0.5),
    watched=st.booleans(),
)  # fmt: skip
def test_the_newest_sample_lies_in_the_second_half_of_a_run_however_short(
    cost_s, steps, step_s, watched
):
    recording, clock = make()
    if watched:
        recording.demand(1, lambda: True)
    taken = []
    for step in range(steps):
        if recording.due():
            recording.begin()
            clock.now += cost_s
            recording.spent(cost_s)
            taken.append(step * step_s)
        clock.now += step_s
    length_s, slack_s = steps * step_s, 2 * max(EARLY_S, 20 * cost_s, step_s) + 14 * cost_s
    assert taken[-1] >= min(length_s / 2, length_s - 60) - slack_s


def test_a_run_that_begins_after_a_rest_is_read_from_its_first_step():
    recording, clock = make()
    for _ in range(12):
        clock.now = recording.due_at
        recording.begin()
        recording.spent(0.1)
    left_s = recording.due_at - clock.now
    assert left_s > 40  # a sample of 0.1 s is repaid for 50 s
    recording.resumed(0.5)
    recording.resumed(4.9)  # one in 4.9 s would be more than 2 % of the time
    assert not recording.due()
    recording.resumed(5.1)
    assert recording.due()
    recording.begin()
    recording.spent(0.1)
    assert recording.due_at - clock.now == pytest.approx(2.0)  # 5 % of a run's first seconds


def test_what_is_watched_comes_often_and_only_while_it_is():
    recording, clock = make()
    looking = [True]
    recording.demand(1, lambda: looking[0])

    def count(seconds):
        taken, until = 0, clock.now + seconds
        while clock.now < until:
            clock.now += 0.01
            if recording.due():
                recording.begin()
                recording.spent(1e-5)
                taken += 1
        return taken

    assert count(10) >= 0.8 * 10 / WATCHED_PERIOD_S
    looking[0] = False
    count(1)
    assert count(10) <= 10 / PERIOD_S + 1
    recording.release(1)
    assert recording.wanted


def test_what_was_never_displayed_records_only_while_somebody_asks_for_it():
    recording, clock = make(displayed=False)
    asked = [False]
    recording.demand(1, lambda: asked[0])
    clock.now = 10.0
    assert not recording.due()
    asked[0] = True
    assert recording.due()
    asked[0] = None  # for good
    recording.begin()
    assert not recording._demands


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def train(model, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.ones(2, 3)).sum().backward()
        optimizer.step()


def test_a_hidden_widget_records_and_shows_nothing(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    session = nbv.watch(model, optimizer)
    browser = nbv.ActivationBrowser(session)
    heard = []
    for kind in (LayerStatisticsCaptured, ParameterStatisticsCaptured):
        session.bus.subscribe(kind, heard.append, inline=True)
    train(model, optimizer, 5)
    assert heard == []  # not displayed
    browser._on_message(None, {"type": "ready", "view": "v", "visible": False}, [])
    deadline = time.monotonic() + 90
    while len(heard) < 2 and time.monotonic() < deadline:
        train(model, optimizer, 5)
    layers, parameters = sorted(heard[:2], key=lambda event: type(event).__name__)
    assert layers.layers == ("0", "1", "2")
    assert layers.step == parameters.step
    assert parameters.parameters == ("0.weight", "0.bias", "2.weight", "2.bias")
    assert (parameters.update_norms > 0).any()
    assert "statistics" in session.overhead.parts
    assert session.faults == []
    session.close()


def test_every_takes_the_numbers_of_exactly_those_steps(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    session = nbv.watch(model, optimizer, every=3)
    nbv.ActivationBrowser(session, layer="1")
    steps = []
    session.bus.subscribe(LayerStatisticsCaptured, lambda e: steps.append(e.step), inline=True)
    train(model, optimizer, 9)
    assert steps == [3, 6, 9]
    session.close()


def test_every_step_that_is_planned_has_its_row_up_to_the_one_that_raised(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    session = nbv.watch(model, optimizer)
    session.recorder.next_plan = lambda phase: Plan(statistics=True, parameters=True)
    session.tap.look()
    train(model, optimizer, 12)
    with pytest.raises(RuntimeError):
        model(torch.ones(2, 5))
    log = session.diagnosis.log
    for history in (log.layers(), log.parameters()):
        assert history.steps.tolist() == list(range(1, 13))
    assert not np.isnan(log.layers().columns["std"]).any()
    assert not np.isnan(log.parameters().columns["update_norms"]).any()
    assert session.faults == []
    session.close()
