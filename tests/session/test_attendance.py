"""A pause that nobody could end is not held; one that somebody may end is."""

import contextlib
import logging
import threading
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.live.flow import Flow
from nbtorchviz.live.host import HostFacts
from nbtorchviz.live.line import LineFacts
from nbtorchviz.session.attendance import PATIENCE_S, Attendance

SCRIPT = HostFacts()
NBCLIENT = HostFacts(kernel=True, ipykernel="7.4.0", subshells=True)
LAB = HostFacts(kernel=True, ipykernel="7.4.0", subshells=True, server=True)
COLAB = HostFacts(kernel=True, ipykernel="6.17.1", colab=True)
LONG_S = 90.0


def attendance(host, *, heard=False, during=False, background=False, widgets=1):
    flow = Flow()
    if during:
        flow.boundary(0.0)
    if heard or during:
        flow.message_in(0.0)
    line = LineFacts(flow, lambda: 0.0)
    return Attendance(host, line, background=lambda: background, widgets=lambda: widgets)


@pytest.mark.parametrize(
    ("there", "held_s", "said"),
    [
        (attendance(SCRIPT), 0.0, "No notebook is attached"),
        (attendance(SCRIPT, background=True), 0.0, "No notebook is attached"),
        (attendance(NBCLIENT), 0.0, "No front end has answered"),
        (attendance(NBCLIENT, background=True), 0.0, "No front end has answered"),
        (attendance(LAB, widgets=0), 0.0, "no widget"),
        (attendance(LAB), PATIENCE_S, "No widget has answered for 30 s"),
        (attendance(COLAB, heard=True), PATIENCE_S, "train_in_background(fn)"),
    ],
)
def test_where_nobody_could_resume_that_is_said(there, held_s, said):
    assert said in there.why_nobody(held_s)


@pytest.mark.parametrize(
    ("there", "held_s"),
    [
        (attendance(LAB), PATIENCE_S - 1),  # slow: its widget is still on the way
        (attendance(LAB, heard=True), 1e6),  # hidden or reconnecting
        (attendance(LAB, heard=True, widgets=0), 1e6),  # its widget was closed
        (attendance(LAB, background=True, widgets=0), 1e6),  # a cell can resume it
        (attendance(NBCLIENT, heard=True), 1e6),  # a front end that no host is known for
        (attendance(COLAB, heard=True), PATIENCE_S - 1),
        (attendance(COLAB, during=True), 1e6),  # observed beats versions
        (attendance(COLAB, heard=True, background=True), 1e6),
    ],
)
def test_somebody_who_may_come_back_is_waited_for(there, held_s):
    assert there.why_nobody(held_s) == ""


@pytest.mark.parametrize("there", [attendance(LAB), attendance(COLAB, heard=True)])
def test_what_was_waited_for_in_vain_is_waited_for_once(there):
    assert there.why_nobody(0.0) == ""
    assert there.why_nobody(PATIENCE_S) == there.why_nobody(0.0) != ""
    there._line.flow.boundary(0.0)
    there._line.flow.message_in(0.0)
    assert there.why_nobody(1e6) == ""


@pytest.mark.parametrize("there", [attendance(COLAB, heard=True), attendance(LAB, widgets=0)])
def test_a_loop_on_a_thread_of_its_own_keeps_no_message_out(there):
    said = []
    thread = threading.Thread(target=lambda: said.append(there.why_nobody(1e6)))
    thread.start()
    thread.join()
    assert said == [""]


@pytest.fixture
def small():
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    session = nbv.watch(model, optimizer)

    def train(steps, factor=1.0):
        for _ in range(steps):
            optimizer.zero_grad()
            (model(torch.ones(3, 4)).mean() * factor).backward()
            optimizer.step()

    with unattended(session):
        yield SimpleNamespace(session=session, train=train, model=model)
    assert session.faults == []
    session.close()


@contextlib.contextmanager
def unattended(session):
    """End a hold that a test has not asked for, so that it fails and does not hang."""
    timer = threading.Timer(LONG_S, lambda: (session.gate.resume(), overdue.append(1)))
    overdue = []
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    assert not overdue, "training was held"


def resumed_elsewhere(session, resume):
    """Resume once from another thread; return the list that gets the step of the hold."""
    held = []

    def answer(state):
        if state == "paused" and not held:  # told again while it is being resumed
            held.append(session.step)
            threading.Thread(target=resume).start()

    session.gate.listen(answer)
    return held


