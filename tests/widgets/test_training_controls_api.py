"""TrainingControls from Python: a plain loop on one thread, steered from another."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from IPython.core.events import EventManager, available_events
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.errors import RunRefusedError, SessionClosedError, StopTraining
from nbtorchviz.live import gate
from nbtorchviz.widgets import notebook
from tests.news import PATIENCE_S, News


@pytest.fixture
def loop():
    """A plain training loop on a thread, which no browser has ever looked at."""
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    session = nbv.watch(model, optimizer)
    controls = nbv.TrainingControls(session)
    end, news, raised = threading.Event(), News(), []

    def fit():
        try:
            while not end.is_set():
                optimizer.zero_grad()
                model(torch.randn(3, 4)).square().mean().backward()
                optimizer.step()
                end.wait(0.001)
                news.tell()
        except BaseException as error:
            raised.append(error)

    session.gate.listen(news.tell)
    thread = threading.Thread(target=fit)
    yield SimpleNamespace(
        session=session, controls=controls, thread=thread, until=news.until, raised=raised,
        held=lambda: session.gate.state == "paused",
    )  # fmt: skip
    end.set()
    session.gate.resume()
    if thread.ident is not None:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    controls.close()
    session.close()


def begin(loop):
    loop.thread.start()
    loop.until(lambda: loop.session.step > 2)


def pause(loop):
    loop.controls.pause()
    loop.until(loop.held)
    return loop.session.step


def test_a_plain_loop_is_paused_stepped_and_resumed(loop, caplog):
    begin(loop)
    held = pause(loop)
    assert "Paused at step" in loop.controls.summary()
    loop.controls.step()
    loop.until(lambda: loop.session.step == held + 1 and loop.held())
    loop.controls.step(np.int64(3))
    loop.until(lambda: loop.session.step == held + 4 and loop.held())
    loop.controls.resume()
    loop.until(lambda: loop.session.step > held + 6)
    loop.controls.resume()  # nothing is held: nothing happens
    assert loop.session.faults == []
    assert caplog.records == []


def test_run_to_holds_once_at_that_step_in_a_script_too(loop):
    begin(loop)
    goal = pause(loop) + 5
    loop.controls.run_to(goal)
    loop.until(lambda: loop.session.step == goal and loop.held())
    assert loop.session.breakpoints == ()
    assert loop.session.diagnosis.last_hit.refused == ""
    loop.controls.resume()
    loop.until(lambda: loop.session.step > goal + 2)


def test_run_to_before_training_begins(loop):
    loop.controls.run_to(4)
    loop.thread.start()
    loop.until(loop.held)
    assert loop.session.step == 4


def test_stop_raises_in_a_plain_loop_held_or_not(loop):
    begin(loop)
    pause(loop)
    loop.controls.stop()
    loop.thread.join(PATIENCE_S)
    assert [type(error) for error in loop.raised] == [StopTraining]
    assert loop.session.gate.state == "running"  # the next loop begins anew


def test_a_pause_asked_before_the_loop_holds_its_first_step(loop):
    loop.controls.pause()
    loop.thread.start()
    loop.until(loop.held)
    assert loop.session.step == 1


@pytest.mark.parametrize(
    ("ask", "value", "error", "said"),
    [
        ("step", 0, ValueError, "n must be a whole number from 1, got 0"),
        ("step", -1, ValueError, "got -1"),
        ("step", 1.5, ValueError, r"got 1\.5"),
        ("step", "ten", TypeError, "got 'ten'"),
        ("step", True, ValueError, "got True"),
        ("run_to", None, TypeError, "step must be a whole number from 1, got None"),
        ("run_to", 0, ValueError, "got 0"),
    ],
)
def test_wrong_arguments_are_refused_in_words(loop, ask, value, error, said):
    with pytest.raises(error, match=said):
        getattr(loop.controls, ask)(value)
    assert loop.session.gate.state == "running"
    assert loop.session.breakpoints == ()


def test_a_step_that_lies_behind_is_refused(loop):
    begin(loop)
    held = pause(loop)
    with pytest.raises(ValueError, match=f"Step {held} is behind: {held} steps are finished"):
        loop.controls.run_to(held)
    assert loop.held()


def test_a_process_group_refuses_all_that_would_hold_a_rank(loop, monkeypatch):
    monkeypatch.setattr(gate, "_in_process_group", lambda: True)
    for ask in (loop.controls.pause, loop.controls.step, lambda: loop.controls.run_to(9)):
        with pytest.raises(RunRefusedError, match=r"torch\.distributed"):
            ask()
    assert loop.session.breakpoints == ()
    loop.controls.resume()


def test_a_closed_session_is_refused(loop):
    controls = loop.controls
    loop.session.close()
    for ask in (
        controls.pause,
        controls.resume,
        controls.step,
        lambda: controls.run_to(9),
        controls.stop,
    ):
        with pytest.raises(SessionClosedError, match=r"watch\(model\)"):
            ask()


def test_stop_where_nothing_trains_is_refused_and_ends_nothing_later(loop):
    with pytest.raises(
        RunRefusedError, match=r"Nothing is training, so there is nothing to stop\."
    ):
        loop.controls.stop()
    begin(loop)
    step = loop.session.step
    loop.until(lambda: loop.session.step > step + 2)
    assert loop.raised == []


def test_a_stop_between_two_cells_does_not_end_the_next_one(monkeypatch):
    class Shell:
        events, user_ns = EventManager(None, available_events), {}

    shell = Shell()
    monkeypatch.setattr(notebook, "shell", lambda: shell)
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    session = nbv.watch(model, optimizer)
    controls = nbv.TrainingControls(session)

    def cell(*steps):
        shell.events.trigger("pre_run_cell", None)
        try:
            for step in steps:
                step()
        finally:
            shell.events.trigger("post_run_cell", None)

    def train():
        model(torch.randn(3, 4)).square().mean().backward()
        optimizer.step()

    cell(train, train, controls.stop)
    cell(train, train)
    assert session.step == 4
    cell(controls.stop)
    assert session.gate.state == "running"
    cell(train)
    controls.stop()  # a button, pressed between the cells
    cell(train)
    assert session.step == 6
    with pytest.raises(StopTraining):
        cell(controls.stop, train)  # in one cell nobody can tell it from a loop's own
    session.close()


def test_a_pause_that_was_only_asked_for_is_nothing_to_stop(loop):
    loop.controls.pause()
    with pytest.raises(RunRefusedError, match="nothing to stop"):
        loop.controls.stop()
    loop.controls.resume()
    begin(loop)
    assert loop.raised == []
