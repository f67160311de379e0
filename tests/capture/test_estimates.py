"""What is read of parameters only now and then, or from some of their values, and is said so."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from nbtorchviz.capture.parameter_norms import WeightNorms
from nbtorchviz.capture.plans import Plan


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


def norm_of(norms, parameter, **how):
    ((found, place),) = norms.norms({0: parameter}, **how).values()
    return found.values()[place]


def test_the_norm_of_a_weight_is_a_second_old_at_most_unless_it_is_to_be_exact():
    clock, parameter = Clock(), nn.Parameter(torch.tensor([3.0, 4.0]))
    norms = WeightNorms(clock)
    assert norm_of(norms, parameter) == 5
    parameter.data.mul_(2)
    clock.now_s = 0.9
    assert norm_of(norms, parameter) == 5
    assert norm_of(norms, parameter, exact=True) == 10
    parameter.data.mul_(2)
    clock.now_s = 1.8
    assert norm_of(norms, parameter) == 10
    clock.now_s = 2.0
    assert norm_of(norms, parameter) == 20


def test_a_weight_that_begins_at_zero_is_read_until_it_has_grown():
    parameter = nn.Parameter(torch.zeros(2))
    norms = WeightNorms(Clock())
    assert norm_of(norms, parameter) == 0
    parameter.data.add_(1)
    assert norm_of(norms, parameter) == pytest.approx(math.sqrt(2))


def test_the_norm_of_another_parameter_in_its_place_is_its_own():
    norms = WeightNorms(Clock())
    assert norm_of(norms, nn.Parameter(torch.ones(1))) == 1
    assert norm_of(norms, nn.Parameter(torch.full((1,), 2.0))) == 2


def test_with_an_exact_plan_every_reading_has_the_weights_of_its_step(tap_on, desk):
    model = nn.Linear(2, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    tap_on(model, plan=Plan(parameters=True, exact=True))
    for _ in range(4):
        optimizer.zero_grad()
        model(torch.ones(1, 2)).sum().backward()
        before = model.weight.norm().item()
        optimizer.step()
        assert desk.parameters[-1][1].norms.tolist() == [pytest.approx(before)]


class Words(nn.Module):
    """A large embedding of which few rows are used, and a head."""

    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(20_000, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.table(x).mean(1))


@pytest.mark.parametrize("clips", [False, True])
def test_what_the_values_that_were_read_do_not_show_is_unknown_not_zero(tap_on, desk, clips):
    model = Words()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    tap_on(model, optimizers=[optimizer], plan=Plan(parameters=True))
    model(torch.tensor([[3, 7, 11, 13]])).square().sum().backward()
    raw = model.table.weight.grad.norm().item()
    if clips:
        clip_grad_norm_(model.parameters(), 1e-3)
    gradient = model.table.weight.grad.norm().item()
    optimizer.step()
    read = desk.parameters[-1][1]
    assert read.gradient_norms[0] == pytest.approx(gradient)
    assert math.isnan(read.update_norms[0])
    assert np.isfinite(read.update_norms[1:]).all()
    if not clips:
        assert read.raw_gradient_norms[0] == pytest.approx(raw)
        return
    assert math.isnan(read.raw_gradient_norms[0])
    optimizer.zero_grad()
    model(torch.tensor([[3, 7, 11, 13]])).square().sum().backward()
    raw = model.table.weight.grad.norm().item()
    clip_grad_norm_(model.parameters(), 1e-3)
    optimizer.step()
    assert desk.parameters[-1][1].raw_gradient_norms[0] == pytest.approx(raw)


def test_norms_before_clipping_by_value_are_unknown_once_and_exact_from_then_on(tap_on, desk):
    model = nn.Sequential(nn.Linear(60, 100), nn.Tanh(), nn.Linear(100, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    tap_on(model, optimizers=[optimizer], plan=Plan(parameters=True))
    for step in range(3):
        optimizer.zero_grad()
        model(torch.randn(8, 60)).square().sum().backward()
        raw = [parameter.grad.norm().item() for parameter in model.parameters()]
        clip_grad_value_(model.parameters(), 0.05)
        clipped = [parameter.grad.norm().item() for parameter in model.parameters()]
        optimizer.step()
        read = desk.parameters[-1][1]
        assert read.gradient_norms.tolist() == pytest.approx(clipped)
        assert raw[0] > 1.5 * clipped[0]
        if step == 0:  # 6,000 weights, of which some were read
            assert math.isnan(read.raw_gradient_norms[0])
            assert read.raw_gradient_norms[1:].tolist() == pytest.approx(raw[1:])
        else:
            assert read.raw_gradient_norms.tolist() == pytest.approx(raw)


def test_a_parameter_that_no_optimizer_trains_has_the_norm_of_its_whole_gradient(tap_on, desk):
    model = Words()
    optimizer = torch.optim.SGD(model.head.parameters(), lr=0.01)
    tap_on(model, optimizers=[optimizer], plan=Plan(parameters=True))
    model(torch.tensor([[3, 7, 11, 13]])).square().sum().backward()
    raw = model.table.weight.grad.norm().item()
    optimizer.step()
    assert desk.parameters[-1][1].raw_gradient_norms[0] == pytest.approx(raw)


def test_a_gradient_that_is_zero_everywhere_leaves_an_update_of_zero(tap_on, desk):
    model = Words()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    tap_on(model, plan=Plan(parameters=True))
    (model(torch.tensor([[3, 7]])) * 0).sum().backward()
    optimizer.step()
    assert desk.parameters[-1][1].update_norms.tolist() == [0, 0, 0]