def test_a_breakpoint_of_a_script_does_not_hold_it_and_says_so_once(small, caplog):
    session = small.session
    first = session.pause_when("step() >= 2")
    second = session.pause_when("step() >= 3", once=True)
    small.train(5)
    assert session.step == 5
    assert [first.hits, second.hits] == [1, 1]
    assert "No notebook is attached" in first.last.refused
    assert second.last.refused == first.last.refused
    texts = [each.getMessage() for each in caplog.records if each.name == "nbtorchviz"]
    assert len(texts) == 1
    assert texts[0].startswith("nbtorchviz: not paused at step 2 although step() = 2 >= 2. No note")
    assert caplog.records[0].levelno == logging.WARNING
    assert any("not paused at step 2" in flag.text for flag in session.metrics.flags)


def test_controls_that_are_opened_later_say_why(small):
    small.session.pause_when("step() >= 2", once=True)
    small.train(3)
    controls = nbv.TrainingControls(small.session)
    assert "not paused at step 2 although step() = 2 >= 2. No notebook" in controls.summary()
    assert "Not paused at step 2" in controls._state()["controls"]["why"]
    controls.close()


def test_stop_at_nan_in_a_plain_script_says_that_it_goes_on(small, caplog):
    session = small.session
    session.on_nonfinite("stop", every_step=True)
    small.train(1)
    small.train(2, float("nan"))
    assert session.step == 3
    (text,) = [each.getMessage() for each in caplog.records if each.name == "nbtorchviz"]
    assert "First NaN at step 2" in text
    assert "Training goes on: No notebook is attached" in text
    assert any("Training goes on" in flag.text for flag in session.metrics.flags)
    assert "Training goes on" in session.line.attendance.not_held


def test_a_breakpoint_of_a_background_run_without_a_notebook_lets_it_end(small, caplog):
    added = small.session.pause_when("step() >= 2")
    run = small.session.train_in_background(lambda: small.train(5))
    assert run.join(LONG_S)
    assert small.session.step == 5
    assert added.last.refused
    (record,) = [each for each in caplog.records if each.name == "nbtorchviz"]
    assert record.threadName != "nbtorchviz-run"  # whose stderr is run.log


@pytest.mark.parametrize("how", ["breakpoint", "nan"])
def test_a_hold_that_nobody_answers_ends_and_its_hit_says_so(small, monkeypatch, how):
    session, reasons = small.session, iter(["", "", "", "Nobody came."])
    monkeypatch.setattr(
        session.line.attendance, "why_nobody", lambda held_s: next(reasons, "Nobody came.")
    )
    added = None
    if how == "nan":
        session.on_nonfinite("stop", every_step=True)
    else:
        added = session.pause_when("step() == 2")
    states = []
    session.gate.listen(states.append)
    small.train(1)
    small.train(4, float("nan") if how == "nan" else 1.0)
    assert session.step == 5
    assert states == ["pausing", "paused", "running"]
    assert session.line.attendance.not_held.endswith("Nobody came.")
    if added is not None:
        assert added.last.refused == "Nobody came."
        assert session.diagnosis.last_hit.text.startswith("not paused at step 2")


def test_unattended_holds_until_another_thread_resumes(small, caplog):
    session = small.session
    controls = nbv.TrainingControls(session)
    added = session.pause_when("step() >= 2", unattended=True)
    held = resumed_elsewhere(session, controls.resume)
    small.train(4)
    assert held == [2]
    assert added.last.refused == ""
    assert session.step == 4
    assert "paused itself" in caplog.text  # its own thread asked: a hang would be silent
    controls.close()


def test_a_view_that_has_spoken_holds_and_resumes(small, caplog):
    session = small.session
    session.sender.message_in("a view")
    added = session.pause_when("step() >= 2")
    held = resumed_elsewhere(session, session.gate.resume)
    small.train(4)
    assert held == [2]
    assert added.last.text == "paused at step 2: step() = 2 >= 2"
    assert caplog.records == []


def test_closing_a_session_lets_a_held_loop_go_on(small):
    session, held = small.session, threading.Event()
    session.gate.listen(lambda state: held.set() if state == "paused" else None)
    session.gate.pause()
    loop = threading.Thread(target=small.train, args=(3,))
    loop.start()
    assert held.wait(LONG_S)
    session.close()
    loop.join(LONG_S)
    assert not loop.is_alive()
