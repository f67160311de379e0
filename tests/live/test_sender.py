import os
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from nbtorchviz.live.pacing import MAX_FRAME_BYTES, PATIENCE_S
from nbtorchviz.live.sender import Payload, Sender

PATIENT_S = 60.0


class Widget:
    """Content that counts, with a stream to show it."""

    def __init__(self, sender, name="frame", **options):
        self.value = self.seq = 0
        self.size_bytes = 1000
        self.limits, self.delivered, self.threads = [], [], set()
        self.arrived = threading.Condition()
        self.produce_error = self.deliver_error = None
        self.stream = sender.add(name, self.produce, self.deliver, **options)

    def set(self, value, urgent=False):
        self.value = value
        self.stream.mark(urgent)

    def produce(self, limit_bytes):
        self.limits.append(limit_bytes)
        if self.produce_error is not None:
            raise self.produce_error
        if self.value is None:
            return None
        self.seq += 1
        return Payload(self.seq, self.value, self.size_bytes)

    def deliver(self, payload):
        if self.deliver_error is not None:
            raise self.deliver_error
        with self.arrived:
            self.delivered.append(payload.data)
            self.threads.add(threading.current_thread())
            self.arrived.notify_all()

    def until(self, value):
        with self.arrived:
            assert self.arrived.wait_for(lambda: value in self.delivered, PATIENT_S)


@pytest.fixture
def faults():
    return []


@pytest.fixture
def sender(faults):
    sender = Sender(on_fault=lambda where, error: faults.append((where, error)))
    yield sender
    sender.close()


@pytest.fixture
def time():
    return SimpleNamespace(now=100.0)


@pytest.fixture
def pumped(faults, time):
    """A sender without a thread, under a clock that the test moves."""
    return Sender(
        on_fault=lambda where, error: faults.append((where, error)),
        clock=lambda: time.now,
        threaded=False,
    )


def test_no_thread_before_the_first_mark_and_none_after_close(sender):
    widget = Widget(sender)
    assert sender._thread is None
    widget.set(1)
    widget.until(1)
    (thread,) = widget.threads
    assert thread is not threading.current_thread()
    assert thread.daemon
    sender.close()
    assert not thread.is_alive()
    sender.close()
    widget.set(2)
    assert widget.delivered == [1]
    assert sender.flush()


def test_only_the_newest_content_goes_out(sender):
    widget = Widget(sender)
    for value in range(1000):
        widget.set(value)
    assert sender.flush(PATIENT_S)
    assert widget.delivered[-1] == 999
    assert len(widget.delivered) <= 3


def test_flush_delivers_at_once_what_rates_would_hold_back(sender):
    widget = Widget(sender, max_hz=0.01)
    for value in (1, 2, 3):
        widget.set(value)
        assert sender.flush(PATIENT_S)
        assert widget.delivered[-1] == value


def test_flush_covers_content_that_was_marked_while_another_send_was_under_way(sender):
    widget = Widget(sender)
    inside, go_on = threading.Event(), threading.Event()
    plain_deliver = widget.deliver

    def slow_deliver(payload):
        inside.set()
        assert go_on.wait(PATIENT_S)
        plain_deliver(payload)

    widget.stream._deliver = slow_deliver
    widget.set("old")
    assert inside.wait(PATIENT_S)
    widget.set("new")
    done = []
    flusher = threading.Thread(target=lambda: done.append(sender.flush(PATIENT_S)))
    flusher.start()
    go_on.set()
    flusher.join(PATIENT_S)
    assert done == [True]
    assert widget.delivered == ["old", "new"]


def test_flush_gives_up_after_its_timeout(sender):
    widget = Widget(sender)
    go_on = threading.Event()
    widget.stream._deliver = lambda payload: go_on.wait(PATIENT_S)
    widget.set(1)
    assert sender.flush(0.05) is False
    go_on.set()


def test_flush_without_anything_to_send_returns_at_once_and_starts_no_thread(sender):
    Widget(sender)
    assert sender.flush(0.0)
    assert sender._thread is None


def test_a_failing_produce_is_reported_and_does_not_stop_the_others(sender, faults):
    bad, good = Widget(sender, "bad"), Widget(sender, "good")
    bad.produce_error = ValueError("no picture")
    bad.set(1)
    good.set(1)
    good.until(1)
    sender.flush(PATIENT_S)
    assert [(where, str(error)) for where, error in faults] == [("making bad", "no picture")]
    assert bad.stream.stats["faults_in_a_row"] == 1


def test_a_failing_stream_is_asked_ever_more_rarely_and_recovers(pumped, faults, time):
    widget = Widget(pumped)
    widget.produce_error = ValueError("x")
    for _ in range(1000):
        widget.set(1)
        pumped.boundary()
        time.now += 0.1
    assert 5 <= len(faults) <= 8
    widget.produce_error = None
    time.now += 60
    widget.set(2)
    pumped.boundary()
    assert widget.delivered == [2]
    assert widget.stream.stats["faults_in_a_row"] == 0


