import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.widgets.browser_state import MOST_FLAGS, size_bytes


@pytest.fixture
def browser():
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    made = nbv.ActivationBrowser(nbv.watch(net, every=1), layer="0")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(5):
        net(torch.rand(2, 4)).sum().backward()
        optimizer.step()
    yield made
    session = made.session
    made.close()
    session.close()


def flagged(browser):
    return [flag["step"] for flag in browser._state()["browser"]["flags"]]


def test_flags_among_the_kept_steps_are_sent(browser):
    metrics = browser.session.metrics
    assert browser._state()["browser"]["kept_steps"] == [1, 2, 3, 4, 5]
    for step in (0, 2, 7):
        metrics.flag(step, "lr changed")
    assert flagged(browser) == [2, 7]
    browser.session.log(loss=1.0)
    metrics.begin_run()
    assert flagged(browser) == []


def test_a_state_full_of_flags_is_small(browser):
    for step in range(300):
        browser.session.metrics.flag(step, "what happened, at great length " * 10)
    assert flagged(browser) == list(range(300))[-MOST_FLAGS:]
    assert size_bytes(browser._state()) < 10_000
