"""Training is bitwise the same with and without maps made at every step."""

import copy
import hashlib
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.errors import NoMapError
from tests.attribution.models import PooledLinear
from tests.models import FrozenNorm, StatefulEval

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def fingerprint(model, optimizer=None):
    """Hash everything that a viewer must not touch, bit by bit."""
    digest = hashlib.sha256()

    def put(*things):
        for thing in things:
            if isinstance(thing, torch.Tensor):
                flat = thing.detach().contiguous().reshape(-1).view(torch.uint8)
                digest.update(f"{thing.dtype}{thing.requires_grad}{thing._version}".encode())
                digest.update(flat.numpy().tobytes())
            else:
                digest.update(repr(thing).encode())

    for name, parameter in model.named_parameters():
        put(name, id(parameter), parameter, parameter.grad)
    for name, buffer in model.named_buffers():
        put(name, id(buffer), buffer)
    for name, module in model.named_modules():
        put(name, module.training, *(len(getattr(module, kind)) for kind in HOOKS))
        put(list(vars(module)), list(module._buffers), list(module._parameters))
    for state in optimizer.state.values() if optimizer is not None else ():
        put(*(item for pair in sorted(state.items()) for item in pair))
    put(torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tobytes())  # noqa: NPY002
    put(torch.is_grad_enabled(), torch.is_inference_mode_enabled())
    put(torch.is_autocast_enabled("cpu"), torch.is_autocast_cache_enabled())
    return digest.hexdigest()


class Net(nn.Module):
    """BatchNorm, dropout, in-place ReLU, and a part that is frozen in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen, self.body = FrozenNorm(), PooledLinear()
        self.frozen.fc = nn.Identity()
        self.body.conv1 = nn.Conv2d(4, 6, 3, padding=1)

    def forward(self, x):
        return self.body(self.frozen.bn(self.frozen.conv(x)))


def train(view, *, amp=False, steps=30):
    """Run 30 accumulated steps; return how many views left no trace, and the final hash."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    model = Net().train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    source = torch.Generator().manual_seed(3)
    pinned = torch.randn(2, 1, 10, 10, generator=source)
    clean = 0
    for step in range(steps):
        images = torch.randn(8, 1, 10, 10, generator=source)
        labels = torch.randint(0, 5, (8,), generator=source)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=amp):
            loss = F.cross_entropy(model(images).float(), labels)
            before = fingerprint(model, optimizer)
            view(model, pinned)  # between a forward and its backward, gradients half accumulated
            clean += fingerprint(model, optimizer) == before
        loss.backward()
        if step % 2:
            optimizer.step()
            optimizer.zero_grad(set_to_none=step % 4 == 1)
        random.random()
        np.random.rand()  # noqa: NPY002
    return clean, fingerprint(model, optimizer).encode(), model


def raises(error, model, images, **given):
    with pytest.raises(error):
        nbv.gradcam(model, images, **given)


VIEWS = {
    "last layer": lambda model, x: nbv.gradcam(model, x),
    "all layers": lambda model, x: nbv.gradcam(model, x, layer="all", method="layercam"),
    "refused": lambda model, x: raises(ValueError, model, x, target=77),
    "failed": lambda model, x: raises(RuntimeError, model, x[:, :, 0]),
}


@pytest.mark.parametrize("amp", [False, True], ids=["float32", "bfloat16"])
def test_thirty_steps_of_training_are_bitwise_the_same(amp):
    _, bare, model = train(lambda model, x: None, amp=amp)
    weights = [parameter.clone() for parameter in model.parameters()]
    for name, view in VIEWS.items():
        clean, _, model = train(view, amp=amp)
        assert clean == 30, name
        for mine, expected in zip(model.parameters(), weights, strict=True):
            assert torch.equal(mine, expected), name
    assert bare


class WritesParameters(nn.Module):
    """Moves an average of its weights in every forward, behind the version counter's back."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(4, 3)
        self.average = nn.Parameter(torch.zeros(4, 1, 3, 3), requires_grad=False)

    def forward(self, x):
        self.average.data.lerp_(self.conv.weight.data, 0.5)
        return self.fc(F.conv2d(x, self.average + 0 * self.conv.weight).relu().mean((2, 3)))


def test_a_model_that_writes_its_parameters_in_eval_mode_runs_on_copies_and_the_result_says_so():
    model = nn.Sequential(nn.Conv2d(1, 1, 3), WritesParameters()).eval()
    images = torch.randn(2, 1, 12, 12)
    for _ in range(3):
        before = fingerprint(model)
        result = nbv.gradcam(model, images)
        assert fingerprint(model) == before
        assert "writes state even in eval mode (1.average)" in result.notes[0]
        assert not model[1].average.any()


def test_buffers_and_attributes_written_in_eval_mode_are_put_back_and_named():
    model = StatefulEval()
    conv = nn.Sequential(nn.Conv2d(1, 6, 3), nn.Flatten(), nn.Linear(96, 6), model)
    images = torch.randn(2, 1, 6, 6)
    before = fingerprint(conv)
    result = nbv.gradcam(conv, images)
    with pytest.raises(NoMapError):
        nbv.gradcam(conv, images, layer="3")
    assert fingerprint(conv) == before
    assert (model.calls, model.history, model.seen.tolist()) == (0, [], [0.0, 0.0])
    assert "even in eval mode (3.seen, 3.calls" in result.notes[0]


def test_a_clean_model_runs_on_its_own_parameters_from_the_second_time_on():
    model, images = PooledLinear(), torch.randn(2, 3, 8, 8)
    used = []
    handle = model.conv1.register_forward_pre_hook(lambda m, a: used.append(m.weight is weight))
    weight = model.conv1.weight
    for _ in range(3):
        assert nbv.gradcam(model, images, layer="relu2").notes == ()
    handle.remove()
    assert used == [False, True, True]
    assert model.conv1.weight is weight


def test_the_images_are_not_written_to_nor_asked_for_gradients():
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(32, 3))
    images = torch.randn(2, 1, 6, 6)
    expected = images.clone()
    nbv.gradcam(model, images)
    assert torch.equal(images, expected)
    assert not images.requires_grad


def test_a_deep_copy_or_a_pickle_of_the_model_is_clean_afterwards():
    model = PooledLinear()
    nbv.gradcam(model, torch.randn(1, 3, 8, 8), layer="all")
    twin = copy.deepcopy(model)
    assert all(not getattr(m, kind) for m in twin.modules() for kind in HOOKS)


def test_a_watching_session_does_not_take_the_forward_for_a_training_step():
    torch.manual_seed(0)
    model = PooledLinear()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    session = nbv.watch(model, optimizer, every=1)
    session.on_nonfinite("tell", every_step=True)
    browser = nbv.ActivationBrowser(session, layer="conv1")
    for _ in range(3):
        loss = model(torch.randn(4, 3, 8, 8)).sum()
        nbv.gradcam(model, torch.full((1, 3, 8, 8), torch.nan))
        loss.backward()
        optimizer.step()
        nbv.gradcam(model, torch.randn(2, 3, 8, 8), layer="all")
    session.flush()
    assert (session.step, session.tap.forward) == (3, 3)
    assert browser.frame.shape[0] == 4
    assert session.first_nonfinite is None
    assert session.faults == []
    browser.close()
    session.close()