def test_a_failing_deliver_leaves_nothing_under_way(pumped, faults, time):
    widget = Widget(pumped)
    widget.deliver_error = OSError("comm closed")
    widget.set(1)
    pumped.boundary()
    assert [where for where, _ in faults] == ["sending frame"]
    assert (pumped.unacked_bytes, widget.stream.stats["under_way"]) == (0, 0)


def test_a_fault_handler_that_fails_is_counted(time):
    sender = Sender(on_fault=lambda where, error: 1 / 0, threaded=False)
    widget = Widget(sender)
    widget.produce_error = ValueError("x")
    widget.set(1)
    sender.boundary()
    assert sender.unreported_faults == 1


def test_sys_exit_in_produce_does_not_end_the_thread(sender, faults):
    bad, good = Widget(sender, "bad"), Widget(sender, "good")
    bad.produce_error = SystemExit(1)
    bad.set(1)
    sender.flush(PATIENT_S)
    good.set(2)
    good.until(2)
    assert isinstance(faults[0][1], SystemExit)


def test_a_frame_above_the_largest_size_is_a_fault(pumped, faults):
    widget = Widget(pumped)
    widget.size_bytes = MAX_FRAME_BYTES + 1
    widget.set(1)
    pumped.boundary()
    assert widget.delivered == []
    assert "at most 260000" in str(faults[0][1])


def test_window_and_acks(pumped, time):
    widget = Widget(pumped)
    for value in range(1, 6):
        widget.set(value, urgent=True)
        pumped.boundary()
        time.now += 0.02
    assert widget.delivered == [1, 2]
    widget.stream.acked("v", 1)
    pumped.boundary()
    assert widget.delivered == [1, 2, 5]


def test_ready_sends_the_present_state_at_once(pumped, time):
    widget = Widget(pumped, max_hz=0.001)
    for value in (1, 2):
        widget.set(value, urgent=True)
        pumped.boundary()
        time.now += 0.02
    widget.stream.reset("new page")
    pumped.boundary()
    assert widget.delivered == [1, 2, 2]


def test_a_silent_line_shrinks_frames_and_any_message_brings_them_back(pumped, time):
    widget = Widget(pumped)
    pumped.run_began()
    for value in (1, 2, 3):
        widget.set(value, urgent=True)
        pumped.boundary()
        time.now += 0.05
    time.now += PATIENCE_S
    assert pumped.backoff_s == 1
    assert not pumped.hearing
    pumped.boundary()
    assert widget.limits == [MAX_FRAME_BYTES, MAX_FRAME_BYTES, 64_000]
    pumped.message_in("v", concurrent=True)
    assert (pumped.backoff_s, pumped.unacked_bytes, pumped.hearing) == (0, 0, True)


def test_an_ack_proves_live_only_on_another_thread_than_the_training(pumped, time):
    widget = Widget(pumped)
    widget.set(1)
    pumped.boundary()
    widget.stream.acked("v", 1)  # this thread trains: the message came in between two cells
    assert pumped.acks_during_run == 0
    assert pumped.last_ack_age_s == 0
    subshell = threading.Thread(target=lambda: widget.stream.acked("v", 1))
    subshell.start()
    subshell.join()
    assert pumped.acks_during_run == 1


def test_facts_for_the_chip(pumped, time):
    widget = Widget(pumped)
    assert (pumped.latency_s, pumped.last_ack_age_s, pumped.running) == (None, None, False)
    widget.set(1)
    pumped.boundary()
    time.now += 0.04
    assert pumped.waiting_for_s == pytest.approx(0.04)
    assert pumped.unacked_bytes == 1000
    widget.stream.acked("v", 1)
    assert pumped.latency_s == pytest.approx(0.04)
    assert pumped.running
    time.now += 3
    assert not pumped.running
    pumped.run_began()
    assert pumped.running
    pumped.run_ended()
    assert not pumped.running


def test_hidden_views_of_the_audience_are_not_waited_for(pumped, time):
    visible = {"v"}
    audience = SimpleNamespace(is_visible=lambda view: view in visible)
    widget = Widget(pumped, audience=audience)
    widget.stream.acked("v", 0)
    widget.stream.acked("w", 0)
    for value in range(1, 5):
        widget.set(value, urgent=True)
        pumped.boundary()
        time.now += 0.02
        widget.stream.acked("v", value)
    assert widget.delivered == [1, 2, 3, 4]


