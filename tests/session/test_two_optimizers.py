"""Two optimizers stepped one after the other: a step is read when the second has stepped."""

import math
import threading

import pytest
import torch
from torch import nn

import nbtorchviz as nbv

LONG_S = 30.0


class Halves:
    """A model of which each half has an optimizer; the first one's steps are counted."""

    def __init__(self, *, named):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        self.first = torch.optim.SGD(self.model[0].parameters(), lr=0.01)
        self.second = torch.optim.SGD(self.model[2].parameters(), lr=0.01)
        both = (self.first, self.second) if named else ()
        self.session = nbv.watch(self.model, both, every=1)
        self.norms = []

    def train(self, count, factors=()):
        """Make steps; ``factors`` multiply the loss at the steps of which they tell."""
        for _ in range(count):
            factor = dict(factors).get(self.session.step + 1, 1.0)
            self.first.zero_grad()
            self.second.zero_grad()
            (self.model(torch.ones(3, 4)).square().mean() * factor).backward()
            grads = [p.grad for p in self.model[2].parameters()]
            self.norms.append(float(nn.utils.get_total_norm(grads)))
            self.first.step()
            self.second.step()


@pytest.fixture(params=[True, False], ids=["named", "found"])
def halves(request):
    halves = Halves(named=request.param)
    halves.train(1)  # an optimizer that was not named is known from its first step on
    yield halves
    halves.session.close()


def test_the_last_step_is_read(halves):
    halves.train(2)
    history = halves.session.statistics.parameters()
    assert history.steps.tolist() == [1, 2, 3]
    rows = [history.rows.index(name) for name in ("2.weight", "2.bias")]
    norm = math.hypot(*history.columns["gradient_norms"][rows, -1])
    assert norm == pytest.approx(halves.norms[-1], rel=1e-5)


def test_a_breakpoint_on_the_second_half_names_the_step_itself(halves):
    point = halves.session.pause_when("grad_norm(2) > 100")
    halves.train(4, {3: 1e4})
    assert (point.hits, point.last.step) == (1, 3)
    assert f"{halves.norms[2]:.4g}"[:3] in point.last.why


def test_training_is_held_before_the_next_forward_and_a_single_step_is_one_step(halves):
    session, held = halves.session, []
    news = threading.Condition()

    def tell(state):
        if state == "paused" and threading.current_thread() is loop:
            with news:
                held.append((session.step, len(halves.norms)))
                news.notify_all()

    loop = threading.Thread(target=halves.train, args=(5, {3: 1e4}))
    session.gate.listen(tell)
    session.pause_when("grad_norm(2) > 100", unattended=True)
    loop.start()
    try:
        with news:
            assert news.wait_for(lambda: len(held) == 1, LONG_S)
        session.gate.step()
        with news:
            assert news.wait_for(lambda: len(held) == 2, LONG_S)
    finally:
        session.gate.resume()
        loop.join(LONG_S)
    assert not loop.is_alive()
    assert held == [(3, 3), (4, 4)]  # the second: steps that were begun
    assert session.step == 6


def test_a_function_that_asks_for_no_statistics_is_asked_once_a_step(halves):
    asked = []
    halves.session.pause_when(lambda facts: asked.append(facts.step) or False)
    halves.train(3)
    assert asked == [2, 3, 4]
