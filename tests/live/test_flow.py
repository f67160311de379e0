import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbtorchviz.live.flow import Flow, StreamFlow
from nbtorchviz.live.pacing import (
    MAX_FRAME_BYTES,
    MAX_UNACKED_BYTES,
    MESSAGES_PER_S,
    PATIENCE_S,
    UNREQUESTED_BYTES_PER_S,
    WINDOW,
)
from tests.live.line_simulation import Line

DAY_S = 86_400.0


@pytest.fixture
def line():
    line = Line(streams=["frame"])
    line.flow.run_began(line.now)
    line.flow.boundary(line.now)
    return line


def live(line):
    """Bring the line to where a view has answered during the run."""
    line.send(line.streams[0])
    line.now += 0.02
    line.ack()
    line.now += 1.0
    return line.streams[0]


def test_the_third_frame_waits_for_an_ack(line):
    frame = line.streams[0]
    for _ in range(2):
        line.send(frame, urgent=True)
        line.now += 0.02
    assert line.flow.wait_s(frame, line.now, urgent=True) == pytest.approx(PATIENCE_S - 0.04)
    line.flow.acked(frame, "v", 1, line.now)
    assert line.flow.wait_s(frame, line.now, urgent=True) == 0


def test_an_ack_takes_in_all_earlier_frames(line):
    frame = line.streams[0]
    line.send(frame, urgent=True)
    line.now += 0.02
    line.send(frame, urgent=True)
    line.ack()
    assert (frame.window(line.now), line.flow.unacked_bytes) == (0, 0)


def test_a_move_goes_at_once_where_other_content_waits_for_its_rate(line):
    frame = live(line)
    for _ in range(2):
        line.send(frame, urgent=True)
        line.now += 0.02
        line.ack()
    assert line.flow.wait_s(frame, line.now) == pytest.approx(0.22, abs=0.001)  # 1 MB/s
    assert line.flow.wait_s(frame, line.now, urgent=True) == 0


def test_moves_are_repaid_by_unrequested_frames_within_about_a_second(line):
    frame = live(line)
    for _ in range(60):
        line.send(frame, urgent=True)
        line.now += 0.02
        line.ack()
    assert 0.9 < line.flow.wait_s(frame, line.now) <= 1.0


def test_unrequested_frames_keep_to_their_own_rate(line):
    frame = live(line)
    line.send(frame, size=100)
    line.ack()
    assert line.flow.wait_s(frame, line.now) == pytest.approx(frame.gap_s)


def test_a_vanished_second_view_does_not_block_the_window(line):
    frame = live(line)
    line.flow.view_ready(frame, "gone")
    for _ in range(2):
        line.send(frame, urgent=True)
        line.now += 0.02
        line.flow.acked(frame, "v", line.seq, line.now)
    assert frame.window(line.now) == 2  # "gone" owes two
    line.now += PATIENCE_S
    assert frame.window(line.now) == 0
    line.send(frame, urgent=True)
    line.flow.acked(frame, "v", line.seq, line.now)
    assert frame.window(line.now) == 0


def test_a_view_whose_lease_is_out_or_that_is_hidden_is_not_waited_for(line):
    frame = live(line)
    line.flow.view_ready(frame, "hidden")
    for _ in range(2):
        line.send(frame, urgent=True)
        line.now += 0.02
        line.flow.acked(frame, "v", line.seq, line.now)
    frame.counts = lambda view: view == "v"
    assert frame.window(line.now) == 0


def test_the_slower_of_two_answering_views_sets_the_pace(line):
    frame = live(line)
    line.flow.view_ready(frame, "slow")
    for _ in range(2):
        line.send(frame, urgent=True)
        line.now += 0.02
        line.flow.acked(frame, "v", line.seq, line.now)
    assert frame.window(line.now) == 2
    line.flow.acked(frame, "slow", line.seq, line.now)
    assert frame.window(line.now) == 0


def test_ready_makes_room_at_once(line):
    frame = live(line)
    for _ in range(2):
        line.send(frame, urgent=True)
        line.now += 0.02
    line.flow.view_ready(frame, "new")
    assert line.flow.wait_s(frame, line.now, urgent=True) == 0


def test_acks_of_numbers_never_sent_are_ignored(line):
    frame = line.streams[0]
    line.send(frame)
    line.flow.acked(frame, "old page", 10**6, line.now)
    assert frame.window(line.now) == 1
    line.now += 0.02
    line.send(frame, urgent=True)
    assert frame.window(line.now) == WINDOW


def test_a_send_that_failed_is_taken_back(line):
    frame = line.streams[0]
    line.send(frame)
    line.flow.revoke(frame, line.seq)
    assert (frame.window(line.now), line.flow.unacked_bytes) == (0, 0)
    assert line.flow.waiting_for_s(line.now + 100) == 0


