import _thread
import contextvars
import io
import sys
import threading

import pytest

from nbtorchviz.errors import RunRefusedError
from nbtorchviz.live.background import BackgroundRun
from tests.live.test_live_context import FakeSession

PATIENCE_S = 60.0


@pytest.fixture
def session():
    return FakeSession()


class Endless:
    """Steps until stopped; ``began`` is set after the first one."""

    def __init__(self, session):
        self.session, self.steps = session, 0
        self.began = threading.Event()

    def __call__(self):
        while True:
            self.steps += 1
            self.began.set()
            self.session.gate.at_boundary()


@pytest.fixture
def endless(session):
    loop = Endless(session)
    run = BackgroundRun(loop, session)
    assert loop.began.wait(PATIENCE_S)
    yield run
    run.stop()
    assert run.join(PATIENCE_S) or run.state == "interrupted"


def test_a_run_that_ends_by_itself_stays_inspectable(session):
    run = BackgroundRun(lambda: 42, session)
    assert run.join(PATIENCE_S)
    assert (run.state, run.result, run.exception, run.running) == ("finished", 42, None, False)
    assert session.said == ["began", "finished"]
    assert repr(run) == "<BackgroundRun finished>"


def test_it_runs_on_another_thread_in_a_copy_of_the_callers_context(session):
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("of the caller")
    seen = []

    def fn():
        seen.extend([variable.get(), threading.current_thread() is threading.main_thread()])
        variable.set("changed")

    BackgroundRun(fn, session).join(PATIENCE_S)
    assert seen == ["of the caller", False]
    assert variable.get() == "of the caller"


def test_an_exception_is_shown_logged_and_raised_by_every_join(session, caplog):
    shown, ready = [], threading.Event()

    def fn():
        assert ready.wait(PATIENCE_S)
        raise ValueError("bad batch")

    run = BackgroundRun(fn, session, on_change=lambda: shown.append(run.state))
    ready.set()
    for _ in range(2):
        with pytest.raises(ValueError, match="bad batch"):
            run.join(PATIENCE_S)
    run._thread.join(PATIENCE_S)
    assert run.state == "failed"
    assert "ValueError: bad batch" in run.log.text
    assert shown[-1] == "failed"
    assert session.said == ["began", "failed"]
    assert "run.join() raises it" in caplog.text


def test_sys_exit_in_the_run_ends_the_run_only(session, caplog):
    run = BackgroundRun(lambda: sys.exit(3), session)
    with pytest.raises(SystemExit):
        run.join(PATIENCE_S)
    assert run.state == "failed"


def test_stop_is_swallowed(session, endless):
    endless.stop()
    assert endless.join(PATIENCE_S)
    assert (endless.state, endless.exception) == ("stopped", None)
    assert session.said == ["began", "stopped"]
    endless.stop()  # again: nothing to do


def test_pause_and_step(session, endless):
    held = threading.Event()
    session.gate.listen(lambda state: held.set() if state == "paused" else None)
    endless.pause()
    assert held.wait(PATIENCE_S)
    held.clear()
    endless.step(2)
    assert held.wait(PATIENCE_S)
    endless.resume()
    assert endless.running


def test_a_second_run_is_refused_until_the_first_has_ended(session, endless):
    with pytest.raises(RunRefusedError, match=r"run\.join\(\)"):
        BackgroundRun(lambda: None, session)
    endless.stop()
    endless.join(PATIENCE_S)
    assert BackgroundRun(lambda: 1, session).join(PATIENCE_S)


def test_an_ended_run_refuses_pause(session):
    run = BackgroundRun(lambda: None, session)
    run.join(PATIENCE_S)
    with pytest.raises(RunRefusedError, match="has ended"):
        run.pause()


def test_join_with_a_timeout_says_that_the_run_goes_on(endless):
    assert endless.join(0.0) is False


def test_interrupt_in_join_stops_the_run_and_reaches_the_user(session):
    loop = Endless(session)
    joining = threading.Event()

    def fn():
        joining.wait(PATIENCE_S)
        _thread.interrupt_main()
        loop()

    run = BackgroundRun(fn, session)
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - join has to be under way
        joining.set()
        run.join(PATIENCE_S)
    assert run.state == "interrupted"
    assert session.said == ["began", "interrupted"]


def test_join_from_within_the_run_is_an_error_and_no_deadlock(session):
    runs = []
    ready = threading.Event()

    def fn():
        assert ready.wait(PATIENCE_S)
        runs[0].join()

    runs.append(BackgroundRun(fn, session))
    ready.set()
    with pytest.raises(RuntimeError, match="its own end"):
        runs[0].join(PATIENCE_S)


@pytest.mark.parametrize(
    ("fn", "words"), [(lambda x: x, "without arguments, but it has"), (7, "got int")]
)
def test_a_function_that_needs_arguments_is_refused_at_once(session, fn, words):
    with pytest.raises(TypeError, match=words):
        BackgroundRun(fn, session)
    assert session.said == []


def test_prints_go_to_the_log_and_those_of_other_threads_do_not(session, monkeypatch):
    mine = io.StringIO()
    monkeypatch.setattr(sys, "stdout", mine)
    printed, go_on = threading.Event(), threading.Event()

    def fn():
        print("from the run")
        printed.set()
        assert go_on.wait(PATIENCE_S)

    run = BackgroundRun(fn, session)
    assert printed.wait(PATIENCE_S)
    print("from the cell")
    kept = sys.stdout
    go_on.set()
    run.join(PATIENCE_S)
    run._thread.join(PATIENCE_S)
    assert run.log.text == "from the run\n"
    assert mine.getvalue() == "from the cell\n"
    assert sys.stdout is mine
    print("late", file=kept)  # a handle that somebody kept still works
    assert mine.getvalue().endswith("late\n")


def test_progress_bars_overwrite_their_line(session):
    def fn():  # what tqdm does
        bar = sys.stderr
        for n in range(4):
            bar.write(f"\r{n}/3")
            bar.flush()
        bar.write("\n")

    run = BackgroundRun(fn, session)
    run.join(PATIENCE_S)
    assert run.log.text == "3/3\n"


def test_torch_settings_of_the_caller_hold_in_the_run(session):
    torch = pytest.importorskip("torch")

    def fn():
        return (
            torch.is_grad_enabled(),
            torch.is_autocast_enabled("cpu"),
            torch.get_autocast_dtype("cpu"),
            torch.get_default_device().type,
        )

    with torch.no_grad(), torch.autocast("cpu", dtype=torch.float16), torch.device("meta"):
        run = BackgroundRun(fn, session)
    run.join(PATIENCE_S)
    assert run.result == (False, True, torch.float16, "meta")
    with torch.inference_mode():
        run = BackgroundRun(torch.is_inference_mode_enabled, session)
    run.join(PATIENCE_S)
    assert run.result is True
    run = BackgroundRun(fn, session)
    run.join(PATIENCE_S)
    assert run.result == (True, False, torch.get_autocast_dtype("cpu"), "cpu")


@pytest.mark.parametrize("kind", ["a generator", "an async"])
def test_what_would_run_nothing_is_refused(kind, session):
    async def fit_later():
        raise AssertionError

    def fit_by_turns():
        yield

    fn = fit_later if kind == "an async" else fit_by_turns
    with pytest.raises(TypeError, match=f"needs a plain function, got {kind} function"):
        BackgroundRun(fn, session)
