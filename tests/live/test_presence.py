from types import SimpleNamespace

import pytest

from nbtorchviz.live.presence import HIDDEN_LEASE_S, Presence


@pytest.fixture
def time():
    return SimpleNamespace(now=500.0)


@pytest.fixture
def presence(time):
    return Presence(clock=lambda: time.now)


def test_nobody_has_looked_yet(presence):
    assert not presence.ever
    assert not presence.any_visible()
    assert not presence.any_open()
    assert presence.gone_for_s() == 0
    assert not presence.released


def test_a_lease_runs_for_15_seconds_and_is_renewed(presence, time):
    presence.here("v", True)
    time.now += 15
    assert presence.is_visible("v")
    presence.here("v", True)
    time.now += 15
    assert presence.any_visible()
    time.now += 0.1
    assert not presence.any_visible()
    assert not presence.is_visible("v")
    assert presence.ever


def test_frames_are_released_30_seconds_after_the_last_view(presence, time):
    presence.here("a", True)
    presence.here("b", True)
    presence.gone("a")
    assert presence.gone_for_s() == 0
    presence.gone("b")
    time.now += 29
    assert (presence.gone_for_s(), presence.released) == (29, False)
    time.now += 1
    assert presence.released
    presence.here("c", True)
    assert not presence.released


def test_a_closed_lid_counts_as_gone_once_its_lease_is_out(presence, time):
    presence.here("v", True)
    time.now += 15 + 30
    assert presence.released
    assert not presence.any_open()


def test_a_hidden_view_is_open_but_sees_nothing(presence, time):
    presence.here("v", False)
    time.now += 600
    assert presence.any_open()
    assert not presence.any_visible()
    assert not presence.released
    time.now += HIDDEN_LEASE_S
    assert presence.released


def test_here_tells_who_needs_the_present_state(presence, time):
    assert presence.here("v", True)
    assert not presence.here("v", True)
    assert not presence.here("v", False)
    assert presence.here("v", True)
    time.now += 16
    assert presence.here("v", True)


def test_while_nothing_can_be_heard_what_was_true_stays_true(presence, time):
    presence.here("v", True)
    time.now += 3600
    assert presence.any_visible(hearing=False)
    presence.here("v", False)
    assert not presence.any_visible(hearing=False)
    assert presence.any_open(hearing=False)


def test_a_displayed_widget_counts_as_seen_while_nothing_can_be_heard(presence):
    assert not presence.any_visible(hearing=False)
    presence.displayed()
    assert presence.any_visible(hearing=False)
    assert presence.any_open(hearing=False)
    assert not presence.any_visible()


def test_ids_left_behind_by_reloads_are_forgotten(presence, time):
    for number in range(100):
        presence.here(f"page {number}", True)
        time.now += 600
    assert len(presence._views) < 20


def test_gone_twice_or_unknown_is_harmless(presence):
    presence.gone("never was")
    presence.here("v", True)
    presence.gone("v")
    presence.gone("v")
    assert not presence.any_open()


def test_a_page_that_was_reloaded_has_vanished_and_one_that_left_has_not():
    now = [0.0]
    presence = Presence(lambda: now[0], lease_s=15)
    assert not presence.vanished()
    presence.here("a")
    assert not presence.vanished()
    now[0] = 16.0
    assert presence.vanished()
    presence.gone("a")
    assert not presence.vanished()
    presence.here("b", visible=False)
    now[0] = 1e6
    assert not presence.vanished()
