import math
from dataclasses import replace

import pytest
import torch

import nbtorchviz as nbv
from nbtorchviz.analysis.findings.finding import HEALTHY, UNSURE, Health
from nbtorchviz.analysis.findings.reach_rules import (
    GradientMemory,
    no_gradient,
    no_optimizer,
    no_update,
    zero_gradient,
)
from tests.analysis.findings.events import row


def test_no_optimizer_tells_the_gradient_that_is_lost():
    verdict = no_optimizer(row("fc.weight", state="no optimizer", gradient=0.25))
    assert verdict.claim == "No optimizer updates {who}"
    assert verdict.evidence == "fc.weight: gradient norm 0.25, never applied"
    unread = no_optimizer(row("fc.weight", state="no optimizer", gradient=math.nan))
    assert unread.evidence == "fc.weight asks for a gradient, and no optimizer was given it"
    assert no_optimizer(row("fc.weight")) is HEALTHY


def test_no_gradient_needs_others_that_have_one():
    unused = row("fc.weight", state="unused", gradient=math.nan)
    assert no_gradient(unused, others=True).evidence == "fc.weight.grad is None after backward"
    assert no_gradient(unused, others=False) is UNSURE
    assert no_gradient(row("fc.weight"), others=True) is HEALTHY


def test_what_is_frozen_or_not_read_is_not_remembered_as_a_gradient():
    memory = GradientMemory()
    unread = row("c.weight", state="no optimizer", gradient=math.nan)
    lost = row("d.weight", state="no optimizer")
    memory.add(
        [row("a.weight", state="frozen", gradient=math.nan), row("b.weight"), unread, lost], 7
    )
    assert [memory.last(f"{name}.weight") for name in "abcd"] == [None, 7, None, 7]


def test_a_stretch_without_a_gradient_is_counted_and_ended_by_one():
    memory = GradientMemory()
    unused = row("a.weight", state="unused", gradient=math.nan)
    memory.add([row("a.weight"), row("b.weight")], 0)
    assert not memory.comes_and_goes
    for step in range(1, 4):
        memory.add([unused, row("b.weight")], step)
    assert (memory.missed("a.weight"), memory.missed("b.weight")) == (3, 0)
    assert memory.comes_and_goes
    memory.add([row("a.weight"), row("b.weight")], 4)
    assert memory.missed("a.weight") == 0


def test_parameters_that_are_gone_are_forgotten():
    memory = GradientMemory()
    memory.add([row(f"{name}.weight") for name in "abc"], 0)
    memory.keep(("b.weight",))
    assert (memory.last("a.weight"), memory.last("b.weight")) == (None, 0)


def test_a_zero_gradient_is_told_apart_from_a_missing_and_a_small_one():
    assert zero_gradient(row("a.weight", gradient=0.0), others=True).health is Health.SICK
    assert zero_gradient(row("a.weight", gradient=0.0), others=False) is UNSURE
    assert zero_gradient(row("a.weight", gradient=math.nan), others=True) is UNSURE
    assert zero_gradient(row("a.weight", gradient=1e-30), others=True) is HEALTHY


def test_an_update_lost_in_rounding_by_hand():
    verdict = no_update(row("a.weight", gradient=0.5, update=1e-9, weight=2.0, rate=1e-5))
    assert verdict.evidence == (
        "a.weight: gradient norm 0.5, update norm 1e-9, weight norm 2, learning rate 1e-5"
    )
    assert no_update(row("a.weight", update=1e-8, weight=2.0)) is UNSURE  # 5e-9
    assert no_update(row("a.weight", update=1e-6, weight=2.0)) is HEALTHY


def test_a_parameter_that_has_arrived_needs_no_update():
    still = row("a.weight", gradient=1e-6, update=1e-9, weight=2.0)
    assert no_update(still).health is Health.SICK
    assert no_update(still, moved_by=0.5) is UNSURE
    assert no_update(replace(still, gradient=0.1), moved_by=0.5).health is Health.SICK
    stopped = no_update(replace(still, rate=0.0, update=0.0), moved_by=0.5)
    assert stopped.claim.startswith("Learning rate 0")


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_regression_that_has_converged_is_healthy(momentum):
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    inputs = torch.randn(256, 4)
    targets = inputs @ torch.tensor([[1.0], [2.0], [3.0], [4.0]]) + 0.5 * torch.randn(256, 1)
    rate = 0.05 if momentum else 0.1
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum)
    session = nbv.watch(model, optimizer, every=1)
    inspector = nbv.GradientInspector(session)
    for _ in range(400):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()
    session.flush()
    assert inspector.norms()
    assert [found.title for found in session.findings()] == []
    inspector.close()
    session.close()


def test_a_learning_rate_of_zero_is_named():
    assert no_update(row("a.weight", update=0.0, rate=0.0)).claim.startswith("Learning rate 0")


def test_an_update_that_was_not_measured_says_nothing():
    assert no_update(row("a.weight", update=math.nan)) is UNSURE


@pytest.mark.parametrize("state", ["frozen", "unused", "no optimizer", "skipped (inf)"])
def test_what_is_not_trained_needs_no_update(state):
    assert no_update(row("a.weight", update=0.0, state=state)) is HEALTHY
    assert zero_gradient(row("a.weight", gradient=0.0, state=state), others=True) is HEALTHY


def test_frozen_is_no_finding():
    frozen = row("a.weight", state="frozen", gradient=math.nan, update=math.nan)
    assert no_optimizer(frozen) is no_gradient(frozen, others=True) is no_update(frozen) is HEALTHY
