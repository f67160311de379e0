"""Optimizer steps that raise, in a closure or elsewhere, and steps within steps: what comes after
is counted and read as if they had not been."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

from nbtorchviz.capture.boundaries import dispatcher
from nbtorchviz.capture.plans import Plan, WeightWant

READ_ALL = Plan(parameters=True, weights=(WeightWant("weight"),))


class Broken(torch.optim.SGD):
    """Changes the weights, then raises what it is told to; without a word it steps."""

    word: BaseException | None = None

    def step(self, closure=None):
        loss = super().step(closure)
        if self.word is not None:
            raise self.word
        return loss


@pytest.fixture
def model():
    return nn.Linear(3, 2)


@pytest.fixture
def inputs():
    return torch.randn(5, 3)


def backward(model, inputs):
    model.zero_grad()
    loss = model(inputs).square().sum()
    loss.backward()
    return loss


def check_read(desk, step, found):
    """The last step that was read is ``step``, with the weight and gradient in ``found``."""
    weight, gradient = found
    (last, (picture,)), (read_at, numbers) = desk.weights[-1], desk.parameters[-1]
    assert (last, read_at) == (step, step)
    assert np.array_equal(picture.value.values, weight.numpy())
    assert np.array_equal(picture.gradient.values, gradient.numpy())
    at = numbers.parameters.index("weight")
    assert numbers.gradient_norms[at] == gradient.norm().item()
    assert desk.faults == []


def found_by_the_step(model):
    return model.weight.detach().clone(), model.weight.grad.clone()


def test_a_forward_after_a_closure_that_raised_is_not_inside_it(model, inputs, tap_on, desk):
    tap = tap_on(model, plan=READ_ALL)
    newton = torch.optim.LBFGS(model.parameters(), max_iter=4)
    calls = []

    def closure():
        calls.append(dispatcher.inside)
        loss = backward(model, inputs)
        if len(calls) == 2:  # the first one has changed the weights
            raise ValueError("broken")
        return loss

    with pytest.raises(ValueError, match="broken"):
        newton.step(closure)
    assert calls == [newton, newton]
    assert dispatcher.inside is None
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    model.weight.data.mul_(2.0)
    backward(model, inputs)
    found = found_by_the_step(model)
    sgd.step()
    assert (tap.step, [step for step, _ in desk.weights]) == (1, [1])
    check_read(desk, 1, found)
    raw = desk.parameters[-1][1].raw_gradient_norms
    assert raw == pytest.approx(desk.parameters[-1][1].gradient_norms)


def test_the_step_after_a_closure_that_raised_is_read_from_its_own_beginning(
    model, inputs, tap_on, desk
):
    tap = tap_on(model, plan=READ_ALL)
    newton = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)
    calls, gradients = [], []

    def closure():
        calls.append(1)
        loss = backward(model, inputs)
        gradients.append(model.weight.grad.clone())
        if len(calls) == 2:
            raise KeyboardInterrupt
        return loss

    with pytest.raises(KeyboardInterrupt):
        newton.step(closure)
    newton = torch.optim.LBFGS(model.parameters(), lr=0.1)  # torch's cannot go on from there
    weight = model.weight.detach().clone()
    newton.step(closure)
    assert tap.step == 1
    check_read(desk, 1, (weight, gradients[-1]))
    newton.step(closure)
    assert [step for step, _ in desk.weights] == [1, 2]


@pytest.mark.parametrize("word", [ValueError("broken"), KeyboardInterrupt()])
def test_the_step_after_one_that_raised_is_read_and_counted(model, inputs, tap_on, desk, word):
    tap = tap_on(model, plan=READ_ALL)
    optimizer = Broken(model.parameters(), lr=0.1)
    backward(model, inputs)
    optimizer.step()
    optimizer.word = word
    backward(model, inputs)
    with pytest.raises(type(word)):
        optimizer.step()
    optimizer.word = None
    assert tap.step == 1
    backward(model, 3 * inputs)
    found = found_by_the_step(model)
    optimizer.step()
    assert tap.step == 2
    check_read(desk, 2, found)
    raw = desk.parameters[-1][1].raw_gradient_norms
    assert raw == pytest.approx(desk.parameters[-1][1].gradient_norms)


def test_a_step_that_is_tried_again_at_once_is_read_as_it_is_found_then(
    model, inputs, tap_on, desk
):
    tap = tap_on(model, plan=READ_ALL)
    optimizer = Broken(model.parameters(), lr=0.1)
    optimizer.word = ValueError("broken")
    backward(model, inputs)
    with pytest.raises(ValueError, match="broken"):
        optimizer.step()
    optimizer.word = None
    model.weight.grad.mul_(0.5)
    found = found_by_the_step(model)
    optimizer.step()
    assert tap.step == 1
    check_read(desk, 1, found)


def test_a_forward_on_another_thread_breaks_no_step(model, inputs, tap_on, desk):
    tap_on(model, plan=READ_ALL)

    class Waiting(torch.optim.SGD):
        def step(self, closure=None):
            other = threading.Thread(target=model, args=(inputs,))
            other.start()
            other.join()
            return super().step(closure)

    optimizer = Waiting(model.parameters(), lr=0.1)
    backward(model, inputs)
    found = found_by_the_step(model)
    optimizer.step()
    check_read(desk, 1, found)


def test_a_step_that_calls_its_parents_step_is_one_step(model, inputs, tap_on, desk):
    torch.optim.SGD(nn.Linear(1, 1).parameters())  # from now on torch calls hooks for SGD.step

    class Clamped(torch.optim.SGD):
        def step(self, closure=None):
            loss = super().step(closure)
            with torch.no_grad():
                model.weight.zero_()
            return loss

    class Twice(Clamped):
        def step(self, closure=None):
            return super().step(closure)

    Clamped(nn.Linear(1, 1).parameters())
    tap = tap_on(model, plan=READ_ALL)
    optimizer = Twice(model.parameters(), lr=0.1)
    for number in (1, 2):
        backward(model, inputs)
        found = found_by_the_step(model)
        optimizer.step()
        assert tap.step == number
        check_read(desk, number, found)
    first = desk.parameters[0][1]
    norms = dict(zip(first.parameters, first.norms, strict=True))
    updates = dict(zip(first.parameters, first.update_norms, strict=True))
    assert updates["weight"] == pytest.approx(norms["weight"])  # what came after the parent's step
    assert dispatcher.inside is None


def test_a_closure_of_a_step_that_calls_its_parents_is_inside(model, inputs, tap_on, desk):
    torch.optim.LBFGS(nn.Linear(1, 1).parameters())

    class Own(torch.optim.LBFGS):
        def step(self, closure):
            return super().step(closure)

    tap = tap_on(model, plan=READ_ALL)
    optimizer = Own(model.parameters(), lr=0.1, max_iter=2)
    seen = []

    def closure():
        seen.append(dispatcher.inside)
        return backward(model, inputs)

    for number in (1, 2):
        weight = model.weight.detach().clone()
        optimizer.step(closure)
        assert tap.step == number
        check_read(desk, number, (weight, model.weight.grad))
    assert set(seen) == {optimizer}
