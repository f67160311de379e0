"""Threads that run the watched model beside the one that trains it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from nbtorchviz.capture.plans import Want
from nbtorchviz.capture.tap import Plan

PLAN = Plan((Want("head"),), statistics=True)


class Net(nn.Module):
    """Holds its callers up between its layers when they ask for it."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False)
        nn.init.eye_(self.body.weight)
        nn.init.ones_(self.head.weight)

    def forward(self, x, between=lambda: None):
        hidden = self.body(x)
        between()
        return self.head(hidden)


@pytest.fixture
def net():
    return Net()


@pytest.fixture
def aside():
    with ThreadPoolExecutor(1) as pool:
        yield pool


def train(net, between=lambda: None):
    net(torch.ones(3, 2), between).sum().backward()
    torch.optim.SGD(net.parameters(), lr=0.0).step()


def serve(net, between=lambda: None):
    with torch.no_grad():
        return net(torch.full((5, 2), 100.0), between)


def assert_of_training(catch):
    assert (catch.phase, catch.caught[0].shape) == ("train", (3, 1))
    assert catch.caught[0].values.tolist() == [2.0]
    numbers = dict(zip(catch.statistics.layers, catch.statistics.statistics, strict=True))
    assert (numbers["body"].count, numbers["body"].maximum) == (6, 1.0)
    assert (numbers["head"].count, numbers["head"].maximum) == (3, 2.0)


def test_a_forward_of_another_thread_inside_the_sampled_one_is_none_of_it(net, desk, tap_on, aside):
    tap_on(net, plan=PLAN)
    train(net, lambda: aside.submit(serve, net).result())
    assert_of_training(desk.catch)
    assert not desk.faults


def test_a_forward_of_another_thread_that_began_before_stays_out(net, desk, tap_on, aside):
    began, go_on = threading.Event(), threading.Event()
    tap_on(net, plan=PLAN)

    def wait():
        began.set()
        assert go_on.wait(30)

    served = aside.submit(serve, net, wait)
    assert began.wait(30)
    try:
        train(net, lambda: (go_on.set(), served.result()))
    finally:
        go_on.set()
    assert_of_training(desk.catch)


def test_a_forward_of_another_thread_before_the_backward_stays_out(net, desk, tap_on, aside):
    tap_on(net, plan=PLAN)
    loss = net(torch.ones(3, 2)).sum()
    aside.submit(serve, net).result()
    loss.backward()
    torch.optim.SGD(net.parameters(), lr=0.0).step()
    assert_of_training(desk.catch)


def test_layers_that_the_sampled_forward_itself_runs_on_another_thread_are_seen(
    desk, tap_on, aside
):
    class Parallel(Net):
        def forward(self, x):
            return self.head(aside.submit(self.body, x).result())

    tap_on(net := Parallel(), plan=PLAN)
    net(torch.ones(3, 2)).sum().backward()
    torch.optim.SGD(net.parameters(), lr=0.0).step()
    assert_of_training(desk.catch)


def test_training_that_was_interrupted_goes_on_on_another_thread(net, desk, tap_on, aside):
    def interrupt():
        raise KeyboardInterrupt

    tap_on(net, plan=PLAN)
    with pytest.raises(KeyboardInterrupt):
        net(torch.ones(3, 2), interrupt)
    for _ in range(2):
        aside.submit(train, net).result()
    assert_of_training(desk.catches[-1])
    assert len(desk.catches) == 2
    train(net)  # and comes back
    assert len(desk.catches) == 3


def test_a_functional_call_with_other_weights_is_read_where_the_optimizer_has_them(
    net, desk, tap_on
):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    tap_on(net, plan=Plan(parameters=True), optimizers=(optimizer,))
    noisy = {name: value + 0.25 for name, value in net.named_parameters()}
    torch.func.functional_call(net, noisy, (torch.ones(3, 2),)).sum().backward()
    optimizer.step()
    ((step, read),) = desk.parameters
    expected = [parameter.grad.norm().item() for parameter in net.parameters()]
    assert step == 1
    assert read.parameters == ("body.weight", "head.weight")
    np.testing.assert_allclose(read.gradient_norms, expected, rtol=1e-6)
    np.testing.assert_allclose(read.update_norms, 0.5 * np.array(expected), rtol=1e-6)
    assert read.states == ("", "")


def test_a_functional_call_leaves_nothing_to_be_read_where_nothing_was_asked_for(net, desk, tap_on):
    tap = tap_on(net, plan=Plan((Want("head"),)))
    noisy = {name: value + 0.25 for name, value in net.named_parameters()}
    torch.func.functional_call(net, noisy, (torch.ones(3, 2),))
    assert not tap._course.reading
