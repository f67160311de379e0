import sys

import pytest

from nbtorchviz.errors import StopTraining
from nbtorchviz.live.gate import PauseGate
from nbtorchviz.live.live_context import QUICK_SWITCH_S, LiveContext


class FakeSession:
    def __init__(self):
        self.gate = PauseGate()
        self.said = []

    def run_began(self, name=""):
        self.said.append("began")

    def run_ended(self, how="finished", error=None):
        self.said.append(how)


@pytest.fixture
def session():
    return FakeSession()


def test_a_loop_that_ends_by_itself(session):
    with LiveContext(session) as entered:
        assert entered is session
    assert session.said == ["began", "finished"]


def test_a_stop_is_swallowed(session):
    with LiveContext(session):
        session.gate.stop()
        session.gate.at_boundary()
        pytest.fail("the stop did not stop")
    assert session.said == ["began", "stopped"]


@pytest.mark.parametrize(
    ("error", "how"),
    [(KeyboardInterrupt, "interrupted"), (ValueError, "failed"), (SystemExit, "failed")],
)
def test_everything_else_passes_on(session, error, how):
    with pytest.raises(error), LiveContext(session):
        raise error
    assert session.said == ["began", how]


def test_requests_of_before_and_after_do_not_leak_into_a_run(session):
    session.gate.stop()
    with LiveContext(session):
        session.gate.at_boundary()
        session.gate.pause()
    session.gate.at_boundary()
    assert session.said == ["began", "finished"]


def test_a_session_that_fails_hides_no_exception_of_the_user(session, caplog):
    session.run_began = session.run_ended = lambda *args: 1 / 0
    with pytest.raises(StopIteration), LiveContext(session):
        raise StopIteration
    assert "your training goes on" in caplog.text


def test_stop_raised_outside_live_is_nobodys_exception(session):
    session.gate.stop()
    with pytest.raises(StopTraining):
        session.gate.at_boundary()


def test_quick_switches_are_restored_also_after_an_exception(session):
    before = sys.getswitchinterval()
    inside = []
    with pytest.raises(KeyError), LiveContext(session, quick_switches=True):
        {}[inside.append(sys.getswitchinterval())]
    assert inside == [pytest.approx(QUICK_SWITCH_S, rel=0.01)]
    assert sys.getswitchinterval() == before
