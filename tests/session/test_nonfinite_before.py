"""The tensor before it went bad, and after, in numbers that were worked out by hand."""

import numpy as np
import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.capture import nonfinite_trace
from nbtorchviz.errors import NonFiniteError
from tests.session.nonfinite_cases import caught


class LogOf(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, x):
        return torch.log(x * self.scale)


class SqrtOf(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([2.0, 2.0]))

    def forward(self, x):
        y = x * self.scale
        return y.sqrt() * 3.0


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, x):
        return (x * self.scale) / (x * self.scale).abs().sum(dim=1, keepdim=True)


X = torch.tensor([[1.0, -2.0], [0.5, 4.0]])


def test_forward_shows_what_the_function_got_and_made(guard):
    report = caught(guard, LogOf([1.0, 2.0]), data=lambda step: X)
    (before,) = report.before
    assert (before.name, before.values.tolist()) == ("input 0 of log", [[1.0, -4.0], [0.5, 8.0]])
    after = report.after
    assert after.name == "result of log"
    expected = np.log(np.array([[1.0, np.nan], [0.5, 8.0]]))
    assert np.allclose(after.values, expected, equal_nan=True)
    assert (after.whole.nan, after.whole.infinite, report.where) == (1, 0, (0, 1))
    assert (before.whole.lowest, before.whole.highest) == (-4.0, 8.0)
    (scale,) = report.parameters
    assert (scale.name, scale.lowest, scale.highest) == ("scale", 1.0, 2.0)


def test_a_division_shows_both_its_inputs(guard):
    x = torch.tensor([[1.0, 3.0], [0.0, 0.0]])
    report = caught(guard, Norm(), data=lambda step: x)
    over, under = report.before
    assert over.values.tolist() == x.tolist()
    assert under.values.tolist() == [[4.0], [0.0]]
    assert report.where == (1, 0)
    assert np.allclose(report.after.values, [[0.25, 0.75], [np.nan, np.nan]], equal_nan=True)


def test_parameters_among_the_inputs_have_their_names(guard):
    model = nn.Sequential(nn.Linear(2, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[3e38, 3e38], [0.0, 1.0]]))
        model[0].bias.zero_()
    report = caught(guard, model, data=lambda step: torch.tensor([[1.0, 1.0], [0.0, 1.0]]))
    names = [piece.name for piece in report.before]
    assert names == ["input 0 of linear", "0.weight", "0.bias"]
    assert report.parameters == ()
    assert (report.word, report.where) == ("Inf", (0, 0))
    assert np.isinf(report.after.values[0, 0])
    assert report.before[0].values.tolist() == [[1.0, 1.0], [0.0, 1.0]]


def test_backward_shows_the_gradient_before_and_what_the_forward_was_given(guard):
    x = torch.tensor([[2.0, 0.0]])
    report = caught(guard, SqrtOf(), data=lambda step: x, loss=torch.sum)
    assert (report.direction, report.op) == ("backward", "sqrt")
    gradient, given = report.before
    assert (gradient.name, gradient.values.tolist()) == ("gradient that came in", [[3.0, 3.0]])
    assert (given.name, given.values.tolist()) == ("input 0 of sqrt, forward", [[4.0, 0.0]])
    assert report.after.name == "gradient that went on"
    assert report.after.values.tolist() == [[0.75, np.inf]]  # 3 / (2 sqrt(4)), 3 / 0
    assert report.where == (0, 1)


def test_what_the_forward_was_given_is_left_out_where_it_is_too_large(guard, monkeypatch):
    monkeypatch.setattr(nonfinite_trace, "MOST_HELD_BYTES", 8)
    x = torch.tensor([[2.0, 0.0]])
    report = caught(guard, SqrtOf(), data=lambda step: x, loss=torch.sum)
    assert [piece.name for piece in report.before][:1] == ["gradient that came in"]
    assert len(report.before) <= 2
    assert report.inputs[0].lowest == 0.0


