"""Chosen parameters and their gradients, read whole around a step: autograd's own, to the bit."""

import numpy as np
import pytest
import torch
from torch import nn

from nbtorchviz.capture.plans import Plan, WeightWant


def net():
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2))


@pytest.fixture
def read_of(tap_on, desk):
    def build(model, *names, **options):
        wants = tuple(WeightWant(name) if isinstance(name, str) else name for name in names)
        tap_on(model, plan=Plan(weights=wants), **options)
        return desk.weights

    yield build
    assert desk.faults == []


def backward(model, size=3):
    model(torch.randn(5, size)).square().sum().backward()


def test_value_before_the_step_and_gradient_of_it(read_of):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    steps = read_of(model, "0.weight", "2.bias")
    for number in (1, 2):
        optimizer.zero_grad()
        backward(model)
        values = {name: p.detach().clone() for name, p in model.named_parameters()}
        gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
        optimizer.step()
        step, found = steps[-1]
        assert step == number
        for name, read in zip(("0.weight", "2.bias"), found, strict=True):
            assert np.array_equal(read.value.values, values[name].numpy())
            assert np.array_equal(read.gradient.values, gradients[name].numpy())
            assert read.value.values.flags.owndata
            assert read.state == ""
        assert [read.value.axes for read in found] == [("T", "D"), ("F",)]


def test_accumulated_and_clipped_as_the_optimizer_finds_it(read_of):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    steps = read_of(model, "0.weight")
    for _ in range(3):
        backward(model)
    nn.utils.clip_grad_norm_(model.parameters(), 0.25)
    clipped = model[0].weight.grad.clone()
    optimizer.step()
    assert len(steps) == 1
    assert np.array_equal(steps[0][1][0].gradient.values, clipped.numpy())


def test_lbfgs_gives_the_gradient_of_its_last_closure(read_of):
    model = net()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)
    steps = read_of(model, "0.weight")
    inputs, before, after, last = torch.randn(5, 3), [], [], []

    def closure():
        optimizer.zero_grad()
        loss = model(inputs).square().sum()
        loss.backward()
        last[:] = [model[0].weight.grad.clone()]
        return loss

    for _ in range(3):
        before.append(model[0].weight.detach().clone())
        optimizer.step(closure)
        after += last
    assert [step for step, _ in steps] == [1, 2, 3]
    for at, (_, (read,)) in enumerate(steps):
        assert np.array_equal(read.value.values, before[at].numpy())
        assert np.array_equal(read.gradient.values, after[at].numpy())


def test_a_closure_that_raised_harms_no_later_step(read_of, desk):
    model = net()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=2)
    steps = read_of(model, "0.weight")
    broken, inputs = [True], torch.randn(5, 3)

    def closure():
        optimizer.zero_grad()
        loss = model(inputs).square().sum()
        loss.backward()
        if broken.pop():
            raise ValueError("broken")
        broken.append(False)
        return loss

    with pytest.raises(ValueError, match="broken"):
        optimizer.step(closure)
    broken.append(False)
    before = model[0].weight.detach().clone()
    optimizer.step(closure)
    assert desk.faults == []
    assert [step for step, _ in steps] == [1]
    assert np.array_equal(steps[0][1][0].value.values, before.numpy())


def test_what_has_no_gradient_is_said(read_of, desk):
    model = nn.ModuleDict({"used": nn.Linear(3, 2), "free": nn.Linear(3, 2), "idle": net()})
    model.forward = lambda x: model["used"](x)
    model["used"].bias.requires_grad_(False)
    optimizer = torch.optim.SGD([*model["used"].parameters(), *model["idle"].parameters()], lr=0.1)
    names = ("used.bias", "free.weight", "idle.0.weight", "used.weight")
    steps = read_of(model, *names)
    for _ in range(2):
        optimizer.zero_grad()
        backward(model)
        optimizer.step()
    states = [read.state for read in steps[0][1]]
    assert states == ["frozen", "no optimizer", "unused", ""]
    assert [read.gradient is None for read in steps[0][1]] == [True, True, True, False]
    for name, read in zip(names, steps[0][1], strict=True):
        assert read.value.values.shape == tuple(model.get_parameter(name).shape)


