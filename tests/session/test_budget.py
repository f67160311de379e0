from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbtorchviz.session.budget import FASTEST_S, SLOWEST_S, Budget, Pace


def budget(share=0.02):
    time = SimpleNamespace(now=0.0)
    return Budget(share, clock=lambda: time.now), time


def test_cheap_samples_come_ten_times_a_second():
    b, time = budget()
    b.sampled()
    b.spent("capture", 0.0001)
    time.now = FASTEST_S - 0.01
    assert not b.due()
    time.now = FASTEST_S + 0.01
    assert b.due()


def test_a_sample_of_10_ms_is_repaid_by_half_a_second():
    b, time = budget(0.02)
    b.spent("capture", 0.010)
    time.now = 0.49
    assert not b.due()
    time.now = 0.51
    assert b.due()


def test_even_the_dearest_sample_comes_once_a_second():
    b, time = budget()
    b.spent("capture", 5.0)
    time.now = SLOWEST_S
    assert b.due()


def test_steps_that_cost_more_than_the_share_do_not_starve_the_picture():
    b, time = budget(0.02)
    b.sampled()
    for _ in range(2_000):
        time.now += 0.001
        b.spent("boundary", 0.00005)
    assert b.due()


def test_measured_share_is_the_time_spent_over_the_wall_time():
    b, time = budget()
    for second in range(20):
        time.now = float(second)
        b.spent("capture", 0.01)
        b.spent("boundary", 0.02)
    assert b.parts() == {"capture": pytest.approx(0.011), "boundary": pytest.approx(0.022)}
    assert b.measured() == pytest.approx(0.033)


@pytest.mark.parametrize("share", [0, -0.1, 1.5, float("nan")])
def test_share_outside_its_range_is_refused(share):
    with pytest.raises(ValueError, match=r"in \(0, 1\]"):
        Budget(share)


@given(costs=st.lists(st.floats(1e-5, 0.015), min_size=20, max_size=60))
def test_samples_taken_when_due_never_exceed_the_share(costs):
    b, time = budget(0.02)
    for cost in costs:
        while not b.due():
            time.now += 0.01
        b.sampled()
        b.spent("capture", cost)
    while not b.due():
        time.now += 0.01
    assert sum(costs) / time.now <= 0.02 * 1.05


def test_waiting_for_the_next_time_repays_what_this_one_cost():
    time = SimpleNamespace(now=0.0)
    pace = Pace(0.01, 0.1, clock=lambda: time.now)
    pace.begin()
    pace.spent(0.0006)  # repaid by 0.06 s, which pass before the period is over
    assert pace.due_at == pytest.approx(0.1)
    pace.spent(0.0009)
    assert pace.due_at == pytest.approx(0.15)
    time.now = 0.12
    pace.begin()  # somebody asked earlier: what is not repaid yet still has to be
    pace.spent(0.001)
    assert pace.due_at == pytest.approx(0.25)


@given(costs=st.lists(st.floats(1e-5, 0.02), min_size=20, max_size=60))
def test_a_pace_is_as_fast_as_its_share_and_its_period_allow(costs):
    time = SimpleNamespace(now=0.0)
    pace = Pace(0.01, 0.1, clock=lambda: time.now)
    for cost in costs:
        time.now = max(time.now, pace.due_at)
        pace.begin()
        pace.spent(cost)
    assert pace.due_at >= 0.999 * sum(costs) / 0.01
    assert pace.due_at <= sum(max(0.1, cost / 0.01) for cost in costs) + 1e-6
