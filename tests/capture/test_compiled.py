import numpy as np
import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from nbtorchviz.capture.tap import Plan, Want, unwrap
from tests.capture.desk import of
from tests.models import ZOO, InplaceCnn, train

CASE = ZOO["inplace_cnn"]


@pytest.fixture(autouse=True)
def _fresh_dynamo():
    torch._dynamo.reset()


def test_the_eager_copy_shows_one_sample_of_the_last_batch(tap_on, desk):
    model = InplaceCnn()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    tap = tap_on(compiled, plan=Plan((Want("conv1", sample=2, gradient=True),), survey=True))
    train(compiled, CASE, steps=1)
    catch = desk.catch
    caught = of(catch, "conv1")
    inputs, _ = CASE.batch(torch.Generator().manual_seed(7))
    with torch.no_grad():
        expected = model.conv1(inputs)[2]  # after the step, as the twin runs at the boundary
    np.testing.assert_allclose(caught.values, expected.numpy(), atol=1e-6)
    assert (catch.source, caught.sample, caught.batch_size) == ("twin", 2, 4)
    assert caught.statistics.minimum < 0
    assert caught.gradient is None
    assert "eager eval-mode copy" in tap.compiled_how
    assert [info.called for info in tap.layers if info.key == "fc"] == [True]


def test_watching_a_compiled_model_compiles_nothing_again(tap_on, desk):
    counters.clear()
    compiled = torch.compile(InplaceCnn(), backend="eager", fullgraph=True)
    tap = tap_on(compiled)
    train(compiled, CASE, steps=2)
    graphs = counters["frames"]["ok"]
    desk.plan = Plan((Want("conv1"),), survey=True)
    train(compiled, CASE, steps=3)
    tap.rest()
    train(compiled, CASE, steps=1)
    assert len(desk.catches) == 3
    assert counters["frames"]["ok"] == graphs


def test_force_eager_sees_the_training_forward_and_its_gradient(tap_on, desk):
    compiled = torch.compile(InplaceCnn(), backend="eager")
    tap = tap_on(compiled, compiled="force_eager", plan=Plan((Want("conv1", gradient=True),)))
    train(compiled, CASE, steps=2)
    caught = of(desk.catch, "conv1")
    assert desk.catch.source == "batch"
    assert caught.gradient is not None
    assert "numerics differ" in tap.compiled_how


def test_force_eager_works_for_models_compiled_in_place(tap_on, desk):
    model = InplaceCnn()
    model.compile(backend="eager")
    tap_on(model, compiled="force_eager")
    train(model, CASE, steps=2)
    assert desk.faults == []


def test_force_eager_is_refused_where_torch_cannot(tap_on, monkeypatch):
    monkeypatch.delattr(torch.compiler, "set_stance")
    with pytest.raises(ValueError, match=r"set_stance \(torch 2.6 or newer\)"):
        tap_on(InplaceCnn(), compiled="force_eager")


def test_an_unknown_choice_is_refused(tap_on):
    with pytest.raises(ValueError, match="must be one of eager_twin, force_eager, got 'no'"):
        tap_on(InplaceCnn(), compiled="no")


def test_a_compiled_submodule_is_shown_by_the_twin(tap_on, desk):
    model = nn.Sequential(InplaceCnn(), nn.Linear(3, 3))
    model[0] = torch.compile(model[0], backend="eager")
    tap = tap_on(model, plan=Plan((Want("0.conv1"), Want("1"))))
    train(model, CASE, steps=1)
    assert tap.compiled_how.startswith("0 is compiled")
    assert [caught.key for caught in desk.catch.caught] == ["0.conv1", "1"]
    assert desk.catch.source == "twin"


def test_a_model_compiled_in_place_says_what_to_do_and_keeps_its_graph(tap_on, desk):
    counters.clear()
    model = InplaceCnn()
    model.compile(backend="eager")
    train(model, CASE, steps=2)
    graphs = counters["frames"]["ok"]
    tap = tap_on(model, plan=Plan((Want("conv1"),)))
    train(model, CASE, steps=3)
    assert counters["frames"]["ok"] == graphs
    assert "give probe= or use torch.compile(model)" in tap.compiled_how
    inputs, _ = CASE.batch(torch.Generator().manual_seed(7))
    assert of(tap.probe(inputs, Plan((Want("conv1"),))), "conv1").values.shape == (4, 8, 8)


def test_a_submodule_compiled_after_look_is_noticed(tap_on, desk):
    model = nn.Sequential(InplaceCnn())
    tap = tap_on(model, plan=Plan((Want("0.conv1"),)))
    model[0].compile(backend="eager")
    train(model, CASE, steps=4)
    assert tap.compiled_how.startswith("0 is compiled")
    assert desk.catches[-1].source == "twin"


def test_names_carry_no_wrapper_prefix(tap_on):
    model = InplaceCnn()
    compiled = torch.compile(model, backend="eager")
    names = [info.key for info in tap_on(compiled).layers]
    assert names == ["input", "conv1", "relu1", "conv2", "relu2", "pool", "fc"]
    assert unwrap(compiled) is model
    assert unwrap(nn.DataParallel(compiled)) is model


def test_parameters_are_read_though_model_compile_hides_the_forwards(tap_on, desk):
    model = nn.Linear(2, 1)
    model.compile(backend="eager")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    tap_on(model, plan=Plan((Want("input"),), statistics=True, parameters=True))
    for _ in range(6):
        optimizer.zero_grad()
        model(torch.ones(3, 2)).sum().backward()
        gradients = [parameter.grad.norm().item() for parameter in model.parameters()]
        optimizer.step()
    step, read = desk.parameters[-1]
    assert step == 6
    assert read.gradient_norms.tolist() == pytest.approx(gradients)
    assert read.norms[0] > 0
    assert desk.faults == []
