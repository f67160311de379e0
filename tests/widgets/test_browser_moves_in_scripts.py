"""A script moves an ActivationBrowser: no kernel, nobody looks."""

import pytest
import torch
from torch import nn

import nbtorchviz as nbv


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


@pytest.fixture
def browse(net):
    made = []

    def browse(*args, **kwargs):
        made.append(nbv.ActivationBrowser(*(args or (net,)), **kwargs))
        return made[-1]

    yield browse
    for browser in made:
        browser.close()
        browser.session.close()


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
