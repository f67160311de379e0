"""Models that go bad in a known place; each is trained for a few steps."""

import contextlib

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nbtorchviz.errors import NonFiniteError

STEPS = 6


class Log(nn.Module):
    def forward(self, x):
        return x.log()


class ZeroDivided(nn.Module):
    """A normalisation without eps, of rows that are all zero."""

    def forward(self, x):
        return x / x.norm(dim=1, keepdim=True)


class Sqrt(nn.Module):
    def forward(self, x):
        return torch.sqrt(x)


class ExpShare(nn.Module):
    def forward(self, x):
        e = torch.exp(x)
        return e / e.sum(dim=1, keepdim=True)


class MaskedSoftmax(nn.Module):
    """Attention in which one row may look at nothing."""

    def forward(self, x):
        scores = x @ x.T
        mask = torch.zeros_like(scores, dtype=torch.bool)
        mask[0] = True
        weights = F.softmax(scores.masked_fill(mask, float("-inf")), dim=1)
        return weights @ x


class CausalSoftmax(nn.Module):
    """The same as it should be: infinite scores that harm nobody."""

    def forward(self, x):
        scores = x @ x.T
        mask = torch.full_like(scores, float("-inf")).triu(1)
        return F.softmax(scores + mask, dim=1) @ x


class DivideByStd(nn.Module):
    def forward(self, x):
        return (x - x.mean(dim=1, keepdim=True)) / x.std(dim=1, keepdim=True)


class BadBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 2

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient / (x - x)


class BadForward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.log(-x.abs() - 1)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Custom(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function.apply(x)


class InPlace(nn.Module):
    def forward(self, x):
        x = x * 1.0
        x.sub_(100).log_()
        return x


class Reused(nn.Module):
    """One module called three times; only the third call breaks."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.root = Sqrt()

    def forward(self, x):
        x = self.first(x).abs()
        x = self.root(x + 1)
        x = self.root(x)
        return self.root(x - 100)


class Functional(nn.Module):
    """The operation belongs to the model itself."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)

    def forward(self, x):
        return torch.acos(self.first(x) * 100)


class Nested(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.body = nn.Linear(4, 4)
        self.head = nn.ModuleDict({"loss": inner})

    def forward(self, x):
        return self.head["loss"](self.body(x))


class Doubling(nn.Module):
    """Half precision ends at 65,504."""

    def __init__(self):
        super().__init__()
        self.wide = nn.Linear(4, 4, bias=False)
        nn.init.constant_(self.wide.weight, 3e4)

    def forward(self, x):
        y = self.wide(x.abs() + 1)
        return y - y.mean(dim=1, keepdim=True)


class Zeroed(nn.Module):
    """Multiplies what reaches a layer, by default so that it is zero."""

    def __init__(self, inner, factor=0.0):
        super().__init__()
        self.before = nn.Linear(4, 4)
        self.inner = inner
        self.factor = factor

    def forward(self, x):
        return self.inner(self.before(x) * self.factor)


class ClampedBackward(nn.Module):
    """where() chooses the other branch; the gradient of this one is 0/0 nevertheless."""

    def forward(self, x):
        return torch.where(x > 1e9, (x * 0).sqrt(), x)


def squares(y):
    return (y.float() ** 2).mean()


class Scaled(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


def train(model, optimizer, *, loss=squares, data=None, steps=STEPS, autocast=None):
    for step in range(steps):
        x = torch.randn(4, 4) if data is None else data(step)
        optimizer.zero_grad()
        with autocast() if autocast else contextlib.nullcontext():
            y = model(x)
        value = loss(y)
        value.backward()
        optimizer.step()


def caught(guard, model, *, rate=0.01, criterion=None, **how):
    """Train until it raises; return the report."""
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    session = guard(model, optimizer, criterion=criterion)
    with pytest.raises(NonFiniteError) as error:
        train(model, optimizer, **how)
    assert error.value.report is session.first_nonfinite
    return error.value.report
