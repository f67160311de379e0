"""Statistics of all layers: right numbers, of the activation before it was overwritten."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from nbtorchviz.capture.plans import Plan


def run(model, inputs, optimizer=None, loss=torch.sum):
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.zero_grad()
    loss(model(inputs)).backward()
    optimizer.step()


def test_gradient_norms_are_those_of_autograd(tap_on, desk):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2))
    tap_on(model, plan=Plan(statistics=True))
    inputs = torch.randn(5, 3)
    hidden = model[0](inputs)
    rest = model[2](hidden.clone().relu())
    expected = torch.autograd.grad(rest.square().sum(), [hidden])[0]
    run(model, inputs, loss=lambda out: out.square().sum())
    found = desk.catch.statistics
    assert found.layers == ("0", "1", "2")
    assert found.gradient_norms[0] == pytest.approx(expected.norm().item(), rel=1e-6)
    assert found.statistics[0].minimum == pytest.approx(hidden.min().item())  # before the ReLU
    assert found.statistics[1].minimum == 0.0
    assert found.gradients[2].maximum == pytest.approx(2 * rest.max().item(), rel=1e-5)
    assert desk.faults == []


def test_norm_of_a_sampled_gradient_is_close(tap_on, desk):
    model = nn.Sequential(nn.Linear(64, 512), nn.Linear(512, 1))
    tap_on(model, plan=Plan(statistics=True))
    inputs = torch.randn(64, 64)
    expected = model[1].weight.norm().item() * math.sqrt(64)
    run(model, inputs)
    assert desk.catch.statistics.gradient_norms[0] == pytest.approx(expected, rel=0.2)
    assert desk.catch.statistics.gradients[0].sampled < 2_048


def test_a_frozen_layer_has_no_gradient_and_a_word_says_so_elsewhere(tap_on, desk):
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    tap_on(model, plan=Plan(statistics=True))
    run(model, torch.randn(2, 3))
    found = desk.catch.statistics
    assert found.gradients[0] is None
    assert np.isnan(found.gradient_norms[0])
    assert found.gradients[1] is not None


def test_an_output_that_ignores_its_input_has_no_spread(tap_on, desk):
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = nn.Linear(3, 2)

        def forward(self, x):
            return self.bias(torch.zeros_like(x))

    model = nn.Sequential(nn.Linear(3, 3), Constant())
    tap_on(model, plan=Plan(statistics=True))
    run(model, torch.randn(4, 3))
    spreads = dict(
        zip(desk.catch.statistics.layers, desk.catch.statistics.batch_spreads, strict=True)
    )
    assert spreads["1"] == 0.0
    assert spreads["0"] > 0.0


def test_training_flags_are_those_of_the_modules(tap_on, desk):
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    model[1].eval()
    tap_on(model, plan=Plan(statistics=True))
    run(model, torch.randn(4, 3))
    assert desk.catch.statistics.training == (True, False)


def test_gradients_of_a_penalty_are_not_added(tap_on, desk):
    model = nn.Sequential(nn.Linear(3, 1))
    tap_on(model, plan=Plan(statistics=True))
    inputs = torch.randn(4, 3, requires_grad=True)

    def loss(out):
        (slope,) = torch.autograd.grad(out.square().sum(), inputs, create_graph=True)
        return out.sum() + 0.0 * slope.square().sum()

    run(model, inputs, loss=loss)
    assert desk.catch.statistics.gradient_norms[0] == pytest.approx(2.0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_dtypes_are_read(tap_on, desk, dtype):
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh()).to(dtype)
    tap_on(model, plan=Plan(statistics=True))
    run(model, torch.randn(4, 3, dtype=dtype))
    found = desk.catch.statistics
    assert [s.nan for s in found.statistics] == [0, 0]
    assert found.gradient_norms[1] == pytest.approx(4.0)
    assert desk.faults == []


def test_nan_and_infinity_are_counted_and_the_norm_says_so(tap_on, desk):
    model = nn.Sequential(nn.Linear(2, 2), nn.Identity())
    tap_on(model, plan=Plan(statistics=True))
    run(model, torch.tensor([[1.0, 2.0], [math.nan, 1.0]]), loss=lambda out: (out * math.inf).sum())
    found = desk.catch.statistics
    assert found.statistics[0].nan == 2
    assert found.gradient_norms[1] == math.inf
