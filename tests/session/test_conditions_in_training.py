"""Breakpoints in a real training: what is raised, named and logged there."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

import nbtorchviz as nbv


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
