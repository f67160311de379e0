"""Breakpoints in a real training: what is raised, named and logged there."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.errors import ConditionError


@pytest.fixture
def half_trained():
    """A session of a model of which the optimizer was given the first layer only."""
    block = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    named = {"fc1": nn.Linear(2, 3), "fc2": nn.Linear(3, 3), "block": block, "fc3": nn.Linear(3, 2)}
    model = nn.Sequential(OrderedDict(named))
    optimizer = torch.optim.SGD(model.fc1.parameters(), lr=0.25)
    session = nbv.watch(model, optimizer, every=1)
    yield session, lambda count, **numbers: train(session, optimizer, count, **numbers)
    session.close()


def train(session, optimizer, count, **numbers):
    for _ in range(count):
        optimizer.zero_grad()
        session.model(torch.ones(4, 2)).sum().backward()
        if numbers:
            session.log(**numbers)
        optimizer.step()


@pytest.mark.parametrize("layer", ["fc2", "fc3", "fc3.weight", "block", "block.1", "*1.bias"])
def test_a_finding_is_one_of_every_layer_it_was_raised_for(half_trained, layer):
    session, run = half_trained
    point = session.pause_when(f"finding(no_optimizer, {layer})")
    asked = session.pause_when(lambda facts: facts.finding("no_optimizer", layer))
    other = session.pause_when("finding(no_optimizer, fc1)")
    run(4, loss=1.0)
    [finding] = session.findings()
    assert finding.layer == "fc2"
    assert (point.hits, asked.hits, other.hits) == (1, 1, 0)
    assert "finding no_optimizer at " in point.last.why


def test_a_finding_is_one_of_layers_beyond_those_it_lists():
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(140)))
    for at in range(1, 140, 2):
        model[at].weight.requires_grad_(False)
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.25)
    session = nbv.watch(model, optimizer, every=1)
    try:
        point = session.pause_when("finding(no_optimizer, 139)")
        train(session, optimizer, 4, loss=1.0)
        [finding] = session.findings()
        assert "139" not in " ".join(finding.layers)
        assert point.last.why == "finding no_optimizer at 139.bias"
    finally:
        session.close()


def test_a_metric_whose_name_reads_as_arithmetic_is_named_while_it_is_waited_for(half_trained):
    session, run = half_trained
    point = session.pause_when("val/loss > 3")
    chain = session.pause_when("loss > 3 and train/loss-ema/total > 1")
    run(1, loss=1.0)
    assert point.state == "waiting for val"
    run(1, loss=9.0, **{"val/loss": 9.0, "train/loss-ema/total": 2.0})
    assert point.state == "waiting for val: did you mean metric(val/loss)?"
    assert chain.state.endswith("total: did you mean metric(train/loss-ema/total)?")
    run(1, val=9.0)
    assert point.state == "armed"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mean > 3", r"mean is a function: write mean\(layer\), or metric\(mean\) for a number"),
        ("isnan(max)", r"write max\(layer\), or metric\(max\)"),
        ("best > 3", r"write best\(metric\), or metric\(best\)"),
        ("isnan > 3", r"write isnan\(number\)"),
        ("finding > 3", r"write finding\(rule\)"),
    ],
)
def test_a_function_without_what_it_takes_is_refused_unless_a_metric_has_its_name(
    half_trained, text, message
):
    session, run = half_trained
    with pytest.raises(ConditionError, match=message):
        session.pause_when(text)
    name = text.removeprefix("isnan(").rstrip(") >3")
    run(1, **{name: 2.0})
    session.pause_when(text)
    session.pause_when(f"metric({name}) > 3")


def test_bare_names_of_the_whole_model_and_the_rate_are_looked_up(half_trained):
    session, run = half_trained
    norm, rate = session.pause_when("grad_norm > 0"), session.pause_when("0.2 < lr < 0.3")
    asked = session.pause_when(lambda facts: facts.lr == 0.25)
    run(3)
    assert (norm.hits, rate.hits, asked.hits) == (1, 1, 1)
    logged = session.pause_when("lr > 5")
    run(1, lr=6.0)
    assert logged.last.why == "lr = 6 > 5"


def test_the_rate_is_the_largest_of_all_groups():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    groups = [{"params": model[0].parameters()}, {"params": model[1].parameters(), "lr": 0.5}]
    optimizer = torch.optim.SGD(groups, lr=torch.tensor(0.25))
    session = nbv.watch(model, optimizer)
    assert session.tap.largest_rate == 0.5
    session.close()
