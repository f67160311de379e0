"""The flight recorder: frames around a spike, a NaN and a finding are kept, and flagged."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.events import FindingRaised, NonFiniteFound, ScalarLogged
from nbtorchviz.nonfinite import NonFiniteReport
from nbtorchviz.session.flight_recorder import LOOK_S, FlightRecorder
from nbtorchviz.session.looks import Look
from nbtorchviz.session.metrics import MetricHistory
from nbtorchviz.session.session import Session
from tests.widgets.view import View

FOUND = {"rule": "dead_relu", "title": "relu is dead", "evidence": "", "remedy": ""}


class Bus:
    def __init__(self):
        self.heard = {}

    def subscribe(self, kind, handler, *, inline):
        self.heard[kind] = handler

    def publish(self, event):
        self.heard[type(event)](event)


@pytest.fixture
def parts():
    time, bus, metrics, held = SimpleNamespace(now=0.0), Bus(), MetricHistory(), []
    frames = SimpleNamespace(hold=lambda step, weight: held.append(step), steps_added=0)
    shown = []
    flight = FlightRecorder(bus, metrics, frames, point=shown.append, clock=lambda: time.now)
    return SimpleNamespace(
        time=time, bus=bus, metrics=metrics, held=held, flight=flight, shown=shown
    )


def log(parts, name, values):
    for step, value in enumerate(values):
        parts.metrics.add(ScalarLogged(name=name, step=step, value=value))
    parts.time.now += 2 * LOOK_S
    parts.flight.tend()


def test_a_spike_is_held_flagged_and_told_once(parts):
    log(parts, "loss", [2.0] * 40 + [9.0] + [2.0] * 5)
    assert parts.held == [40]
    (incident,) = parts.flight.incidents
    assert (incident.step, incident.kind) == (40, "spike")
    assert incident.text == "loss jumps from 2 to 9"
    assert [(flag.step, flag.text, flag.kind) for flag in parts.metrics.flags] == [
        (40, incident.text, "finding")
    ]
    parts.time.now += 2 * LOOK_S
    parts.flight.tend()
    assert parts.held == [40]


def test_the_gravest_and_the_newest_are_kept(parts):
    level = [2.0] * 40
    jumps = (9.0, 4.0, 30.0, 5.0, 6.0)
    log(parts, "loss", [value for jump in jumps for value in (*level, jump)] + level)
    told = [incident.text for incident in parts.flight.incidents]
    assert told == [f"loss jumps from 2 to {jump}" for jump in (9, 30, 5, 6)]
    report = NonFiniteReport(step=900, word="NaN", direction="unknown", layer="", seen="fc")
    parts.bus.publish(NonFiniteFound(report=report, step=900))
    for step in (910, 920):
        finding = {"severity": "problem", "since_step": step, "layer": "relu", "step": step}
        parts.bus.publish(FindingRaised(**finding, **FOUND))
    assert [each.step for each in parts.flight.incidents] == [122, 900, 910, 920]


def test_what_may_rise_or_is_no_loss_is_not_looked_at(parts):
    for name in ("accuracy", "val_loss", "loss_g"):
        log(parts, name, [2.0] * 40 + [90.0])
    assert parts.held == []


def test_findings_and_nan_are_held_where_they_began_and_a_recovery_is_not(parts):
    finding = FindingRaised(severity="problem", since_step=7, layer="relu", step=40, **FOUND)
    parts.bus.publish(finding)
    parts.bus.publish(
        FindingRaised(severity="problem", since_step=9, active=False, step=50, **FOUND)
    )
    report = NonFiniteReport(step=60, word="NaN", direction="unknown", layer="fc", seen="fc")
    parts.bus.publish(NonFiniteFound(report=report, step=60))
    parts.bus.publish(
        FindingRaised(
            severity="problem", since_step=60, step=60, **(FOUND | {"rule": "first_nonfinite"})
        )
    )
    assert parts.held == [7, 60]
    assert parts.shown == []  # it was seen there, but not traced
    assert [(each.kind, each.layer) for each in parts.flight.incidents] == [
        ("finding", "relu"),
        ("nonfinite", "fc"),
    ]


def test_the_frame_of_the_spike_itself_is_kept_in_a_loop_of_any_speed():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))
    clock = SimpleNamespace(now=0.0)
    session = Session(model, every=1, clock=lambda: clock.now)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    session.recorder.looks.set(1, Look("0"))
    for step in range(400):
        clock.now += 1e-4  # far less than any clock of ours waits for
        loss = model(torch.ones(2, 4)).square().mean() + (100.0 if step == 149 else 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        session.log(loss=loss)
    session.flush()
    assert [incident.step for incident in session.incidents] == [150]
    steps = session.recorder.kept["batch"].steps("0")
    assert {147, 148, 149, 150, 151, 152, 153} <= set(steps)
    session.close()


def test_in_a_session_the_frames_around_a_spike_outlive_the_ring(monkeypatch):
    monkeypatch.setattr("nbtorchviz.session.flight_recorder.LOOK_S", 0.0)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    session = nbv.watch(model, optimizer, every=1)
    browser = nbv.ActivationBrowser(session, layer="0")
    for step in range(1, 400):
        model(torch.randn(4, 2)).sum().backward()
        optimizer.step()
        session.log(loss=50.0 if step == 120 else 1.0)
    session.flush()
    spike = next(each for each in session.incidents if each.kind == "spike")
    assert abs(spike.step - 120) <= 1
    held = session.recorder.kept["batch"].held("0")[spike.step]
    assert len(held) == 7
    assert set(held) <= set(browser._state()["browser"]["kept_steps"])
    browser.select(step=spike.step)
    assert browser.frame.step in held
    flags = browser._state()["browser"]["flags"]
    assert any("jumps from 1 to 50" in flag["text"] for flag in flags)
    assert session.faults == []
    session.close()


def test_the_layer_that_made_the_first_nan_is_shown_where_no_user_moves(monkeypatch):
    monkeypatch.setattr("nbtorchviz.session.linking.HELD_S", 1e6)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    session = nbv.watch(model, optimizer, every=1)
    browser = nbv.ActivationBrowser(session, layer="1")
    moved = nbv.ActivationBrowser(session, layer="1")
    View(moved).intent("layer", "0")
    browser.layer = "1"
    session.on_nonfinite("tell", every_step=True)
    for value in (1.0, 1.0, 3e38):
        loss = model(torch.full((4, 2), value)).pow(2).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            model[2].weight.fill_(3e38) if value == 1.0 else None
    report = session.first_nonfinite
    assert (report.replayed, report.layer) == (True, "2")
    assert (browser.layer, moved.layer) == ("2", "0")
    assert session.faults == []
    session.close()
