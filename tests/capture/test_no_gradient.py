"""Outputs that the loss leaves out: autograd calls their hooks with None instead of a gradient."""

import pytest
import torch
from torch import nn

from nbtorchviz.capture import clipping, spreads
from nbtorchviz.capture.plans import Plan, Want


class LastState(nn.Module):
    """The usual classifier of a sequence: of two LSTMs' outputs only the last state is used."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.LSTM(3, 4), nn.LSTM(4, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, sequence):
        states, _ = self.first(sequence)
        _, (last, _) = self.second(states)
        return self.head(last[-1])


class Half(nn.Module):
    """One part of a split is used, the other is not."""

    def __init__(self):
        super().__init__()
        self.cut, self.head = Cut(), nn.Linear(2, 2)

    def forward(self, x):
        _, used = self.cut(x)
        return self.head(used)


class Cut(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 4)

    def forward(self, x):
        return self.linear(x).split(2, -1)


PLANS = {
    "statistics": Plan(statistics=True),
    "picture": Plan((Want("second", gradient=True), Want("cut", gradient=True))),
    "parameters": Plan(parameters=True),
}


def train(model, inputs):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(inputs).square().sum().backward()
        optimizer.step()
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("make", [LastState, Half])
def test_training_goes_on_and_is_the_same(tap_on, desk, make, plan):
    shape = (5, 6, 3) if make is LastState else (6, 3)
    torch.manual_seed(0)
    bare, watched, inputs = make(), make(), torch.randn(shape)
    watched.load_state_dict(bare.state_dict())
    wants = tuple(want for want in plan.wants if hasattr(watched, want.key))
    tap_on(watched, plan=Plan(wants, statistics=plan.statistics, parameters=plan.parameters))
    pairs = zip(train(bare, inputs), train(watched, inputs), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert desk.faults == []


def test_what_no_gradient_reached_has_none(tap_on, desk):
    model = LastState()
    tap_on(model, plan=Plan(statistics=True))
    train(model, torch.randn(5, 6, 3))
    found = desk.catch.statistics
    by_layer = dict(zip(found.layers, found.gradients, strict=True))
    assert by_layer["second"] is None
    assert by_layer["first"].maximum > 0
    assert by_layer["head"].maximum > 0


@pytest.mark.parametrize(
    ("plan", "where", "name"),
    [
        (Plan(statistics=True), spreads, "as_numpy"),
        (Plan(parameters=True), clipping, "floats_of"),
    ],
)
def test_a_fault_of_ours_during_the_backward_is_told_and_training_goes_on(
    tap_on, desk, monkeypatch, plan, where, name
):
    model, inputs = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), torch.randn(6, 3)
    bare = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    bare.load_state_dict(model.state_dict())
    real = getattr(where, name)

    def broken(*args):
        if torch._C._current_graph_task_id() != -1:
            raise RuntimeError("ours")
        return real(*args)

    monkeypatch.setattr(where, name, broken)
    tap_on(model, plan=plan)
    assert all(map(torch.equal, train(model, inputs), train(bare, inputs)))
    assert {str(error) for _, error in desk.faults} == {"ours"}