def test_of_several_optimizers_each_is_read_at_its_own_step(read_of):
    model = net()
    first = torch.optim.SGD(model[0].parameters(), lr=0.1)
    second = torch.optim.Adam(model[2].parameters())
    steps = read_of(model, "0.weight", "2.weight", optimizers=(first, second))
    for number in range(4):
        model.zero_grad()
        backward(model)
        seen = model[2].weight.grad.clone()
        first.step()
        if number % 2 == 0:
            second.step()
            expected = seen
    assert [step for step, _ in steps][:3] == [1, 2, 3]
    assert [read.state for read in steps[0][1]] == ["", ""]
    assert [read.state for read in steps[1][1]] == ["", "not stepped"]
    assert np.array_equal(steps[2][1][1].gradient.values, expected.numpy())


def test_sparse_gradients_are_shown_where_they_are_and_zero_elsewhere(read_of):
    model = nn.Sequential(nn.Embedding(6, 2, sparse=True), nn.Flatten(), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    steps = read_of(model, "0.weight")
    model(torch.tensor([[1, 4], [1, 1]])).sum().backward()
    dense = model[0].weight.grad.to_dense()
    optimizer.step()
    (read,) = steps[0][1]
    assert read.state == "sparse"
    assert np.array_equal(read.gradient.values, dense.numpy())
    assert "sparse" in read.gradient.notes[0]


def test_kernels_too_many_to_copy_are_read_for_one_input_channel(read_of):
    model = nn.Sequential(nn.Conv2d(3, 4, 2), nn.Flatten(), nn.LazyLinear(1))
    model(torch.zeros(1, 3, 4, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    wants = [WeightWant("0.weight", part=part, limit=20) for part in (2, None)]
    steps = read_of(model, *wants)
    model(torch.randn(2, 3, 4, 4)).sum().backward()
    gradient = model[0].weight.grad.clone()
    optimizer.step()
    one, mean = steps[0][1]
    assert np.array_equal(one.gradient.values, gradient[:, 2].numpy())
    assert np.array_equal(mean.gradient.values, gradient.mean(1).numpy())
    assert one.value.axes == mean.value.axes == ("C", "H", "W")
    assert (one.value.path, mean.value.path) == ("input 2", "mean")
    assert one.value.shape == (4, 3, 2, 2)


def test_a_large_matrix_is_pooled_on_its_way(read_of):
    model = nn.Sequential(nn.Linear(40, 30))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    steps = read_of(model, WeightWant("0.weight", limit=300))
    backward(model, 40)
    gradient = model[0].weight.grad.clone()
    optimizer.step()
    (read,) = steps[0][1]
    assert read.gradient.pooled == 2
    expected = gradient.reshape(15, 2, 20, 2).mean((1, 3))
    np.testing.assert_allclose(read.gradient.values, expected.numpy(), rtol=1e-5, atol=1e-7)


def test_transposed_kernels_are_put_outputs_first(read_of):
    model = nn.Sequential(nn.ConvTranspose2d(3, 5, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    steps = read_of(model, "0.weight")
    model(torch.randn(2, 3, 4, 4)).sum().backward()
    value = model[0].weight.detach().clone()
    optimizer.step()
    (read,) = steps[0][1]
    assert np.array_equal(read.value.values, value.transpose(0, 1).numpy())
    assert read.value.shape == (3, 5, 2, 2)


def test_a_scaler_has_unscaled_before_and_a_skipped_step_is_not_read(read_of):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    steps = read_of(model, "0.weight")
    for broken in (True, False):
        optimizer.zero_grad()
        inputs = torch.randn(5, 3)
        scaler.scale(model(inputs).square().sum()).backward()
        if broken:
            model[2].weight.grad[0, 0] = torch.inf
        else:
            scale = scaler.get_scale()
            expected = model[0].weight.grad / scale
        scaler.step(optimizer)
        scaler.update()
    ((step, (read,)),) = steps
    assert step == 1
    assert np.array_equal(read.gradient.values, expected.numpy())


def test_nothing_is_read_where_nothing_is_wanted(read_of, desk):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    steps = read_of(model)
    backward(model)
    optimizer.step()
    assert steps == []