def test_acks_that_stop_during_a_run_back_off_all_streams_up_to_a_minute():
    line = Line(streams=["frame", "curve"])
    line.flow.run_began(line.now)
    line.run(2.0, answer=line.ack)
    line.log.clear()
    line.run(1200.0, steps=True)
    for name in ("frame", "curve"):
        times = [at for at, stream, _, _ in line.log if stream == name]
        gaps = [later - earlier for earlier, later in pairwise(times[2:])]
        assert gaps == sorted(gaps)
        assert gaps[0] == pytest.approx(2, abs=1.1)
        assert gaps[-1] == pytest.approx(60, abs=1.1)
        assert len(times) < 30
    assert line.flow.lost(line.now)
    assert [size for _, _, _, size in line.log][-1] == 16_000


def test_any_message_resets_the_back_off(line):
    frame = live(line)
    line.run(300.0, steps=True)
    assert line.flow.gap_s(line.now) == 60
    line.flow.message_in(line.now)
    assert (line.flow.gap_s(line.now), line.flow.unacked_bytes) == (0, 0)
    assert line.flow.wait_s(frame, line.now + 0.1) == 0
    assert line.flow.limit_bytes(line.now) == MAX_FRAME_BYTES


def test_never_more_than_20_megabytes_under_way_after_acks_stopped():
    line = Line(streams=[f"frame{i}" for i in range(12)])
    line.flow.run_began(line.now)
    line.run(2.0, answer=line.ack)
    line.run(20 * DAY_S)
    assert 15_000_000 < line.flow.unacked_bytes <= MAX_UNACKED_BYTES
    assert line.flow.wait_s(line.streams[0], line.now) == math.inf
    line.flow.message_in(line.now)
    assert line.flow.wait_s(line.streams[0], line.now) == 0


def test_one_way_begins_at_one_small_frame_a_second_and_slows_to_one_a_minute(line):
    line.run(60.0, steps=True)
    sizes = [size for _, _, _, size in line.log][WINDOW:]
    assert len(sizes) == pytest.approx(60, abs=5)
    assert max(sizes) <= 64_000
    line.run(2 * 3600.0, steps=True)
    line.log.clear()
    line.run(3600.0, steps=True)
    assert len(line.log) == pytest.approx(60, abs=2)
    assert {size for _, _, _, size in line.log} == {16_000}


@pytest.mark.parametrize("streams", [0, 1, 3, 20])
def test_one_way_stays_below_50_megabytes_a_day(streams):
    line = Line(streams=[f"frame{i}" for i in range(streams)], loose=["state"])
    line.flow.run_began(line.now)
    line.run(DAY_S)
    assert line.sent_bytes() <= 50_000_000
    first_day = line.sent_bytes()
    line.run(DAY_S)
    assert line.sent_bytes() - first_day <= 50_000_000


def test_one_way_is_not_cut_off_by_the_limit_for_lost_lines(line):
    line.run(3 * DAY_S)
    assert line.sent_bytes() > MAX_UNACKED_BYTES
    assert line.now - line.log[-1][0] < 120


def test_messages_handled_between_cells_prove_nothing_about_the_run(line):
    live_between_cells = line.flow.message_in
    live_between_cells(line.now, concurrent=False)
    line.run(30.0, steps=True)
    assert not line.flow.lost(line.now)
    assert not line.flow.heard_during_run
    line.flow.message_in(line.now, concurrent=True)
    assert line.flow.heard_during_run


def test_an_idle_kernel_answers_without_counting_as_running(line):
    line.flow.run_ended()
    live(line)
    assert not line.flow.running(line.now)
    assert (line.flow.acks_during_run, line.flow.heard_during_run) == (0, False)
    assert line.flow.last_ack_at is not None
    assert line.flow.gap_s(line.now + 3600) == 0  # nothing is under way: silence is no loss


def test_a_loop_that_nobody_announced_is_a_new_run_too(line):
    live(line)  # a background run that was answered
    line.flow.run_ended()
    line.now += 60
    line.run(120.0, steps=True)  # and a plain loop on a host that reads nothing meanwhile
    assert not line.flow.lost(line.now)
    assert line.flow.gap_s(line.now) < 2
    assert line.flow.acks_during_run == 0


def test_acks_of_a_new_run_are_counted_afresh(line):
    live(line)
    assert line.flow.acks_during_run == 1
    line.flow.run_ended()
    line.flow.run_began(line.now)
    assert (line.flow.acks_during_run, line.flow.heard_during_run) == (0, False)


def test_a_lost_line_stays_lost_over_runs_until_a_message_comes(line):
    live(line)
    line.run(100.0, steps=True)
    line.flow.run_ended()
    line.flow.run_began(line.now)
    assert line.flow.lost(line.now)


