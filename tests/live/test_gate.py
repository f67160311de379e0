import _thread
import contextlib
import sys
import threading
from types import SimpleNamespace

import pytest

from nbtorchviz.errors import RunRefusedError, StopTraining
from nbtorchviz.live.gate import PauseGate

PATIENCE_S = 60.0


class Loop:
    """A training loop on a thread of its own, counting finished steps."""

    def __init__(self, gate, most=10**9):
        self.gate, self.most = gate, most
        self.steps = 0
        self.ended_by = None
        self.changed = threading.Condition()
        gate.listen(lambda state: self.tell())
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            while self.steps < self.most:
                self.steps += 1
                self.tell()
                self.gate.at_boundary()
        except BaseException as error:
            self.ended_by = error
        self.tell()

    def tell(self):
        with self.changed:
            self.changed.notify_all()

    def until(self, condition):
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE_S)


@pytest.fixture
def gate():
    return PauseGate()


@pytest.fixture
def loop(gate):
    loop = Loop(gate)
    loop.thread.start()
    yield loop
    gate.stop()
    loop.thread.join(PATIENCE_S)


def hold(gate, loop):
    gate.pause()
    loop.until(lambda: gate.state == "paused")
    return loop.steps


def test_a_gate_nobody_touched_lets_every_step_pass(gate):
    loop = Loop(gate, most=1000)
    loop.run()
    assert (loop.steps, loop.ended_by, gate.state) == (1000, None, "running")


def test_pause_takes_effect_within_the_step_under_way():
    gate = PauseGate()
    loop = Loop(gate)
    gate.pause()
    assert gate.state == "pausing"
    loop.thread.start()
    loop.until(lambda: gate.state == "paused")
    assert loop.steps == 1
    gate.stop()
    loop.thread.join(PATIENCE_S)


def test_resume_lets_training_go_on(gate, loop):
    steps = hold(gate, loop)
    gate.resume()
    loop.until(lambda: loop.steps > steps + 5)
    assert gate.state == "running"


def test_step_n_finishes_exactly_n_steps(gate, loop):
    steps = hold(gate, loop)
    gate.step(3)
    loop.until(lambda: gate.state == "paused" and loop.steps == steps + 3)
    gate.step()
    loop.until(lambda: gate.state == "paused" and loop.steps == steps + 4)


def test_step_in_a_loop_that_is_not_held_finishes_n_steps_then_holds():
    gate = PauseGate()
    gate.step(2)
    loop = Loop(gate)
    loop.thread.start()
    loop.until(lambda: gate.state == "paused")
    assert loop.steps == 2
    gate.stop()
    loop.thread.join(PATIENCE_S)


def test_pause_cancels_steps_still_owed():
    gate = PauseGate()
    gate.step(1000)
    gate.pause()
    loop = Loop(gate)
    loop.thread.start()
    loop.until(lambda: gate.state == "paused")
    assert loop.steps == 1
    gate.stop()
    loop.thread.join(PATIENCE_S)


def test_stop_raises_stop_training_also_while_paused(gate, loop):
    hold(gate, loop)
    gate.stop()
    loop.thread.join(PATIENCE_S)
    assert isinstance(loop.ended_by, StopTraining)
    assert gate.state == "running"  # the next run begins fresh


def test_stop_passes_except_exception():
    gate = PauseGate()
    gate.stop()
    with pytest.raises(StopTraining), contextlib.suppress(Exception):
        gate.at_boundary()


def test_keyboard_interrupt_ends_a_pause_and_the_next_run_is_not_paused(gate):
    def interrupt(state):
        if state == "paused":
            _thread.interrupt_main()

    gate.pause()
    gate.listen(interrupt)
    with pytest.raises(KeyboardInterrupt):
        gate.at_boundary()
    assert gate.state == "running"
    gate.at_boundary()


def test_keyboard_interrupt_comes_through_a_wait_that_nothing_else_ends(gate):
    over, rescued = threading.Event(), []

    def interrupt_once_it_waits():
        for _ in range(10_000):
            with gate._condition:
                waiting = bool(gate._condition._waiters)
            if waiting:
                over.wait(0.05)  # from announced to asleep; too early makes the test blunt only
                _thread.interrupt_main()  # sets a flag; ends no system call, as on Windows
                break
            over.wait(0.001)
        if not over.wait(PATIENCE_S):
            rescued.append(True)
            gate.stop()

    helper = threading.Thread(target=interrupt_once_it_waits)
    gate.pause()
    helper.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            gate.at_boundary()
    finally:
        over.set()
        helper.join()
    assert not rescued


def test_listeners_hear_each_state(gate):
    states = []
    cancel = gate.listen(states.append)
    gate.pause()
    loop = Loop(gate, most=2)
    loop.thread.start()
    loop.until(lambda: gate.state == "paused")
    gate.resume()
    loop.thread.join(PATIENCE_S)
    assert states[:2] == ["pausing", "paused"]
    assert states[-1] == "running"
    cancel()
    gate.pause()
    assert states[-1] == "running"


def test_a_listener_that_fails_does_not_reach_the_loop(gate, caplog):
    gate.listen(lambda state: 1 / 0)
    gate.stop()
    with pytest.raises(StopTraining):
        gate.at_boundary()
    assert "showing that training" in caplog.text


def test_refused_with_the_reason():
    gate = PauseGate(refuse=lambda action: f"no {action} in one-way mode")
    for action in (gate.pause, gate.step, gate.stop):
        with pytest.raises(RunRefusedError, match=f"no {action.__name__} in one-way mode"):
            action()
    gate.at_boundary()
    assert gate.refusal("pause") == "no pause in one-way mode"


def test_a_process_group_refuses_pause_but_not_stop(gate, monkeypatch):
    group = SimpleNamespace(is_available=lambda: True, is_initialized=lambda: True)
    monkeypatch.setitem(sys.modules, "torch.distributed", group)
    with pytest.raises(RunRefusedError, match=r"torch\.distributed"):
        gate.pause()
    gate.stop()
    with pytest.raises(StopTraining):
        gate.at_boundary()


def test_without_a_process_group_torch_distributed_refuses_nothing(gate, monkeypatch):
    group = SimpleNamespace(is_available=lambda: True, is_initialized=lambda: False)
    monkeypatch.setitem(sys.modules, "torch.distributed", group)
    assert gate.refusal("pause") == ""


def test_step_needs_a_positive_number(gate):
    with pytest.raises(ValueError, match="from 1, got 0"):
        gate.step(0)
