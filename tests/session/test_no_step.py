"""Training loops that never make a step, and loops that change the weights by hand."""

import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.capture.stillness import Stillness


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def rules(session):
    return [finding.rule for finding in session.findings()]


def forwards(model, count, after=lambda: None, *, backward=True):
    for _ in range(count):
        loss = model(torch.ones(3, 4)).square().mean()
        if backward:
            loss.backward()
        after()


@pytest.fixture
def session(model):
    session = nbv.watch(model, every=1)
    yield session
    session.close()


def test_a_forgotten_step_is_told(model, session):
    forwards(model, 60)
    assert rules(session) == []  # it may be gradient accumulation
    forwards(model, 10)
    [finding] = session.findings()
    assert finding.rule == "no_step"
    assert finding.title == "No optimizer step changes the model"
    assert finding.evidence.startswith("Before the first step: 69 forwards and gradients, no step")
    assert finding.remedy.startswith("Call optimizer.step() after loss.backward()")
    assert finding.severity == "problem"


def test_steps_of_an_optimizer_of_another_model_are_none(model, session):
    other = torch.optim.SGD(nn.Linear(4, 2).parameters(), lr=0.1)
    forwards(model, 70, other.step)
    assert rules(session) == ["no_step"]


def test_the_first_step_takes_it_back(model, session):
    forwards(model, 70)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    forwards(model, 3, lambda: (optimizer.step(), optimizer.zero_grad()))
    assert rules(session) == []


def test_parameters_are_not_waited_for_where_no_step_comes_and_read_again_when_one_does(
    model, session
):
    forwards(model, 3)
    assert session.tap._course.reading
    forwards(model, 80)
    assert not session.tap._course.reading
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    forwards(model, 3, lambda: (optimizer.step(), optimizer.zero_grad()))
    assert session.statistics.parameters().steps.tolist()[-1] == 3


def test_more_micro_batches_than_that_are_read_once_they_are_known(model, session):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(3):
        forwards(model, 100)
        optimizer.step()
        optimizer.zero_grad()
    assert session.statistics.parameters().steps.tolist()[-2:] == [2, 3]


@pytest.mark.parametrize("how", ["data", "no_grad"])
def test_weights_that_are_changed_by_hand_are_learned(model, session, how):
    def by_hand():
        with torch.no_grad():
            for parameter in model.parameters():
                (parameter.data if how == "data" else parameter).sub_(0.01 * parameter.grad)
                parameter.grad = None

    forwards(model, 80, by_hand)
    assert rules(session) == []


def test_forwards_without_a_backward_are_no_training(model, session):
    forwards(model, 80, backward=False)
    assert rules(session) == []


def test_what_is_told_by_clock_too(model):
    session = nbv.watch(model)
    inspector = nbv.GradientInspector(session)
    session.pause_when("grad_norm(0) > 1e9")  # statistics often: nobody looks in this test
    deadline = session.elapsed_s + 30.0
    while not session.findings() and session.elapsed_s < deadline:
        forwards(model, 20)
    assert rules(session) == ["no_step"]
    inspector.close()
    session.close()


def test_stillness_compares_with_the_last_call(model):
    still = Stillness()
    assert [still.since_last(model), still.since_last(model)] == [False, True]
    model[2].bias.data[1] += 1e-6
    assert [still.since_last(model), still.since_last(model)] == [False, True]


def test_stillness_of_odd_parameters():
    assert not any(Stillness().since_last(module) for module in (nn.Identity(), nn.ReLU()))
    odd = nn.Module()
    odd.empty = nn.Parameter(torch.empty(0))
    odd.sparse = nn.Parameter(torch.eye(3).to_sparse())
    odd.complex = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    odd.low = nn.Parameter(torch.ones(2, 2, dtype=torch.bfloat16))
    odd.frozen = nn.Parameter(torch.ones(3), requires_grad=False)
    odd.lazy = nn.LazyLinear(3)
    odd.meta = nn.Linear(3, 3, device="meta")
    odd.last = nn.Conv2d(3, 5, 3).to(memory_format=torch.channels_last)
    still = Stillness()
    assert [still.since_last(odd), still.since_last(odd)] == [False, True]
    odd.low.data[1, 1] = 2
    assert [still.since_last(odd), still.since_last(odd)] == [False, True]
    odd.last.weight.data[0, 0, 0, 0] += 1
    assert not still.since_last(odd)


def test_gradients_that_are_zeroed_before_the_step_are_told(model, session):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    forwards(model, 20, lambda: (optimizer.zero_grad(), optimizer.step()))
    [finding] = session.findings()
    assert finding.rule == "no_gradient"
    assert finding.title == "No gradient reaches the whole model (steps 1-20)"
    assert finding.remedy.endswith("zero_grad() not in between.")
    forwards(model, 5, lambda: (optimizer.step(), optimizer.zero_grad()))
    assert rules(session) == []


@pytest.mark.parametrize("every", [None, 20])
def test_an_optimizer_that_was_named_and_never_steps_is_told(model, every):
    first = torch.optim.SGD(model[0].parameters(), lr=0.01)
    second = torch.optim.SGD(model[2].parameters(), lr=0.01)
    session = nbv.watch(model, (first, second), every=1)
    for step in range(150):
        forwards(model, 1, lambda: (first.step(), first.zero_grad()))
        if every and step % every == 0:
            second.step()
    assert rules(session) == ([] if every else ["no_optimizer"])
    session.close()
