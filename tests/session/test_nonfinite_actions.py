"""What happens when NaN is found, and that nothing else does."""

import copy
import pickle
import random

import numpy as np
import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.errors import NonFiniteError, SessionClosedError
from nbtorchviz.events import FindingRaised
from tests.session import nonfinite_cases as cases


class BreaksLater(nn.Module):
    """Dropout, BatchNorm and random streams; its output is NaN from the fourth forward on."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True), nn.Dropout(0.3)
        )
        self.head = nn.Linear(8, 4)
        self.forwards = 0

    def forward(self, x):
        self.forwards += 1
        y = self.head(self.body(x)) + random.random() * float(np.random.rand())  # noqa: NPY002
        return y / 0.0 * 0.0 if self.forwards == 4 else y


@pytest.fixture(autouse=True)
def _seeded():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002


@pytest.fixture
def sick():
    model = cases.Nested(cases.Log())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    session = nbv.watch(model, optimizer)
    yield model, optimizer, session
    assert session.faults == []
    session.close()


def train(model, optimizer, steps=6):
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(8, 4)).pow(2).mean().backward()
        optimizer.step()


def everything(model, optimizer):
    tensors = [*model.state_dict().values(), *(p.grad for p in model.parameters())]
    state = optimizer.state_dict()["state"].values()
    tensors += [v for values in state for v in values.values() if isinstance(v, torch.Tensor)]
    numbers = [t.detach().clone().numpy().tobytes() for t in tensors]
    streams = torch.get_rng_state().numpy().tobytes(), random.getstate()
    own = np.random.get_state()[1].tobytes()  # noqa: NPY002
    modes = [module.training for module in model.modules()], torch.is_grad_enabled()
    return numbers, streams, own, modes


@pytest.mark.parametrize("every_step", [True, False])
def test_training_is_bitwise_the_same_with_a_trace_in_the_middle(every_step):
    ended = []
    for armed in (False, True):
        torch.manual_seed(1)
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        model = BreaksLater()
        optimizer = torch.optim.Adam(model.parameters())
        session = nbv.watch(model, optimizer)
        if armed:
            session.on_nonfinite("tell", every_step=every_step)
        train(model, optimizer)
        ended.append(everything(model, optimizer))
        if armed and every_step:
            assert session.first_nonfinite.step == 4
        assert session.faults == []
        session.close()
    assert ended[0] == ended[1]


def test_told_hooks_are_gone_after_the_step_and_training_goes_on(sick):
    model, optimizer, session = sick
    session.on_nonfinite("tell", every_step=True)
    told = []
    session.bus.subscribe(FindingRaised, told.append, inline=True)
    train(model, optimizer)
    assert session.step == 6
    assert [found.rule for found in told] == ["first_nonfinite"]
    assert "clamp" in told[0].remedy
    assert not any(module._forward_hooks for module in model.modules())


def test_raise_comes_out_of_the_step_that_broke(sick):
    model, optimizer, session = sick
    session.on_nonfinite("raise", every_step=True)
    with pytest.raises(NonFiniteError, match=r"First NaN at step 1, forward: log in head\.loss"):
        train(model, optimizer)
    assert session.step == 1


def test_raise_needs_no_every_step(sick):
    model, optimizer, session = sick
    session.on_nonfinite("raise")
    with pytest.raises(NonFiniteError):
        train(model, optimizer)


def test_stop_ends_a_live_block_cleanly(sick):
    model, optimizer, session = sick
    session.on_nonfinite("stop", every_step=True)
    with session.live():
        train(model, optimizer)
    assert session.ended == "stopped"
    assert session.step == 1


def test_stop_ends_a_background_run(sick):
    model, optimizer, session = sick
    session.on_nonfinite("stop", every_step=True)
    run = session.train_in_background(lambda: train(model, optimizer))
    run.join(90)
    assert session.ended == "stopped"
    assert session.first_nonfinite.op == "log"


def test_raise_in_a_background_run_is_its_exception(sick):
    model, optimizer, session = sick
    session.on_nonfinite("raise", every_step=True)
    run = session.train_in_background(lambda: train(model, optimizer))
    with pytest.raises(NonFiniteError):
        run.join(90)
    assert session.ended == "failed"


def test_stop_pauses_a_plain_loop(sick):
    model, optimizer, session = sick
    held = []
    session.gate.listen(lambda state: (held.append(state), session.gate.resume()))
    session.sender.message_in("a view")  # a browser that can resume
    session.on_nonfinite("stop", every_step=True)
    train(model, optimizer)
    assert "pausing" in held
    assert session.step == 6


def test_stop_that_could_not_be_ended_lets_training_go_on(sick):
    model, optimizer, session = sick
    session.gate._refuse = lambda action: "no browser"
    session.on_nonfinite("stop", every_step=True)
    train(model, optimizer)
    assert session.step == 6
    assert any("no browser" in flag.text for flag in session.metrics.flags)


def test_acts_though_every_step_is_skipped():
    model = cases.Nested(cases.Log())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu")
    session = nbv.watch(model, optimizer)
    session.on_nonfinite("raise", every_step=True)

    def train_scaled():
        for _ in range(8):
            optimizer.zero_grad()
            scaler.scale(model(torch.randn(8, 4)).sum()).backward()
            scaler.step(optimizer)
            scaler.update()

    with pytest.raises(NonFiniteError):
        train_scaled()
    assert session.faults == []
    session.close()


def test_without_the_call_the_layer_is_named_once():
    model = nn.Sequential(nn.Linear(4, 4), cases.Log(), nn.Linear(4, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    session = nbv.watch(model, optimizer, every=1)
    session.tap.look()
    train(model, optimizer)
    report = session.first_nonfinite
    assert (report.direction, report.layer, report.step) == ("unknown", "1", 1)
    assert "seen in the output of 1" in report.text
    assert "session.on_nonfinite('tell')" in report.text
    session.close()


@pytest.mark.parametrize("action", ["pause", "", 3])
def test_an_unknown_action_is_refused(sick, action):
    with pytest.raises(ValueError, match=r"takes 'stop', 'raise', 'tell' or None, got"):
        sick[2].on_nonfinite(action)


def test_every_step_of_nothing_is_refused(sick):
    with pytest.raises(ValueError, match="every_step=True needs an action"):
        sick[2].on_nonfinite(None, every_step=True)


def test_a_closed_session_is_refused(sick):
    sick[2].close()
    with pytest.raises(SessionClosedError):
        sick[2].on_nonfinite("tell")


def test_none_takes_every_hook_off(sick):
    model, optimizer, session = sick
    session.on_nonfinite("raise", every_step=True)
    session.on_nonfinite(None)
    train(model, optimizer)
    assert session.first_nonfinite is None
    assert not any(module._forward_hooks for module in model.modules())


def test_an_armed_model_can_be_copied_and_pickled(sick):
    model, _, session = sick
    session.on_nonfinite("raise", every_step=True)
    pickle.loads(pickle.dumps(model))(torch.randn(8, 4))
    copy.deepcopy(model)(torch.randn(8, 4))
    assert session.first_nonfinite is None


class Batch:
    def __init__(self, x):
        self.x = x


class TakesBatch(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)

    def forward(self, batch):
        return self.first(batch.x).log()


def test_a_batch_that_cannot_be_kept_is_said():
    model = TakesBatch()
    session = nbv.watch(model)
    session.on_nonfinite("tell", every_step=True)
    model(Batch(torch.randn(8, 4)))
    report = session.first_nonfinite
    assert report.direction == "unknown"
    assert not report.replayed
    assert "An argument of type Batch cannot be kept." in report.text
    session.close()


def test_a_batch_that_was_overwritten_is_said():
    model = nn.Linear(4, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    session = nbv.watch(model, optimizer)
    session.on_nonfinite("tell", every_step=True)
    x = torch.randn(8, 4)
    model(x).sum().backward()
    model.weight.grad[0, 0] = torch.nan
    x.zero_()
    optimizer.step()
    assert "overwritten in place" in session.first_nonfinite.text
    assert "the gradient of weight" in session.first_nonfinite.text
    session.close()


class RandomBreak(nn.Module):
    """Breaks where a random number that the model draws is small."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)

    def forward(self, x):
        y = self.first(x)
        return (y * 0 + torch.rand(()) - 0.1).log()


