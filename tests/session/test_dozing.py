"""A session lets the root hooks rest where steps are fast, and misses nothing that matters."""

import time
from contextlib import closing

import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.events import ActivationCaptured
from nbtorchviz.session.dozer import ROUSE_S
from tests.capture.desk import hook_count


@pytest.fixture
def watched():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    session = nbv.watch(model, optimizer)
    browser = nbv.ActivationBrowser(session, layer="1")
    browser._on_message(None, {"type": "ready", "view": "v", "visible": True}, [])
    yield model, optimizer, session, browser
    session.close()


def train(model, optimizer, until):
    deadline = time.monotonic() + 90
    while not until():
        assert time.monotonic() < deadline
        optimizer.zero_grad()
        model(torch.ones(2, 4)).sum().backward()
        optimizer.step()


def test_fast_steps_doze_and_are_still_sampled(watched):
    model, optimizer, session, _ = watched
    taken = []
    session.bus.subscribe(ActivationCaptured, taken.append, inline=True)
    train(model, optimizer, lambda: session.tap.dozing)
    assert hook_count(model) == 0
    watched_ones = lambda: [event for event in taken if event.watched]  # noqa: E731
    count = len(watched_ones())
    train(model, optimizer, lambda: len(watched_ones()) >= count + 3)
    assert session.faults == []


def test_a_move_is_answered_at_the_next_boundary(watched):
    model, optimizer, session, browser = watched
    train(model, optimizer, lambda: session.tap.dozing)
    browser._on_message(None, {"type": "intent", "view": "v", "name": "layer", "value": "2"}, [])
    moved_at = session.step
    train(
        model,
        optimizer,
        lambda: (
            browser.frame is not None
            and browser.frame.layer == "2"
            and browser.frame.step > moved_at
        ),
    )
    assert browser.frame.step <= moved_at + 2


def test_an_evaluation_after_a_doze_is_noticed(watched):
    model, optimizer, session, _ = watched
    train(model, optimizer, lambda: session.tap.dozing)
    model.eval()
    before = session.tap.forward
    deadline = time.monotonic() + 90
    while session.tap.forward < before + 25:
        assert time.monotonic() < deadline
        with torch.no_grad():
            model(torch.ones(2, 4))
    assert session.recorder.unmatched > 20
    assert ROUSE_S < 1
    model.train()
    train(model, optimizer, lambda: session.tap.dozing)


def coasting(session):
    return session.tap._course.coasts > 3


def test_a_pause_is_heard_at_the_very_next_step_of_a_coasting_loop(watched):
    model, optimizer, session, _ = watched
    train(model, optimizer, lambda: coasting(session))
    before, hold, heard = session.step, session.recorder.hold, []
    session.recorder.hold = lambda: heard.append((session.step, session.gate.state))
    session.gate.pause()
    train(model, optimizer, lambda: session.step > before)
    session.gate.resume()
    session.recorder.hold = hold
    assert heard == [(before + 1, "pausing")]


def test_a_paused_or_stepped_session_does_not_coast(watched):
    model, optimizer, session, _ = watched
    session.gate.step(10_000)
    train(model, optimizer, lambda: session.tap.dozing and session.step > 200)
    assert not session.tap._course.coasts
    session.gate.resume()
    train(model, optimizer, lambda: coasting(session))


def test_a_breakpoint_ends_coasting_for_good(watched):
    model, optimizer, session, _ = watched
    train(model, optimizer, lambda: coasting(session))
    session.pause_when("loss > 1e9")
    count = session.step
    heard = []
    at_boundary = session.diagnosis.at_boundary
    session.diagnosis.at_boundary = lambda: (heard.append(session.step), at_boundary())
    train(model, optimizer, lambda: session.step >= count + 200)
    assert heard == list(range(count + 1, session.step + 1))


def test_numbers_logged_while_coasting_carry_their_own_steps(watched):
    model, optimizer, session, _ = watched
    for _ in range(400):
        optimizer.zero_grad()
        loss = model(torch.ones(2, 4)).sum()
        loss.backward()
        optimizer.step()
        session.log(loss=loss)
    steps, _ = session.metrics.history("loss")
    assert steps.tolist() == list(range(1, 401))


def test_with_only_a_curve_open_the_next_statistics_are_all_that_is_waited_for():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with closing(nbv.watch(model, optimizer)) as session:
        plot = nbv.LiveLossPlot(session)
        plot._on_message(None, {"type": "ready", "view": "v", "visible": True}, [])
        train(model, optimizer, lambda: session.tap.dozing)
        recorder = session.recorder
        while session.budget.due_at() > time.monotonic():  # no picture was ever asked for
            pass
        statistics_at = recorder.recording._pace.due_at = time.monotonic() + 0.5
        assert recorder.planner.next_due_at() == statistics_at
        browser = nbv.ActivationBrowser(session, layer="1")
        assert recorder.planner.next_due_at() == session.budget.due_at()
        browser.close()
        plot.close()


def test_steps_nobody_looks_at_coast_and_a_widget_opened_meanwhile_sees_the_next():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with closing(nbv.watch(model, optimizer)) as session:
        train(model, optimizer, lambda: coasting(session))
        assert not session.tap.looking
        before = session.step
        browser = nbv.ActivationBrowser(session, layer="1")
        browser._on_message(None, {"type": "ready", "view": "v", "visible": True}, [])
        train(model, optimizer, lambda: browser.frame is not None)
        assert session.step <= before + 3
