"""What a GradientInspector shows of real trainings that are not plain: words, never zeros."""

import contextlib

import numpy as np
import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.analysis.packets import unpack
from nbtorchviz.widgets.gradient_history import flow_rows, gradient_history
from nbtorchviz.widgets.gradient_packet import LOWEST_EXPONENT, NONE, PER_OCTAVE

SKIPPED = "skipped (inf)"


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.Linear(8, 2))


@pytest.fixture
def inspect():
    """Watch a model and show its maps; afterwards nothing of ours has failed."""
    with contextlib.ExitStack() as stack:

        def inspect(model, *optimizers, layer="0"):
            session = nbv.watch(model, list(optimizers) or None, every=1)
            stack.callback(session.close)
            inspector = nbv.GradientInspector(session, view="maps", layer=layer)
            inspector.select(shown="weight.grad")
            stack.callback(lambda: check(session))
            return inspector

        def check(session):
            assert session.faults == []

        yield inspect


def sent(inspector):
    """Steps, words and norms by parameter, as the view reads them."""
    header, arrays = unpack(inspector._produce(200_000).data)
    names = [
        (f"{header['layers'][at][0]}." if at >= 0 else "") + own
        for at, own, _ in header["parameters"]
    ]
    words = {
        name: [header["words"][code] for code in row]
        for name, row in zip(names, arrays["state"], strict=True)
    }
    codes = dict(zip(names, arrays["gradient"], strict=True))
    return arrays["steps"].tolist(), words, codes


def norm_of(code):
    return 2 ** ((int(code) - 1) / PER_OCTAVE + LOWEST_EXPONENT)


def rows(inspector):
    session = inspector.session
    found = flow_rows(gradient_history(session.statistics, session.layer_infos))
    return {row.name: row for row in found}


def test_steps_that_a_scaler_skips_are_words_and_the_others_numbers(inspect):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=1000)
    inspector, truth = inspect(model, optimizer), []
    for number in range(7):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.float16):
            loss = model(torch.randn(6, 4)).float().square().sum()
        scaler.scale(loss * (1e30 if number in (0, 3, 6) else 1.0)).backward()
        scaler.unscale_(optimizer)
        if number not in (0, 3, 6):
            truth.append(model[0].weight.grad.norm().item())
        scaler.step(optimizer)
        scaler.update()
    model(torch.randn(6, 4))  # the next forward: only now is the last step known to be skipped
    steps, words, codes = sent(inspector)
    assert steps == [0, 1, 2, 2, 3, 4, 4]
    assert words["0.weight"] == [SKIPPED, "", "", SKIPPED, "", "", SKIPPED]
    assert words["2.bias"] == words["0.weight"]
    absent = [code == NONE for code in codes["0.weight"]]
    assert absent == [word == SKIPPED for word in words["0.weight"]]
    numbers = [norm_of(code) for code in codes["0.weight"] if code != NONE]
    np.testing.assert_allclose(numbers, truth, rtol=2e-3)  # unscaled
    assert all(np.isnan(norm) for norm in inspector.norms().values())
    assert rows(inspector)["0"].word == SKIPPED
    assert np.isnan(rows(inspector)["0"].gradient)
    header, _ = inspector._maps.parts(inspector._choice, 1, 200_000)
    assert header["step"] == 4
    assert "the newest step was skipped (inf)" in header["notes"]
    np.testing.assert_allclose(np.linalg.norm(inspector.frame.values), truth[-1], rtol=1e-5)


def test_only_skipped_steps_leave_a_sentence_in_place_of_a_map(inspect):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    inspector = inspect(model, optimizer)
    for _ in range(3):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.float16):
            loss = model(torch.randn(6, 4)).float().square().sum() * 1e30
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    header, _ = inspector._maps.parts(inspector._choice, 1, 200_000)
    assert header["view"] == "none"
    assert "skipped (inf)" in header["message"]
    assert inspector.frame is None


