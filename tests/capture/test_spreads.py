"""Statistics of all layers: right numbers, of the activation before it was overwritten."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nbtorchviz.analysis.many_statistics import summarise_many
from nbtorchviz.capture import samples, spreads
from nbtorchviz.capture.plans import Plan
from nbtorchviz.capture.reductions import spread_any
from nbtorchviz.capture.tensors import HostCopy


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


class Residual(nn.Module):
    """Its output is its last layer's, its dropout of 0 gives back what it is given, and its ReLU
    writes over what the layer before put out."""

    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.0))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return x + self.relu(self.block(x))


def test_a_tensor_that_several_layers_put_out_is_read_once_for_all_of_them(tap_on, desk):
    model, hooks = nn.Sequential(Residual(), nn.Linear(4, 2)), []
    tap_on(model, plan=Plan(statistics=True))
    inputs, register = torch.randn(5, 4), torch.Tensor.register_hook
    hidden = model[0].block(inputs).detach().requires_grad_()
    model[1](inputs + hidden.relu()).square().sum().backward()
    torch.Tensor.register_hook = lambda *args: (hooks.append(args[0]), register(*args))[1]
    try:
        run(model, inputs, loss=lambda out: out.square().sum())
    finally:
        torch.Tensor.register_hook = register
    found = desk.catch.statistics
    at = {name: number for number, name in enumerate(found.layers)}
    same = [at[name] for name in ("0.block.0", "0.block.1", "0.block")]
    for number in same:
        assert found.statistics[number].minimum == pytest.approx(hidden.min().item())
        assert found.gradient_norms[number] == pytest.approx(hidden.grad.norm().item(), rel=1e-5)
        assert found.gradients[number] == found.gradients[same[0]] is not None
    assert found.statistics[at["0.relu"]].minimum == 0.0
    assert found.gradient_norms[at["0.relu"]] > found.gradient_norms[same[0]]
    assert len(hooks) == 4  # block, relu, the sum, and the last layer, which is the whole's output
    assert desk.faults == []


def test_a_layer_that_writes_over_its_input_unnoticed_shows_its_own_values(tap_on, desk):
    class Halved(nn.Module):
        def forward(self, x):
            x.data.mul_(0.5)
            return x

    model = nn.Sequential(nn.Linear(3, 3), Halved())
    tap_on(model, plan=Plan(statistics=True))
    run(model, torch.randn(2, 3))
    before, after = desk.catch.statistics.statistics
    assert after.maximum == pytest.approx(before.maximum / 2)
    assert desk.catch.statistics.gradients[0] == desk.catch.statistics.gradients[1] is not None


def test_what_inference_mode_puts_out_is_read_each_time():
    kept = spreads.Spreads(pytest.fail)
    with torch.inference_mode():
        output = torch.linspace(-1, 1, 6).reshape(2, 3)
        kept.take("linear", output, training=False)
        kept.take("relu", output.relu_(), training=False)
    found = kept.develop(summarise_many, None)
    assert found.statistics[0].minimum == -1.0
    assert found.statistics[1].minimum == 0.0


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


def test_samples_are_compared_four_times_a_second_unless_they_are_alike(tap_on, desk):
    now = [0.0]
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    tap_on(model, plan=Plan(statistics=True), clock=lambda: now[0])

    def compared(inputs):
        run(model, inputs)
        return not math.isnan(desk.catches[-1].statistics.batch_spreads[-1])

    assert compared(torch.randn(4, 3))
    now[0] = 0.2
    assert not compared(torch.randn(4, 3))
    now[0] = 0.26
    assert compared(torch.ones(4, 3))  # all samples alike: the next reading is to tell as well
    assert compared(torch.ones(4, 3))


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


@given(
    shape=st.lists(st.integers(1, 23), min_size=1, max_size=4).map(tuple),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.float16, torch.int64, torch.bool]),
    how=st.sampled_from(["plain", "channels_last", "transposed", "part"]),
)
def test_what_numpy_reads_is_what_torch_reads(shape, dtype, how):
    tensor = torch.arange(math.prod(shape)).reshape(shape).to(dtype)
    if how == "channels_last" and len(shape) == 4:
        tensor = tensor.to(memory_format=torch.channels_last)
    elif how == "transposed":
        tensor = tensor.transpose(0, -1)
    elif how == "part":
        tensor = tensor[..., ::2]
    values = samples.as_numpy(tensor)
    copied = samples.vector_of(samples.copied(tensor, values))
    by_torch = samples.vector_of(HostCopy(spread_any(tensor, samples.LIMIT)))
    assert copied.dtype == by_torch.dtype
    assert copied.tolist() == by_torch.tolist()
    rows, by_torch = samples.rows_in(values), samples.rows_of(tensor)
    assert (rows is None) == (by_torch is None)
    if rows is not None:
        assert rows.tolist() == by_torch.host().tolist()


def test_copies_are_not_views_of_what_training_goes_on_with():
    tensor = torch.ones(4, 3)
    values = samples.as_numpy(tensor)
    copy, rows = samples.copied(tensor, values), samples.rows_in(values)
    tensor.zero_()
    assert copy.tolist() == [1.0] * 12
    assert rows.tolist() == [[1.0] * 3] * 4


def test_a_norm_counts_what_was_not_read_and_says_infinite_of_what_is_not_finite():
    vectors = [np.float32([3, 4]), np.float32([]), np.float32([1, math.nan]), np.float32([2])]
    table, _ = summarise_many(vectors, [8, 0, 2, 1])
    norms = spreads._norms(table, vectors)
    assert norms[0] == pytest.approx(10.0)  # (9 + 16) / 2 * 8 = 100
    assert math.isnan(norms[1])
    assert norms[2:].tolist() == [math.inf, 2.0]


def test_spread_over_samples_is_the_largest_of_any_position():
    rows = [np.float32([[0, 1], [2, 1]]), None, np.float32([[1, 1], [math.inf, 1]])]
    found = spreads._spreads_over_batch([*rows, np.float32([[7.0], [7.0], [7.0]])])
    assert found[0] == 1.0
    assert np.isnan(found[1:3]).all()
    assert found[3] == 0.0
