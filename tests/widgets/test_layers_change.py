"""Layers that the user adds, takes out or exchanges while training goes on."""

import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.session import planner
from nbtorchviz.widgets.browser_packet import frame_parts


def step(model, optimizer):
    optimizer.zero_grad()
    model(torch.randn(4, 6)).square().sum().backward()
    optimizer.step()


def test_widgets_list_what_there_is_and_say_what_is_gone(monkeypatch):
    monkeypatch.setattr(planner, "CHECK_S", 0.0)
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    session = nbv.watch(model, optimizer, every=1)
    browser = nbv.ActivationBrowser(session, layer="2")
    session.tap.look()
    step(model, optimizer)
    assert session.layers == ("input", "0", "1", "2")

    model.append(nn.Tanh())
    model[0] = nn.Linear(6, 6, bias=False)
    for _ in range(2):
        step(model, optimizer)
    assert session.layers == ("input", "0", "1", "2", "3")
    assert session.layer_infos[4].type == "Tanh"
    browser.layer = "3"
    step(model, optimizer)
    assert browser.frame.layer == "3"

    del model[3]
    for _ in range(2):
        step(model, optimizer)
    assert session.layers == ("input", "0", "1", "2")
    header, _ = frame_parts(browser._choice.shot(), seq=1)
    assert header["notes"][0] == "3 is no longer part of the model: its last picture"
    assert session.faults == []
    browser.close()
    session.close()
