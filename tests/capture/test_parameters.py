"""What the optimizer did to the parameters, read around its step: exact, and without a trace."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_

from nbtorchviz.capture.clipping import AFTER_CHANGE, CHECK_EVERY, FIRST, RARE_S, Clipping
from nbtorchviz.capture.plans import Plan
from nbtorchviz.capture.samples import WHOLE


def net():
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2))


def column(read, name):
    return dict(zip(read.parameters, getattr(read, name), strict=True))


@pytest.fixture
def read_of(tap_on, desk):
    def build(model, **options):
        tap_on(model, plan=Plan(parameters=True), **options)
        return desk.parameters

    return build


def test_norms_are_those_of_torch(read_of, desk):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    parameters = read_of(model)
    model(torch.randn(5, 3)).square().sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer.step()
    ((step, read),) = parameters
    assert step == 1
    for name, gradient in gradients.items():
        assert column(read, "gradient_norms")[name] == gradient.norm().item()
        assert column(read, "raw_gradient_norms")[name] == gradient.norm().item()
        assert column(read, "norms")[name] == weights[name].norm().item()
        update = 0.5 * gradient.norm().item()
        assert column(read, "update_norms")[name] == pytest.approx(update, rel=1e-5)
        assert column(read, "learning_rates")[name] == 0.5
        assert column(read, "states")[name] == ""
    assert read.counts.tolist() == [12, 4, 8, 2]
    assert desk.faults == []
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters())


def test_clipping_shows_in_the_difference_of_the_two_norms(read_of):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    parameters = read_of(model)
    (100 * model(torch.randn(5, 3))).square().sum().backward()
    total = clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    (_, read) = parameters[0]
    raw, clipped = read.raw_gradient_norms, read.gradient_norms
    assert np.linalg.norm(raw) == pytest.approx(total.item(), rel=1e-5)
    assert np.linalg.norm(clipped) == pytest.approx(1.0, rel=1e-4)


def hooked(model):
    return any(p._post_accumulate_grad_hooks for p in model.parameters())


def exchanged(parameters):
    """Exchange gradients for smaller ones, as private training does."""
    for parameter in parameters:
        parameter.grad = parameter.grad * 0.5


def train(model, optimizer, parameters, steps, clip=lambda parameters: None):
    """Read each step; check raw norms where hooks looked, and that there are none elsewhere.

    Returns:
        Of each step, whether hooks looked.
    """
    truth = []
    parameters.clear()
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model(torch.randn(5, 3)).square().sum()
        looked = hooked(model)
        loss.backward()
        whole = math.sqrt(sum(p.grad.square().sum().item() for p in model.parameters()))
        clip(model.parameters())
        optimizer.step()
        truth.append((whole, looked))
    read = [np.linalg.norm(numbers.raw_gradient_norms) for _, numbers in parameters]
    assert len(read) == steps
    for raw, (whole, looked) in zip(read, truth, strict=True):
        assert raw == pytest.approx(whole, rel=1e-4) if looked else np.isnan(raw)
    return [looked for _, looked in truth]


def test_where_nobody_clips_most_readings_need_no_hooks_on_parameters(read_of, desk):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    looked = train(model, optimizer, read_of(model), FIRST + 2 * CHECK_EVERY)
    assert [at for at, look in enumerate(looked) if look] == [
        *range(FIRST),
        FIRST - 1 + CHECK_EVERY,
        FIRST - 1 + 2 * CHECK_EVERY,
    ]
    assert desk.faults == []


def test_clipping_that_begins_unseen_is_missed_for_one_reading_and_never_wrong(read_of, desk):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    parameters = read_of(model)
    train(model, optimizer, parameters, FIRST + 1)
    looked = train(model, optimizer, parameters, 6, lambda p: clip_grad_norm_(p, 1e-3))
    assert looked == [False] + 5 * [True]
    looked = train(model, optimizer, parameters, AFTER_CHANGE + 1)
    assert looked == AFTER_CHANGE * [True] + [False]
    assert desk.faults == []


def written_by_data(parameters):
    for parameter in parameters:
        parameter.grad.data.mul_(0.5)


def written_by_numpy(parameters):
    for parameter in parameters:
        parameter.grad.numpy()[...] *= 0.5


def made_in_inference_mode(parameters):
    with torch.inference_mode():
        for parameter in parameters:
            parameter.grad = parameter.grad * 0.5


@pytest.mark.parametrize(
    "clip", [exchanged, written_by_data, written_by_numpy, made_in_inference_mode]
)
def test_gradients_that_are_changed_unnoticed_are_met_by_the_readings_that_look(
    read_of, desk, clip
):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    parameters = read_of(model)
    train(model, optimizer, parameters, FIRST + 1)
    looked = train(model, optimizer, parameters, CHECK_EVERY + 4, clip)
    assert looked[-5:] == 5 * [True]
    assert desk.faults == []


def test_gradients_that_no_backward_accumulated_have_no_raw_norm(read_of, desk):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    parameters = read_of(model)
    for _ in range(CHECK_EVERY + FIRST):
        loss = model(torch.randn(5, 3)).square().sum()
        found = torch.autograd.grad(loss, list(model.parameters()))
        for parameter, gradient in zip(model.parameters(), found, strict=True):
            parameter.grad = gradient * 0.01
        optimizer.step()
    assert all(np.isnan(read.raw_gradient_norms).all() for _, read in parameters)
    assert desk.faults == []


def test_readings_far_apart_always_look():
    now = [0.0]
    clipping = Clipping(lambda: now[0])
    assert all(clipping.look() for _ in range(FIRST))
    assert not clipping.look()
    now[0] += 2 * RARE_S
    assert clipping.look()


def test_accumulated_gradients_are_read_once_at_the_step(read_of):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    parameters = read_of(model)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    parameters.clear()
    for _ in range(3):
        model(torch.ones(1, 3)).sum().backward()
    expected = model[2].bias.grad.norm().item()
    optimizer.step()
    ((step, read),) = parameters
    assert step == 2
    assert column(read, "gradient_norms")["2.bias"] == expected == pytest.approx(3 * math.sqrt(2))
    assert column(read, "raw_gradient_norms")["2.bias"] == expected


def test_words_for_what_has_no_number(read_of):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.frozen = nn.Linear(3, 3).requires_grad_(False)
            self.used = nn.Linear(3, 2)
            self.unused = nn.Linear(3, 2)
            self.forgotten = nn.Linear(2, 2)

        def forward(self, x):
            return self.forgotten(self.used(self.frozen(x)))

    model = Odd()
    groups = [*model.frozen.parameters(), *model.used.parameters(), *model.unused.parameters()]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    parameters = read_of(model, optimizers=[optimizer])
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    (_, read) = parameters[0]
    states = column(read, "states")
    assert states["frozen.weight"] == "frozen"
    assert states["used.weight"] == ""
    assert states["unused.weight"] == "unused"
    assert states["forgotten.weight"] == "no optimizer"
    assert np.isnan(column(read, "gradient_norms")["unused.weight"])
    assert np.isnan(column(read, "learning_rates")["forgotten.weight"])
    assert column(read, "raw_gradient_norms")["forgotten.weight"] > 0


def test_a_tied_parameter_is_listed_once(read_of):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    parameters = read_of(model)
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    assert parameters[0][1].parameters == ("0.weight", "0.bias", "1.bias")


def test_sparse_gradients_are_read_and_named(read_of):
    model = nn.Sequential(nn.Embedding(10, 4, sparse=True), nn.Linear(4, 1))
    sparse = torch.optim.SparseAdam(model[0].parameters(), lr=0.1)
    dense = torch.optim.SGD(model[1].parameters(), lr=0.1)
    parameters = read_of(model, optimizers=[sparse, dense])
    model(torch.tensor([1, 1, 3])).sum().backward()
    expected = model[0].weight.grad.coalesce().values().norm().item()
    sparse.step()
    assert parameters == []  # the other one has still to step
    dense.step()
    model(torch.tensor([1]))
    ((step, read),) = parameters
    assert step == 1
    assert column(read, "states")["0.weight"] == "sparse"
    assert column(read, "gradient_norms")["0.weight"] == pytest.approx(expected)
    assert column(read, "gradient_norms")["1.weight"] > 0
    assert column(read, "update_norms")["1.weight"] > 0


def test_an_optimizer_with_a_closure_is_read_after_its_step(read_of, desk):
    model = net()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=2)
    parameters = read_of(model)
    inputs = torch.randn(5, 3)

    def closure():
        optimizer.zero_grad()
        loss = model(inputs).square().sum()
        loss.backward()
        return loss

    model(inputs)
    for _ in range(3):
        optimizer.step(closure)
    assert [step for step, _ in parameters] == [1, 2, 3]
    for _, read in parameters:
        assert (read.gradient_norms > 0).all()
        assert (read.update_norms > 0).all()
    assert desk.faults == []


def test_nonfinite_gradients_are_counted(read_of):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    parameters = read_of(model)
    (model(torch.ones(1, 3)) * math.inf).sum().backward()
    optimizer.step()
    (_, read) = parameters[0]
    assert column(read, "nonfinite")["2.bias"] == 2
    assert not math.isfinite(column(read, "gradient_norms")["2.bias"])


def test_a_step_that_a_scaler_skipped_is_said_to_be_skipped(read_of):
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    parameters = read_of(model, optimizers=[optimizer])
    with torch.autocast("cpu", torch.float16):
        loss = (model(torch.ones(2, 3)).float() * math.inf).sum()
    loss.backward()
    optimizer.zero_grad()  # no step: what GradScaler.step does on infinity
    with torch.autocast("cpu", torch.float16):
        model(torch.ones(2, 3))
    ((_, read),) = parameters
    assert read.skipped
    assert set(read.states) == {"skipped (inf)"}


def test_reading_changes_nothing_and_leaves_nothing(read_of, tap_on, desk):
    def train(watch):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 2))
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
        if watch:
            tap_on(model, plan=Plan(statistics=True, parameters=True))
        for _ in range(5):
            optimizer.zero_grad()
            model(torch.randn(6, 3)).square().mean().backward()
            clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
        return [p.detach().clone() for p in model.parameters()]

    bare, watched = train(watch=False), train(watch=True)
    assert all(torch.equal(a, b) for a, b in zip(bare, watched, strict=True))
    assert len(desk.parameters) == 5
    assert desk.faults == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_numbers_of_other_types_and_layouts_are_right_too(read_of, desk, dtype):
    model = nn.Sequential(nn.Conv2d(2, 40, 3), nn.Flatten(), nn.Linear(160, 2, dtype=dtype))
    model[0].to(dtype, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    parameters = read_of(model)
    model(torch.randn(3, 2, 4, 4, dtype=dtype)).square().sum().backward()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    clip_grad_norm_([model[2].weight], 1e-2)
    optimizer.step()
    assert desk.faults == []
    (_, read) = parameters[0]
    for name, parameter in model.named_parameters():
        accurate = parameter.grad.float() if dtype is torch.bfloat16 else parameter.grad
        norm = accurate.norm().float().item()
        assert column(read, "gradient_norms")[name] == pytest.approx(norm, rel=1e-6)
        update = (parameter.double() - before[name].double()).norm().item()
        sampled = parameter.numel() > WHOLE
        rel = 0.1 if sampled else 1e-5
        assert column(read, "update_norms")[name] == pytest.approx(update, rel=rel)
        raw = column(read, "raw_gradient_norms")[name]
        assert raw > 5 * norm if name == "2.weight" else raw == pytest.approx(norm, rel=1e-6)
    assert [found.count for found in read.histograms] == [720, 40, 160 * 2, 2]


@pytest.mark.parametrize("size", [3, 90])
def test_complex_parameters_have_the_norms_of_their_real_and_imaginary_parts(read_of, desk, size):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.waves = nn.Parameter(torch.randn(size, size, dtype=torch.complex64))

        def forward(self, x):
            return (x.to(torch.complex64) @ self.waves).abs()

    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    parameters = read_of(model)
    model(torch.randn(4, size)).square().mean().backward()
    before = model.waves.detach().clone()
    raw = model.waves.grad.norm().item()
    clip_grad_norm_(model.parameters(), raw / 2)
    optimizer.step()
    assert desk.faults == []
    ((_, read),) = parameters
    assert read.norms == pytest.approx(before.norm().item())
    assert read.gradient_norms == pytest.approx(raw / 2)
    assert read.raw_gradient_norms == pytest.approx(raw)
    moved = (model.waves.detach() - before).norm().item()
    rel = 1e-5 if 2 * size * size <= WHOLE else 0.1  # of so many some are read
    assert read.update_norms == pytest.approx(moved, rel=rel)
    assert read.counts.tolist() == [size * size]
