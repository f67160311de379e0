"""The first NaN of a training is traced to the module and the operation that made it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nbtorchviz.events import NonFiniteFound
from tests.session import nonfinite_cases as cases
from tests.session.nonfinite_cases import caught, train


@pytest.fixture(autouse=True)
def _seeded():
    torch.set_num_threads(1)
    torch.manual_seed(0)


FORWARD = {
    "log of a negative": (lambda: cases.Nested(cases.Log()), "head.loss", "log"),
    "0/0 in a normalisation": (lambda: cases.Zeroed(cases.ZeroDivided()), "inner", "div"),
    "exp overflow": (
        lambda: nn.Sequential(nn.Linear(4, 4), cases.Scaled(1e4), cases.ExpShare()),
        "2",
        "exp",
    ),
    "softmax of rows of -inf": (
        lambda: cases.Nested(cases.MaskedSoftmax()),
        "head.loss",
        "softmax",
    ),
    "division by a zero std": (lambda: cases.Zeroed(cases.DivideByStd()), "inner", "div"),
    "custom function": (
        lambda: cases.Nested(cases.Custom(cases.BadForward)),
        "head.loss",
        "log",
    ),
    "in place": (lambda: nn.Sequential(nn.Linear(4, 4), cases.InPlace()), "1", "log_"),
    "third call of a module": (cases.Reused, "root#2", "sqrt"),
    "outside every layer": (cases.Functional, "", "acos"),
}
BACKWARD = {
    "sqrt at 0": (lambda: cases.Zeroed(cases.Sqrt(), 0.0), "inner", "sqrt"),
    "norm of zeros to a power": (lambda: cases.Zeroed(Power(), 0.0), "inner", "pow"),
    "custom function": (
        lambda: cases.Nested(cases.Custom(cases.BadBackward)),
        "head.loss",
        "BadBackward",
    ),
    "where hides it": (lambda: cases.Zeroed(cases.ClampedBackward(), 1.0), "inner", "sqrt"),
    "outside every layer": (lambda: FunctionalBackward(), "", "sqrt"),
}


class Power(nn.Module):
    def forward(self, x):
        return x**0.25


class FunctionalBackward(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)

    def forward(self, x):
        return (self.first(x) * 0).sqrt()


@pytest.mark.parametrize("name", FORWARD)
def test_forward_names_module_call_and_function(guard, name):
    build, layer, op = FORWARD[name]
    report = caught(guard, build())
    assert (report.direction, report.layer, report.op) == ("forward", layer, op)
    assert report.step == 1
    assert report.replayed
    assert report.bad
    assert report.before
    assert all(np.isfinite(piece.values).all() for piece in report.before) or "softmax" in op
    assert not np.isfinite(report.after.values).all()
    assert all(given.finite for given in report.inputs) or "softmax" in op
    assert report.text.startswith(f"First {report.word} at step 1, forward: {op} in ")
    assert report.line.startswith("nonfinite_cases.py:")
    assert op.strip("_") in report.code or op in ("div", "softmax")


@pytest.mark.parametrize("name", BACKWARD)
def test_backward_names_the_function_whose_gradient_broke(guard, name):
    build, layer, op = BACKWARD[name]
    report = caught(guard, build(), loss=torch.sum)
    assert (report.direction, report.layer, report.op) == ("backward", layer, op)
    assert report.step == 1
    assert "backward: the gradient of" in report.text
    assert report.before[0].name == "gradient that came in"
    assert np.isfinite(report.before[0].values).all()
    assert not np.isfinite(report.after.values).all()


def test_half_precision_overflow_under_autocast(guard):
    def autocast():
        return torch.autocast("cpu", torch.float16)

    report = caught(guard, cases.Doubling(), autocast=autocast)
    assert (report.direction, report.layer, report.op) == ("forward", "wide", "linear")
    assert report.word == "Inf"
    assert not torch.is_autocast_enabled("cpu")


def test_nan_in_the_data(guard):
    def data(step):
        x = torch.randn(4, 4)
        if step == 3:
            x[1, 2] = torch.nan
        return x

    report = caught(guard, nn.Sequential(nn.Linear(4, 4), nn.ReLU()), data=data)
    assert (report.direction, report.layer, report.step) == ("input", "input", 4)
    assert report.bad == 1
    assert "input data: 1 of 16 values NaN of the values of argument 0" in report.text


def test_weights_blown_up_by_a_huge_learning_rate(guard):
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    report = caught(guard, model, rate=1e38)
    assert report.direction in ("parameter", "forward")
    if report.direction == "parameter":
        assert report.layer.endswith(("weight", "bias"))
        assert "Learning rate: 1e+38" in report.text
        assert "gradients of the step before were finite" in report.text


def test_a_parameter_alone(guard):
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))

    def data(step):
        if step == 2:
            with torch.no_grad():
                model[1].weight[0, 0] = torch.inf
        return torch.randn(4, 4)

    report = caught(guard, model, data=data)
    assert (report.direction, report.layer, report.step) == ("parameter", "1.weight", 3)
    assert (report.word, report.bad, report.total) == ("Inf", 1, 16)


def test_loss_of_a_function_outside_the_model(guard):
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    report = caught(guard, model, loss=lambda y: (y * 0).log().sum())
    assert report.direction == "loss"
    assert "between output and loss: mul, log, sum" in report.text
    assert "the gradient of the loss with respect to the model's output" in report.text


def test_loss_whose_first_function_breaks_is_named(guard):
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    session = guard(model, optimizer, "tell")
    loss = model(torch.randn(4, 4)).log().mean()
    loss.backward()  # the gradients are finite
    optimizer.step()
    assert session.first_nonfinite is None
    session.log(loss=loss)
    report = session.first_nonfinite
    assert (report.direction, report.op) == ("loss", "log")
    assert "log in the loss got values from -" in report.text


class Entropy(nn.Module):
    def forward(self, shares, target):
        return (target * shares.log()).sum()


def test_loss_module_is_run_again(guard):
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    criterion = Entropy()
    report = caught(
        guard, model, criterion=criterion, loss=lambda y: criterion(y, torch.zeros(4, 4))
    )
    assert (report.direction, report.layer, report.op) == ("loss", "Entropy", "log")
    assert report.code == "return (target * shares.log()).sum()"


class Distance(nn.Module):
    def forward(self, a, b):
        return torch.sqrt(((a - b) ** 2).sum(dim=1)).sum()


def test_backward_of_a_loss_module(guard):
    model, criterion = nn.Linear(4, 4), Distance()
    report = caught(
        guard, model, criterion=criterion, loss=lambda y: criterion(y, y.detach().clone())
    )
    assert (report.direction, report.layer, report.op) == ("backward", "Distance", "sqrt")


def test_a_logged_loss_alone(guard):
    model = nn.Linear(4, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    session = guard(model, optimizer, "tell")
    for _ in range(3):
        optimizer.zero_grad()
        loss = model(torch.randn(4, 4)).sum() + torch.tensor(0.0).log()  # has no gradient
        loss.backward()
        session.log(loss=loss)
        optimizer.step()
    assert session.first_nonfinite.direction == "loss"
    assert session.first_nonfinite.step == 1


HEALTHY = {
    "mlp": lambda: nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 4)),
    "causal mask": lambda: cases.Nested(cases.CausalSoftmax()),
    "transformer": lambda: nn.TransformerEncoderLayer(4, 2, 8, batch_first=True),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_model_is_never_reported(guard, name):
    model = HEALTHY[name]()
    optimizer = torch.optim.Adam(model.parameters())
    session = guard(model, optimizer)
    train(model, optimizer, steps=20)
    assert session.first_nonfinite is None


def test_masked_scores_that_are_minus_infinity_are_healthy(guard):
    model = nn.Linear(4, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    masked = torch.tensor([False, False, False, True])

    class Policy(nn.Module):
        def __init__(self):
            super().__init__()
            self.scores = model

        def forward(self, x):
            return self.scores(x).masked_fill(masked, float("-inf"))

    policy = Policy()
    session = guard(policy, optimizer)
    train(policy, optimizer, loss=lambda y: F.cross_entropy(y, torch.zeros(4).long()))
    assert session.first_nonfinite is None


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_a_grad_scaler_skips_is_normal(guard, fused):
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    optimizer = torch.optim.Adam(model.parameters(), fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    session = guard(model, optimizer)
    before = scaler.get_scale()
    for _ in range(10):
        optimizer.zero_grad()
        loss = (model(torch.randn(4, 4)) ** 2).sum()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    assert scaler.get_scale() < before
    assert session.first_nonfinite is None


def test_the_event_carries_the_report(guard):
    model = cases.Nested(cases.Log())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    session = guard(model, optimizer, "tell")
    told = []
    session.bus.subscribe(NonFiniteFound, told.append, inline=True)
    train(model, optimizer)
    assert [event.report for event in told] == [session.first_nonfinite]
    assert told[0].step == 1
    assert any("log in head.loss" in flag.text for flag in session.metrics.flags)
