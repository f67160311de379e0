"""A script moves an ActivationBrowser: no kernel, nobody looks."""

import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from tests.widgets.view import View


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


def numbered(count=4):
    """Items of which the i-th is all i."""
    return torch.arange(float(count)).reshape(count, 1, 1, 1).expand(count, 1, 4, 4).contiguous()


def shown(browser):
    return browser.frame.sample, browser.frame.values.max()


def step(net, inputs):
    net(inputs).square().mean().backward()
    torch.optim.SGD(net.parameters(), lr=0.01).step()


def test_a_pinned_widget_that_is_moved_is_drawn_anew(browse):
    browser = browse(probe=numbered(), layer="input")
    browser.sample = 3
    assert shown(browser) == (3, 3)


def test_widgets_that_follow_a_pinned_one_are_drawn_anew(net, browse):
    session = nbv.watch(net, probe=numbered())
    first, second = browse(session, layer="input"), browse(session, layer="input")
    first.select(sample=2)
    assert (shown(first), shown(second)) == ((2, 2), (2, 2))


def test_a_widget_made_for_another_item_of_the_pinned_input_shows_that(net, browse):
    session = nbv.watch(net, probe=numbered())
    assert shown(browse(session, layer="input", sample=3)) == (3, 3)


def test_moving_a_pinned_widget_leaves_training_as_it_is(net, browse):
    browser = browse(probe=numbered(), layer="input")
    mode, state = net.training, torch.random.get_rng_state()
    browser.sample = 1
    assert net.training is mode
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_move_while_another_thread_trains_waits_for_its_boundary(browse, monkeypatch):
    browser = browse(probe=numbered(), layer="input")
    recorder = browser.session.recorder
    monkeypatch.setattr(recorder, "trains_elsewhere", lambda: True)
    browser.sample = 3
    assert shown(browser) == (0, 0)
    assert recorder.probe_wanted


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"channel": 99}, "channel must be a channel of '0', from 0 to 3, got 99"),
        ({"sample": 99}, "sample must be an item of the pinned input, from 0 to 3, got 99"),
        ({"layer": "3", "channel": 3}, "channel must be a channel of '3', from 0 to 2, got 3"),
    ],
)
def test_what_the_layer_does_not_have_is_refused_and_changes_nothing(browse, wrong, message):
    browser = browse(probe=numbered(), layer="0")
    with pytest.raises(ValueError, match=message):
        browser.select(**wrong)
    assert (browser.layer, browser.channel, browser.sample) == ("0", 0, 0)
    browser.select(channel=3, sample=3)
    assert (browser.channel, browser.sample, browser.frame.sample) == (3, 3, 3)


def test_what_was_selected_too_high_before_the_first_forward_is_clipped(net, browse):
    browser = browse(nbv.watch(net, every=1), layer="0")
    browser.select(channel=99, sample=99)
    assert (browser.channel, browser.sample) == (99, 99)
    step(net, numbered())
    assert (browser.channel, browser.sample, browser.frame.sample) == (3, 3, 3)


def test_a_short_batch_does_not_lose_the_chosen_item(net, browse):
    browser = browse(nbv.watch(net, every=1), layer="input")
    step(net, numbered(6))
    browser.sample = 5
    step(net, numbered(2))
    assert (browser.sample, browser.frame.sample) == (1, 1)
    step(net, numbered(6))
    assert (browser.sample, browser.frame.sample) == (5, 5)


def test_a_view_that_does_not_know_the_range_yet_is_not_refused(net, browse):
    browser = browse(nbv.watch(net, every=1), layer="0")
    step(net, numbered())
    View(browser).intent("sample", 99)
    step(net, numbered())
    assert (browser.sample, browser.frame.sample) == (3, 3)
    assert browser.session.faults == []


def test_the_last_batch_says_which_items_there_are(net, browse):
    browser = browse(nbv.watch(net, every=1), layer="0")
    step(net, numbered())
    with pytest.raises(ValueError, match="an item of the last batch, from 0 to 3, got 4"):
        browser.sample = 4