def test_random_numbers_are_drawn_again():
    model = RandomBreak()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    session = nbv.watch(model, optimizer)
    session.on_nonfinite("tell", every_step=True)
    train(model, optimizer, steps=200)
    assert session.first_nonfinite.op == "log"
    assert session.first_nonfinite.step > 1
    session.close()


def test_a_run_that_cannot_be_repeated_says_so():
    class Breaks(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(4, 4)

        def forward(self, x):
            return self.first(x) * (torch.nan if forwards.pop() else 1.0)

    forwards = [False] * 5 + [True, False, False]
    model = Breaks()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    session = nbv.watch(model, optimizer)
    session.on_nonfinite("tell", every_step=True)
    train(model, optimizer, steps=4)
    report = session.first_nonfinite
    assert (report.direction, report.step) == ("unknown", 3)
    assert "Running the batch again stayed finite" in report.text
    session.close()


def test_a_model_that_dies_armed_is_let_go():
    import gc
    import weakref

    model = nn.Linear(4, 4)
    session = nbv.watch(model)
    session.on_nonfinite("tell", every_step=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    train(model, optimizer)
    weight, alive = weakref.ref(model.weight), weakref.ref(model)
    del model, optimizer
    gc.collect()
    assert alive() is None
    assert weight() is None
    session.close()
