"""Linked widgets: all go where one goes, once, and whoever a user holds stays."""

from types import SimpleNamespace

import pytest

from nbtorchviz.session.linking import HELD_S, Linking, layer_of


@pytest.fixture
def linked():
    """Three members that note what they are told, and a clock to set."""
    time, faults = SimpleNamespace(now=0.0), []
    linking = Linking(lambda where, error: faults.append(error), clock=lambda: time.now)
    heard = {owner: [] for owner in (1, 2, 3)}
    for owner, notes in heard.items():
        linking.join(owner, notes.append)
    return SimpleNamespace(linking=linking, heard=heard, time=time, faults=faults)


def test_all_but_the_one_that_was_moved_follow_and_know_no_more_than_is_shared(linked):
    linked.linking.tell(1, {"layer": "conv", "colormap": "gray"})
    assert linked.heard == {1: [], 2: [{"layer": "conv"}], 3: [{"layer": "conv"}]}


def test_a_widget_that_follows_starts_no_circle(linked):
    linked.linking.join(2, lambda moved: linked.heard[2].append(moved))
    linked.linking.join(3, lambda moved: linked.linking.tell(0, {}))
    linked.linking.tell(1, {"step": 7})
    assert linked.heard[2] == [{"step": 7}]


def test_code_does_not_move_what_a_user_holds_but_another_gesture_does(linked):
    linked.linking.tell(1, {"layer": "conv"})
    linked.time.now = HELD_S / 2
    linked.linking.tell(2, {"layer": "fc", "step": 3}, by_user=False)
    assert linked.heard[1] == [{"step": 3}]
    assert linked.heard[3][-1] == {"layer": "fc", "step": 3}
    linked.linking.tell(2, {"layer": "fc"})
    assert linked.heard[1][-1] == {"layer": "fc"}
    linked.time.now = 2 * HELD_S
    linked.linking.tell(3, {"layer": "bn"}, by_user=False)
    assert linked.heard[1][-1] == {"layer": "bn"}


def test_who_left_hears_nothing_and_who_fails_stops_nobody(linked):
    linked.linking.leave(2)
    linked.linking.join(1, lambda moved: moved["nothing"])
    linked.linking.tell(0, {"sample": 4})
    assert (linked.heard[2], linked.heard[3]) == ([], [{"sample": 4}])
    assert [type(error) for error in linked.faults] == [KeyError]


def test_a_parameter_stands_for_its_layer():
    layers = ("stem", "stem.conv")
    assert layer_of("stem.conv.weight", layers) == "stem.conv"
    assert layer_of("stem.conv", layers) == "stem.conv"
    assert layer_of("scale", layers) == ""