def test_a_loss_alone_names_its_terms(guard):
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    session = guard(model, optimizer, "raise")

    def step():
        y = model(X)
        fit = (y * y).mean()
        prior = (y * 0).sum().log()  # -inf, and a NaN gradient
        loss = fit + 0.1 * prior
        loss.backward()
        optimizer.step()

    with pytest.raises(NonFiniteError):
        step()
    report = session.first_nonfinite
    assert report.direction == "loss"
    terms = dict(report.terms)
    assert list(terms) == ["fit", "prior"]
    assert np.isfinite(terms["fit"])
    assert terms["prior"] == -np.inf
    assert "Terms of the loss: fit = " in report.text
    assert report.before[0].name == "the model's output"
    assert np.isfinite(report.before[0].values).all()
    assert report.after.name == "gradient of the loss"
    assert np.isnan(report.after.values).all()


def test_a_parameter_alone_shows_it_before_and_after(guard):
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Tanh())

    def data(step):
        with torch.no_grad():
            model[0].weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]) + step)
            if step == 2:
                model[0].weight[1, 0] = torch.nan
        return X

    report = caught(guard, model, data=data, rate=0.0)
    assert (report.direction, report.step) == ("parameter", 3)
    (before,) = report.before
    assert before.name == "0.weight in step 2"
    assert before.values.tolist() == [[2.0, 3.0], [4.0, 5.0]]
    assert report.after.name == "0.weight in step 3"
    assert np.allclose(report.after.values, [[3.0, 4.0], [np.nan, 6.0]], equal_nan=True)
    assert report.where == (1, 0)


def test_bad_data_has_no_before(guard):
    x = X.clone()
    x[1, 0] = torch.nan
    report = caught(guard, nn.Linear(2, 2), data=lambda step: x)
    assert (report.direction, report.before) == ("input", ())
    assert np.isnan(report.after.values[1, 0])
    assert report.where == (1, 0)


def test_of_large_tensors_both_pieces_lie_around_the_place(guard):
    x = torch.ones(400, 300)
    x[390, 250] = -1.0
    report = caught(guard, LogOf([1.0]), data=lambda step: x)
    before, after = report.before[0], report.after
    assert report.where == (390, 250)
    assert before.start == after.start
    assert np.isnan(after.values).tolist() == (before.values < 0).tolist()
    assert np.isnan(after.values).sum() == 1


def test_running_statistics_that_the_call_overwrites_are_no_cause(guard):
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3))
    with torch.no_grad():
        model[0].weight.fill_(1e30)
    report = caught(guard, model, data=lambda step: torch.full((2, 1, 5, 5), 1e30))
    assert (report.word, report.layer, report.op) == ("Inf", "0", "conv2d")
    assert report.notes == ()
    assert [piece.name for piece in report.before] == ["input 0 of conv2d", "0.weight", "0.bias"]


def test_all_of_it_is_bounded(guard):
    model = nn.Sequential(nn.Linear(300, 500))
    x = torch.full((400, 300), 3e38)
    report = caught(guard, model, data=lambda step: x)
    pieces = [*report.before, report.after]
    assert sum(piece.values.nbytes for piece in pieces) <= 4 * 4 * 4096
    assert all(piece.values.size for piece in pieces)


def test_a_closure_that_made_the_weights_nan_is_not_laid_to_the_learning_rate():
    torch.manual_seed(0)
    model, inputs = nn.Linear(4, 1), torch.randn(8, 4)
    optimizer = torch.optim.LBFGS(model.parameters())
    session = nbv.watch(model, optimizer)
    session.on_nonfinite("tell", every_step=True)
    for step in range(3):

        def closure(step=step):
            optimizer.zero_grad()
            output = model(inputs)
            loss = (output * 0).abs().sqrt().sum() if step == 2 else output.square().mean()
            loss.backward()
            return loss

        optimizer.step(closure)
    session.flush()
    text = session.first_nonfinite.text
    assert "An earlier forward of this step used finite ones" in text
    assert "the learning rate is too high" not in text
    session.close()