def test_without_a_thread_content_goes_out_between_cells_through_post(faults, time):
    posted = []
    sender = Sender(
        on_fault=lambda *fault: faults.append(fault),
        clock=lambda: time.now,
        threaded=False,
        post=lambda function, delay_s: posted.append((function, delay_s)) or True,
    )
    widget, other = Widget(sender, max_hz=2.0), Widget(sender, "other")
    widget.set(1)
    other.set(1)
    widget.set(2, urgent=True)
    ((pump, delay_s),) = posted  # one call is enough for both
    assert delay_s == 0
    pump()
    assert widget.delivered == [2]
    widget.set(3)
    assert posted[1:] == [(sender.pump, pytest.approx(0.5))]
    posted[1][0]()  # too early: it asks again
    assert widget.delivered == [2]
    time.now += 0.5
    posted[2][0]()
    assert widget.delivered == [2, 3]
    assert len(posted) == 3
    assert sender._thread is None


def test_produce_that_has_nothing_is_not_asked_at_every_mark(pumped, time):
    widget = Widget(pumped)
    widget.value = None
    for _ in range(100):
        widget.stream.mark()
        pumped.boundary()
        time.now += 0.001
    assert len(widget.limits) <= 3


def test_a_closed_stream_is_never_asked_again(sender):
    widget = Widget(sender)
    widget.set(1)
    widget.until(1)
    widget.stream.close()
    widget.stream.close()
    widget.set(2)
    assert sender.flush(PATIENT_S)
    widget.stream.acked("v", 1)
    assert widget.delivered == [1]


def test_eight_threads_marking_lose_no_last_value(sender, faults):
    widgets = [Widget(sender, f"w{i}") for i in range(8)]

    def train(widget):
        for value in range(1, 2001):
            widget.set(value, urgent=value % 7 == 0)
            if value % 50 == 0:
                widget.stream.acked("v", widget.seq)
                sender.message_in("v")
                sender.boundary()

    threads = [threading.Thread(target=train, args=(widget,)) for widget in widgets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for widget in widgets:
        widget.stream.acked("v", widget.seq)
    assert sender.flush(PATIENT_S)
    assert [widget.delivered[-1] for widget in widgets] == [2000] * 8
    assert all(widget.delivered == sorted(widget.delivered) for widget in widgets)
    assert len({thread for widget in widgets for thread in widget.threads}) == 1
    assert faults == []
    assert sender.unacked_bytes >= 0
    assert sender.cpu_s > 0


def test_an_idle_thread_ends_and_the_next_mark_starts_another(sender, monkeypatch):
    monkeypatch.setattr("nbtorchviz.live.sender.IDLE_EXIT_S", 0.01)
    widget = Widget(sender)
    widget.set(1)
    widget.until(1)
    (first,) = widget.threads
    first.join(PATIENT_S)
    assert not first.is_alive()
    spent_s = sender.cpu_s
    assert spent_s > 0
    widget.set(2, urgent=True)
    widget.until(2)
    assert len(widget.threads) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_sends_nothing_and_hangs_nowhere(sender):
    widget = Widget(sender)
    widget.set(1)
    widget.until(1)
    held, go_on = threading.Event(), threading.Event()

    def hold_the_lock():
        with sender._condition:
            held.set()
            go_on.wait(PATIENT_S)

    holder = threading.Thread(target=hold_the_lock)
    holder.start()
    assert held.wait(PATIENT_S)
    child = os.fork()  # the worst moment: nobody in the child will ever release the lock
    if child == 0:
        failed = 1
        try:
            signal.alarm(10)
            widget.set(2, urgent=True)
            widget.stream.acked("v", 1)
            widget.stream.reset("v")
            widget.stream.view_gone("v")
            sender.message_in("v")
            sender.run_began()
            sender.boundary()
            sender.run_ended()
            widget.stream.close()
            ok = sender.flush(5.0)
            sender.close()
            failed = not (ok and widget.delivered == [1])
        finally:
            os._exit(failed)
    go_on.set()
    holder.join(PATIENT_S)
    assert os.waitpid(child, 0)[1] == 0
    widget.set(3, urgent=True)
    widget.until(3)


def test_a_process_ends_cleanly_with_a_busy_sender():
    code = """
import threading
from nbtorchviz.live.sender import Payload, Sender
sender = Sender(on_fault=print)
seq = 0
def produce(limit):
    global seq
    seq += 1
    stream.mark(urgent=True)
    return Payload(seq, None, 10)
stream = sender.add("frame", produce, lambda payload: None)
sender.add("late", produce, print)
stream.mark()
import atexit
atexit.register(stream.mark)
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True, timeout=180
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_abandoned_sender_is_collected():
    import gc
    import weakref

    sender = Sender(on_fault=print)
    Widget(sender)
    known = weakref.ref(sender)
    del sender
    gc.collect()
    assert known() is None
