"""Training with and without a tap is the same, bit for bit."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nbtorchviz.capture.plans import WeightWant
from nbtorchviz.capture.tap import Plan, Want
from tests.capture.desk import hook_count
from tests.models import ZOO, Gan, InplaceCnn, train


class Planner:
    """Random plans, drawn from a stream of their own."""

    def __init__(self, tap):
        self.tap, self.random, self.count = tap, random.Random(5), 0

    def __call__(self):
        self.count += 1
        infos = [info for info in self.tap.layers if info.called is not False]
        chosen = self.random.sample(infos, min(3, len(infos)))
        wants = [
            Want(
                info.key,
                path=self.random.choice(info.paths),
                sample=self.random.randrange(4),
                limit=self.random.choice([20, 250_000]),
                gradient=self.random.random() < 0.7,
                exact=self.random.random() < 0.5,
            )
            for info in chosen
        ]
        model = self.tap.model
        names = [name for name, _ in model.named_parameters()]
        return Plan(
            tuple(wants),
            survey=self.count % 2 == 1,
            statistics=self.count % 3 == 0,
            parameters=self.count % 2 == 0,
            weights=tuple(
                WeightWant(
                    name, part=self.random.choice([None, 0]), limit=self.random.choice([5, 250_000])
                )
                for name in self.random.sample(names, min(2, len(names)))
            ),
        )


def state_of(model, optimizer=None):
    """Every byte that training depends on."""
    parts = dict(model.state_dict(keep_vars=False))
    tensors = {name: tensor.clone() for name, tensor in parts.items()}
    tensors["cpu stream"] = torch.get_rng_state()
    for index, parameter in enumerate(model.parameters()):
        if parameter.grad is not None:
            tensors[f"grad {index}"] = parameter.grad.to_dense().clone()
    if optimizer is not None:
        for index, values in optimizer.state_dict()["state"].items():
            for name, value in values.items():
                if isinstance(value, torch.Tensor):
                    tensors[f"optimizer {index} {name}"] = value.clone()
    python = (random.getstate(), np.random.get_state()[1].tobytes())  # noqa: NPY002
    return tensors, python, [m.training for m in model.modules()]


def assert_same(one, other):
    assert one[0].keys() == other[0].keys()
    for name, tensor in one[0].items():
        assert torch.equal(tensor.isnan(), other[0][name].isnan()), name
        assert torch.equal(tensor.nan_to_num(), other[0][name].nan_to_num()), name
    assert one[1:] == other[1:]


def both(build, loop, tap_on, desk, *, wrap=lambda model: model, **options):
    """Run ``loop`` bare and watched; compare all state."""
    states = []
    for watched in (False, True):
        torch.manual_seed(11)
        random.seed(11)
        np.random.seed(11)  # noqa: NPY002
        model = build()
        used = wrap(model)
        if watched:
            tap = tap_on(used, **options)
            desk.choose = Planner(tap)
        optimizer = loop(used)
        states.append(state_of(model, optimizer))
    assert_same(*states)
    assert not desk.faults, desk.faults
    return tap, model


@pytest.mark.parametrize("name", [name for name in ZOO if name != "stateful_eval"])
def test_zoo_trains_the_same(name, tap_on, desk):
    case = ZOO[name]
    tap, model = both(case.build, lambda model: train(model, case, steps=6), tap_on, desk)
    assert len(desk.catches) == 6
    assert any(catch.caught for catch in desk.catches)
    tap.rest()
    assert hook_count(model) == 0


@pytest.mark.parametrize("name", ["inplace_cnn", "norm_dropout", "transformer", "stateful_eval"])
def test_probes_from_every_boundary_leave_no_trace(name, tap_on, desk):
    case = ZOO[name]
    inputs, _ = case.batch(torch.Generator().manual_seed(3))
    probes = []

    def probe(boundary):
        infos = [info for info in tap_on.tap.layers if info.called]
        plan = Plan(tuple(Want(info.key) for info in infos), statistics=True)
        probes.append(tap_on.tap.probe(inputs, plan))

    def loop(model):
        if hasattr(tap_on, "tap"):
            desk.on_boundary = probe
        return train(model, case, steps=6)

    class Keep:
        def __call__(self, model, **options):
            self.tap = build(model, **options)
            return self.tap

    build, tap_on = tap_on, Keep()
    both(case.build, loop, tap_on, desk)
    assert len(probes) == 6
    assert all(caught.statistics.count for caught in probes[-1].caught)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("name", ["inplace_cnn", "norm_dropout"])
def test_compiled_models_train_the_same(name, backend, tap_on, desk):
    case = ZOO[name]
    torch._dynamo.reset()

    def wrap(model):
        return torch.compile(model, backend=backend, fullgraph=True)

    both(case.build, lambda model: train(model, case, steps=4), tap_on, desk, wrap=wrap)
    assert {catch.source for catch in desk.catches} == {"twin"}


def test_hooks_present_before_compilation_trace_to_nothing(tap_on, desk):
    case = ZOO["inplace_cnn"]

    def loop(model):
        torch._dynamo.reset()
        return train(torch.compile(model, backend="aot_eager", fullgraph=True), case, steps=4)

    tap, _ = both(case.build, loop, tap_on, desk)
    assert desk.catches == []
    assert "no hook was called" in tap.compiled_how


def test_autocast_trains_the_same_also_with_probes_inside(tap_on, desk):
    case = ZOO["inplace_cnn"]
    inputs, labels = case.batch(torch.Generator().manual_seed(3))
    taps = []

    def loop(model):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(4):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                if taps:
                    taps[0].probe(inputs, Plan((Want("conv1"),)))
                loss = F.cross_entropy(model(inputs), labels)
            loss.backward()
            optimizer.step()
        return optimizer

    def build(model, **options):
        taps.append(tap_on(model, **options))
        return taps[0]

    both(case.build, loop, build, desk)
    assert any(c.dtype == "bfloat16" for catch in desk.catches for c in catch.caught)


def test_accumulation_trains_the_same_and_one_step_is_one_boundary(tap_on, desk):
    case = ZOO["norm_dropout"]
    inputs, labels = case.batch(torch.Generator().manual_seed(3))

    def loop(model):
        optimizer = torch.optim.Adam(model.parameters())
        for _ in range(3):
            optimizer.zero_grad()
            for _ in range(3):
                F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
        return optimizer

    tap, _ = both(case.build, loop, tap_on, desk)
    assert (tap.step, tap.forward) == (3, 9)
    assert [(b.kind, b.step) for b in desk.boundaries] == [("step", 1), ("step", 2), ("step", 3)]
    assert [catch.micro for catch in desk.catches] == [0, 0, 0]


def test_lbfgs_trains_the_same_and_one_step_is_one_boundary(tap_on, desk):
    case = ZOO["shared"]
    inputs, labels = case.batch(torch.Generator().manual_seed(3))

    def loop(model):
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4)

        def closure():
            optimizer.zero_grad()
            loss = F.cross_entropy(model(inputs), labels)
            loss.backward()
            return loss

        for _ in range(2):
            optimizer.step(closure)

    tap, _ = both(case.build, loop, tap_on, desk)
    assert tap.step == 2
    assert tap.forward > 4
    assert [b.step for b in desk.boundaries if b.kind == "step"] == [1, 2]


def test_gan_pair_trains_the_same_and_counts_its_first_optimizer(tap_on, desk):
    def loop(model):
        first = torch.optim.Adam(model.discriminator.parameters())
        second = torch.optim.Adam(model.generator.parameters())
        real = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
        noise = torch.randn(4, 4, generator=torch.Generator().manual_seed(2))
        for _ in range(3):
            model.zero_grad()
            fake = model(noise).mean()
            (fake - model(real, "discriminator").mean()).backward()
            first.step()
            model.zero_grad()
            (-model(noise).mean()).backward()
            second.step()
        return first

    tap, _ = both(Gan, loop, tap_on, desk)
    assert tap.step == 3
    assert [boundary.step for boundary in desk.boundaries] == [1, 2, 3]


def test_gradient_penalty_trains_the_same(tap_on, desk):
    def loop(model):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            inputs = torch.ones(4, 6).requires_grad_()
            optimizer.zero_grad()
            out = model(inputs)
            (slope,) = torch.autograd.grad(out.sum(), inputs, create_graph=True)
            (out.sum() + slope.pow(2).sum()).backward()
            optimizer.step()
        return optimizer

    both(lambda: nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 1)), loop, tap_on, desk)


def test_hooks_that_fail_at_every_place_change_nothing(tap_on, desk, monkeypatch):
    from nbtorchviz.capture import course, spreads, windows

    def broken(*args, **kwargs):
        raise RuntimeError("broken on purpose")

    case = ZOO["inplace_cnn"]
    torch.manual_seed(11)
    bare = InplaceCnn()
    expected = state_of(bare, train(bare, case, steps=2))
    places = [
        (windows, "cut"), (windows, "leaves"), (windows, "develop"), (windows, "own_inputs"),
        (spreads, "spread_any"), (spreads, "SpreadHook"), (spreads.Spreads, "develop"),
        (windows, "zeros_of"), (windows, "GradientHook"),
        (windows.Window, "enter"), (windows.Window, "leave"), (windows.Window, "develop"),
        (course.Course, "_watch_blindness"), (type(desk), "next_plan"), (type(desk), "at_boundary"),
        (type(desk), "wanted_phase"), (type(desk), "forward_began"), (type(desk), "fault"),
    ]  # fmt: skip
    for owner, name in places:
        torch.manual_seed(11)
        model = InplaceCnn()
        desk.plan = Plan((Want("conv1", gradient=True),), survey=True, statistics=True)
        watching = tap_on(model)
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, broken)
            got = state_of(model, train(model, case, steps=2))
        assert_same(expected, got)
        watching.close()
        assert hook_count(model) == 0, name
    assert desk.faults