def test_accumulated_micro_batches_are_one_step_with_their_sum(inspect):
    model = net()
    optimizer = torch.optim.Adam(model.parameters())
    inspector, truth = inspect(model, optimizer), []
    for _ in range(3):
        optimizer.zero_grad()
        for _ in range(4):
            (model(torch.randn(6, 4)).square().mean() / 4).backward()
        truth.append(model[0].weight.grad.clone())
        optimizer.step()
        assert np.array_equal(inspector.frame.values, truth[-1].numpy())
    steps, words, codes = sent(inspector)
    assert steps == [1, 2, 3]
    assert words["0.weight"] == ["", "", ""]
    norms = [norm_of(code) for code in codes["0.weight"]]
    np.testing.assert_allclose(norms, [float(g.norm()) for g in truth], rtol=2e-3)
    assert inspector.norms()["0.weight"] == pytest.approx(float(truth[-1].norm()), rel=1e-6)


def test_sparse_gradients_are_called_so_and_have_their_norm(inspect):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(9, 3, sparse=True), nn.Flatten(), nn.Linear(6, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inspector = inspect(model, optimizer)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.tensor([[1, 4], [4, 4]])).square().sum().backward()
        dense = model[0].weight.grad.to_dense()
        optimizer.step()
    _, words, _ = sent(inspector)
    assert words["0.weight"] == ["sparse"] * 3
    assert words["2.weight"] == [""] * 3
    assert inspector.norms()["0.weight"] == pytest.approx(float(dense.norm()), rel=1e-6)
    assert np.array_equal(inspector.frame.values, dense.numpy())
    header, _ = inspector._maps.parts(inspector._choice, 1, 200_000)
    assert (header["state"], header["rows"], header["cols"]) == ("sparse", "entry", "feature")
    assert any("sparse" in note for note in header["notes"])


def test_each_of_several_optimizers_has_its_parameters_and_rate(inspect):
    model = net()
    first = torch.optim.SGD(model[0].parameters(), lr=0.1)
    second = torch.optim.Adam(model[2].parameters(), lr=0.01)
    inspector = inspect(model, first, second, layer="2")
    for number in range(4):
        model.zero_grad()
        model(torch.randn(6, 4)).square().sum().backward()
        gradient = model[2].weight.grad.clone()
        first.step()
        if number % 2 == 0:
            second.step()
            stepped = gradient
    model(torch.randn(6, 4))
    newest = inspector.session.statistics.newest_parameters
    rates = dict(zip(newest.parameters, newest.learning_rates, strict=True))
    assert rates["0.weight"] == pytest.approx(0.1)
    assert rates["2.weight"] == pytest.approx(0.01)
    history = inspector.session.statistics.parameters()
    states = history.states[history.rows.index("2.weight")].tolist()
    assert states[-2:] == ["", "not stepped"]
    norms = history.columns["gradient_norms"][history.rows.index("2.weight")]
    assert np.isnan(norms[-1])
    assert norms[-2] == pytest.approx(float(stepped.norm()), rel=1e-6)
    header, _ = inspector._maps.parts(inspector._choice, 1, 200_000)
    assert header["message"] == "2.weight was not stepped in step 4: its optimizer waits."


def test_a_closure_is_one_step_with_the_gradient_it_ended_on(inspect):
    model = net()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)
    inspector, inputs, ended = inspect(model, optimizer), torch.randn(16, 4), []

    def closure():
        optimizer.zero_grad()
        loss = (model(inputs) - 1).square().mean()
        loss.backward()
        ended[-1] = model[0].weight.grad.clone()
        return loss

    for _ in range(4):
        ended.append(None)
        optimizer.step(closure)
    steps, words, codes = sent(inspector)
    assert steps == [1, 2, 3, 4]
    assert set(words["0.weight"]) == {""}
    norms = [norm_of(code) for code in codes["0.weight"]]
    np.testing.assert_allclose(norms, [float(g.norm()) for g in ended], rtol=2e-3)
    assert np.array_equal(inspector.frame.values, ended[inspector.frame.step - 1].numpy())
