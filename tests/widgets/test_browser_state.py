import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.events import LayerInfo
from nbtorchviz.widgets.browser_state import MOST_FLAGS, row_names, size_bytes


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


def test_a_row_below_a_list_that_nothing_calls_says_which_list():
    keys = {
        "input": "input",
        "encoder": "encoder",
        "encoder.layers.0": "layers.0",
        "encoder.layers.0.fc": "fc",
        "encoder.layers.0.fc#1": "fc#1",
        "blocks.0": "blocks.0",
        "heads.0": "heads.0",
        "heads.01.fc": "heads.01.fc",  # no layer of heads.0
    }
    infos = [LayerInfo(key=key, type="Module", depth=0, block=False) for key in keys]
    assert row_names(infos) == keys