@pytest.mark.parametrize(
    ("step_s", "age_s", "running"), [(0.01, 1.9, 1), (0.01, 2.1, 0), (5, 14, 1)]
)
def test_slow_steps_are_not_mistaken_for_an_idle_kernel(step_s, age_s, running):
    flow = Flow()
    for n in range(5):
        flow.boundary(n * step_s)
    assert flow.running(4 * step_s + age_s) == bool(running)


def test_content_that_is_never_acked_is_slowed_by_missing_words_of_presence():
    line = Line(streams=[], loose=["state"])
    line.flow.run_began(line.now)
    hear = lambda: line.flow.message_in(line.now)  # noqa: E731
    line.run(60.0, answer=hear)
    assert line.flow.gap_s(line.now) == 0
    line.run(100.0)
    assert line.flow.gap_s(line.now) > 1
    hear()
    assert line.flow.gap_s(line.now) == 0


def test_even_urgent_content_that_is_never_acked_has_a_highest_rate():
    line = Line(streams=[], loose=["state"])
    state = line.streams[0]
    for _ in range(3):
        line.send(state, size=100, urgent=True)
        assert line.flow.wait_s(state, line.now, urgent=True) == pytest.approx(0.01)
        line.now += 0.0101


def test_a_closed_stream_leaves_its_bytes_but_no_waiting(line):
    frame = line.streams[0]
    line.send(frame)
    line.flow.remove(frame)
    assert line.flow.waiting_for_s(line.now + 10) == 0
    assert line.flow.unacked_bytes == MAX_FRAME_BYTES
    line.flow.message_in(line.now)
    assert line.flow.unacked_bytes == 0


def test_without_a_kernel_only_the_streams_own_rate_counts():
    line = Line(streams=["frame"], wired=False)
    line.run(10.0)
    assert len(line.log) == pytest.approx(200, abs=3)
    assert line.flow.unacked_bytes == 0


def test_a_flush_passes_a_full_window_at_most_once_a_second(line):
    frame = live(line)
    for _ in range(2):
        line.send(frame, urgent=True)
        line.now += 0.02
    assert line.flow.wait_s(frame, line.now, forced=True) == pytest.approx(0.98)
    line.now += 1.0
    line.send(frame, forced=True)
    assert line.flow.wait_s(frame, line.now, forced=True) == pytest.approx(1.0)


def test_a_flush_waits_for_no_browser_where_none_ever_spoke(line):
    frame = line.streams[0]
    for _ in range(20):
        line.send(frame, size=1000, forced=True)
        line.now += 0.01


events = st.lists(
    st.tuples(
        st.sampled_from(["silence", "ack", "ack", "late ack", "here", "ready", "run", "end"]),
        st.floats(0.001, 400.0),
        st.booleans(),
        st.sampled_from(["v", "w"]),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(events=events, streams=st.integers(1, 4))
def test_bounds_hold_whatever_views_do(events, streams):
    line = Line(streams=[f"s{i}" for i in range(streams)], loose=["state"])
    flow = line.flow
    blind_bytes = [0]
    urgent_so_far = [False]

    def check(line):
        at, name, _, size = line.log[-1]
        assert size <= MAX_FRAME_BYTES
        if flow.gap_s(at) and not flow.heard_during_run:
            blind_bytes[0] += size
        else:
            assert flow.unacked_bytes <= MAX_UNACKED_BYTES
            stream = next(s for s in line.streams if s.name == name)
            if not flow.gap_s(at) and stream.acked:
                assert sum(not s.acked for s in stream.under_way) <= WINDOW
        recent = [entry for entry in line.log if entry[0] > at - 1.0]
        assert len(recent) <= MESSAGES_PER_S + 51
        if not urgent_so_far[0]:
            bytes_last_second = sum(entry[3] for entry in recent)
            assert bytes_last_second <= UNREQUESTED_BYTES_PER_S + 2 * MAX_FRAME_BYTES
        while line.log and line.log[0][0] < at - 2.0:
            line.log.popleft()

    line.check = check
    for what, seconds, urgent, view in events:
        urgent_so_far[0] |= urgent
        if what == "ack":
            line.run(min(seconds, 5.0), urgent=urgent, most=300, answer=lambda v=view: line.ack(v))
        else:
            line.run(seconds, urgent=urgent, most=300)
        if what == "late ack":
            line.ack(view)
        elif what == "here":
            flow.message_in(line.now, concurrent=urgent)
        elif what == "ready":
            flow.message_in(line.now, concurrent=urgent)
            flow.view_ready(line.streams[0], view)
        elif what == "run":
            flow.run_began(line.now)
        elif what == "end":
            flow.run_ended()
        assert flow.unacked_bytes >= 0
    elapsed_s = line.now - 1000.0
    assert blind_bytes[0] <= 20_000_000 * (1 + elapsed_s / DAY_S) + 2 * MAX_FRAME_BYTES


def test_stream_without_views_counts_what_nobody_acked():
    stream = StreamFlow("frame")
    assert stream.window(0.0) == 0
