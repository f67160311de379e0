import gc
import threading
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nbtorchviz.capture import tensors, windows
from nbtorchviz.capture.leaves import leaves
from nbtorchviz.capture.tap import Plan, Want
from nbtorchviz.capture.tensors import MOST_NEURONS
from tests.capture.desk import ROOT_HOOKS, hook_count, of
from tests.models import ZOO, Checkpointed, InplaceCnn, Residual, train


@pytest.fixture
def negate_then_relu():
    conv = nn.Conv2d(1, 1, kernel_size=1, bias=False)
    nn.init.constant_(conv.weight, -1.0)
    return nn.Sequential(conv, nn.ReLU(inplace=True))


def step(model, inputs, loss=lambda out: out.sum(), optimizer=None):
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.0)
    loss(model(inputs)).backward()
    optimizer.step()


def test_activation_is_the_layers_own_output_despite_inplace_relu(negate_then_relu, desk, tap_on):
    tap_on(negate_then_relu, plan=Plan((Want("0"), Want("1"))))
    step(negate_then_relu, torch.ones(2, 1, 2, 2))
    assert of(desk.catch, "0").values.tolist() == [[[-1.0, -1.0], [-1.0, -1.0]]]
    assert of(desk.catch, "0").statistics.minimum == -1.0
    assert of(desk.catch, "1").statistics.zero_share == 1.0
    assert of(desk.catch, "0").channel_zero.tolist() == [False]
    assert of(desk.catch, "1").channel_zero.tolist() == [True]


@pytest.mark.parametrize(("size", "followed"), [(3, True), (MOST_NEURONS + 1, False)])
def test_neurons_that_are_zero_in_the_whole_batch_are_found(size, followed, desk, tap_on):
    model = nn.Sequential(nn.Linear(2, size, bias=False), nn.ReLU())
    nn.init.constant_(model[0].weight, 1.0)
    with torch.no_grad():
        model[0].weight[1] = -1.0
    tap_on(model, plan=Plan((Want("1"),)))
    step(model, torch.ones(4, 2))
    zero = of(desk.catch, "1").channel_zero
    assert (zero is not None) == followed
    if followed:
        assert zero.tolist() == [False, True, False]


def test_caught_values_own_their_memory(negate_then_relu, desk, tap_on):
    tap_on(negate_then_relu, plan=Plan((Want("0"),)))
    step(negate_then_relu, torch.ones(2, 1, 2, 2))
    values = of(desk.catch, "0").values
    assert values.flags.owndata
    assert values.dtype == np.float32


def test_gradient_is_the_one_before_the_inplace_operation(desk, tap_on):
    model = InplaceCnn()
    inputs = torch.randn(4, 1, 10, 10)
    reference = InplaceCnn()
    reference.load_state_dict(model.state_dict())
    reference.relu1.inplace = reference.relu2.inplace = False
    conv = reference.conv1(inputs)
    conv.retain_grad()
    rest = reference.relu2(reference.conv2(reference.relu1(conv)))
    reference.fc(reference.pool(rest).flatten(1)).pow(2).sum().backward()
    tap_on(model, plan=Plan((Want("conv1", sample=2, gradient=True),)))
    step(model, inputs, lambda out: out.pow(2).sum())
    caught = of(desk.catch, "conv1")
    np.testing.assert_allclose(caught.gradient.values, conv.grad[2].numpy(), atol=1e-7)
    np.testing.assert_array_equal(caught.values, conv[2].detach().numpy())
    assert caught.backwards == 1


@pytest.mark.parametrize("name", ["structured", "shared", "lstm", "gru", "transformer", "residual"])
def test_gradients_of_every_call_equal_autograds_own(name, desk, tap_on):
    case = ZOO[name]
    model = case.build()
    inputs, labels = case.batch(torch.Generator().manual_seed(1))
    tap = tap_on(model, plan=Plan(survey=True))
    torch.manual_seed(3)
    F.cross_entropy(model(inputs), labels).backward()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    optimizer.step()
    wants = [
        Want(info.key, path=path, gradient=True)
        for info in tap.layers
        if info.called and info.key != "input"
        for path in info.paths
    ]
    desk.plan = Plan(tuple(wants))
    expected = {}

    def keep(key):
        def hook(module, args, output, counts={}):  # noqa: B006
            call = counts[key] = counts.get(key, -1) + 1
            for path, leaf in leaves(output):
                if leaf.requires_grad:
                    leaf.register_hook(
                        lambda g, at=(f"{key}#{call}" if call else key, path): expected.update(
                            {at: g.clone()}
                        )
                    )

        return hook

    handles = [m.register_forward_hook(keep(n)) for n, m in model.named_modules() if n]
    torch.manual_seed(3)
    F.cross_entropy(model(inputs), labels).backward()
    optimizer.step()
    for handle in handles:
        handle.remove()
    caught = {(c.key, c.path): c for c in desk.catch.caught}
    assert expected
    for at, gradient in expected.items():
        got = caught[at].gradient
        time_first = gradient.ndim == 3 and (name == "lstm" or at == ("gru", "1"))
        axis = 1 if time_first else 0
        np.testing.assert_array_equal(got.values, gradient.select(axis, 0).numpy())


def test_backward_passes_of_one_forward_add_up(desk, tap_on):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    tap_on(model, plan=Plan((Want("0", gradient=True),)))
    out = model(torch.ones(3, 2))
    out.sum().backward(retain_graph=True)
    (2 * out.sum()).backward()
    torch.optim.SGD(model.parameters(), lr=0.0).step()
    caught = of(desk.catch, "0")
    np.testing.assert_allclose(
        caught.gradient.values, 3 * model[1].weight[0].detach().numpy(), rtol=1e-6
    )
    assert caught.backwards == 2


def test_gradient_penalty_firings_are_ignored(desk, tap_on):
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    tap_on(model, plan=Plan((Want("1", gradient=True),)))
    inputs = torch.randn(3, 2, requires_grad=True)
    kept = []
    handle = model[1].register_forward_hook(lambda m, a, o: kept.append(o))
    out = model(inputs)
    handle.remove()
    (slope,) = torch.autograd.grad(out.sum(), inputs, create_graph=True)
    loss = out.sum() + slope.pow(2).sum()
    (expected,) = torch.autograd.grad(loss, kept[0], retain_graph=True)
    loss.backward()
    torch.optim.SGD(model.parameters(), lr=0.0).step()
    caught = of(desk.catch, "1")
    # autograd.grad above ended at the hooked tensor itself and fired its hook as well
    np.testing.assert_allclose(caught.gradient.values, 2 * expected[0].numpy(), rtol=1e-5)
    assert caught.backwards == 2


def test_a_gradient_after_the_boundary_is_not_mixed_in(desk, tap_on):
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    tap_on(model, plan=Plan((Want("0", gradient=True),)))
    out = model(torch.ones(3, 2)).sum()
    out.backward(retain_graph=True)
    torch.optim.SGD(model.parameters(), lr=0.0).step()
    before = of(desk.catch, "0").gradient.values.copy()
    desk.plan = None
    out.backward()
    np.testing.assert_array_equal(of(desk.catch, "0").gradient.values, before)


def test_frozen_layer_says_that_no_gradient_came(desk, tap_on):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    model[0].requires_grad_(False)
    tap_on(model, plan=Plan((Want("0", gradient=True),)))
    step(model, torch.ones(3, 2))
    caught = of(desk.catch, "0")
    assert caught.gradient is None
    assert "no gradient reached this output" in caught.notes


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoint_recomputation_is_no_second_activation(reentrant, desk, tap_on):
    model = Checkpointed(reentrant=reentrant)
    case = ZOO["checkpoint"]
    tap = tap_on(model, plan=Plan((Want("body.0", gradient=True),), survey=True))
    train(model, case, steps=1)
    assert [info.key for info in tap.layers if "#" in info.key] == []
    caught = of(desk.catch, "body.0")
    assert caught.backwards == 1
    assert np.abs(caught.gradient.values).sum() > 0
    assert hook_count(model) == ROOT_HOOKS


def test_input_label_and_prediction_belong_to_the_wanted_sample(desk, tap_on):
    model = nn.Sequential(nn.Linear(3, 3, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(3))
    criterion = nn.CrossEntropyLoss()
    tap_on(model, plan=Plan((Want("0", sample=1),)), criterion=criterion)
    inputs = torch.tensor([[9.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    step(model, inputs, lambda out: criterion(out, torch.tensor([0, 1])))
    catch = desk.catch
    assert catch.input.values.tolist() == [0.0, 0.0, 2.0]
    assert (catch.label, catch.prediction) == (1, 2)
    assert catch.probability == pytest.approx(np.exp(2) / (2 + np.exp(2)))


def test_large_maps_are_pooled_by_the_smallest_factor_that_fits(desk, tap_on):
    model = nn.Sequential(nn.Identity())
    tap_on(model, plan=Plan((Want("0", limit=9),)))
    desk.phase = "any"
    with torch.no_grad():
        model(torch.arange(50.0).reshape(2, 1, 5, 5))
    caught = of(desk.catch, "0")
    assert caught.pooled == 2
    assert caught.values.shape == (1, 3, 3)
    assert caught.values[0, 0].tolist() == [3.0, 5.0, 6.5]  # the last block is one column wide
    assert caught.shape == (2, 1, 5, 5)
    assert caught.statistics.maximum == 24.0  # before pooling


def test_no_reference_to_outputs_is_kept(desk, tap_on):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    tap_on(model, plan=Plan((Want("0", gradient=True), Want("1")), survey=True, statistics=True))
    outputs = []
    handle = model[0].register_forward_hook(lambda m, a, o: outputs.append(weakref.ref(o)))
    for _ in range(3):
        step(model, torch.ones(3, 2))
    handle.remove()
    gc.collect()
    assert [ref() for ref in outputs] == [None, None, None]


def test_statistics_of_all_called_layers_are_sampled(desk, tap_on):
    model = Residual()
    tap_on(model, plan=Plan(statistics=True))
    step(model, torch.randn(64, 1, 16, 16))
    found = desk.catch.statistics
    assert found.layers == ("conv1", "bn1", "relu", "conv2", "bn2", "relu#1", "fc")
    assert found.statistics[0].count == 64 * 4 * 16 * 16
    assert 250 < found.statistics[0].sampled <= 2_048
    assert all(found.training)
    assert all(gradient is not None for gradient in found.gradients)


def test_a_broken_watch_is_reported_once_and_training_goes_on(desk, tap_on, monkeypatch):
    def broken(*args, **kwargs):
        raise MemoryError("no room")

    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    tap_on(model, plan=Plan((Want("0"),)))
    real = windows.cut
    monkeypatch.setattr(
        windows, "cut", lambda *a, key, **k: (broken if key == "0" else real)(*a, key=key, **k)
    )
    for _ in range(3):
        step(model, torch.ones(3, 2))
    assert [where for where, _ in desk.faults] == ["hook of 0"]
    assert desk.catch.caught == []


def test_keyboard_interrupt_in_a_hook_reaches_the_user(desk, tap_on, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    tap_on(model, plan=Plan((Want("0"),)))
    with monkeypatch.context() as patch:
        patch.setattr(windows, "leaves", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model(torch.ones(3, 2))
    step(model, torch.ones(3, 2))
    assert of(desk.catch, "0").shape == (3, 2)
    desk.plan = None
    step(model, torch.ones(3, 2))
    assert sum(len(m._forward_hooks) for m in model.children()) == 0


def test_copies_still_under_way_are_delivered_at_a_later_boundary(desk, tap_on, monkeypatch):
    model = nn.Sequential(nn.Linear(2, 2))
    tap_on(model, plan=Plan((Want("0"),)))
    with monkeypatch.context() as patch:
        patch.setattr(tensors.HostCopy, "ready", property(lambda self: False))
        for _ in range(6):
            step(model, torch.ones(3, 2))
        assert len(desk.boundaries) == 6
        assert desk.catches == []
        held = [ref for ref in gc.get_objects() if type(ref) is windows.Window]
        assert len(held) <= 3  # a lagging device must not fill the memory
        del held
    desk.plan = None
    step(model, torch.ones(3, 2))
    assert [catch.forward for catch in desk.catches] == [6]


def test_targets_of_another_batch_size_are_no_labels(desk, tap_on):
    model = nn.Sequential(nn.Linear(3, 3))
    criterion = nn.MSELoss()
    tap_on(model, plan=Plan((Want("0"),)), criterion=criterion)
    step(model, torch.ones(2, 3), lambda out: criterion(out.sum(0), torch.zeros(3)))
    assert desk.catch.label is None
    labels = torch.tensor([4, 5, 6])
    step(model, torch.ones(2, 3), lambda out: criterion(out.sum(0), labels))
    assert desk.catch.label is None


def test_no_hook_stays_when_another_thread_closes_while_hooks_are_being_put_on(
    desk, tap_on, monkeypatch
):
    model = nn.Sequential(*[nn.Linear(2, 2) for _ in range(4)])
    tap = tap_on(model, plan=Plan(survey=True))
    original = windows.Window._hook

    def close_meanwhile(window, root, name, modules):
        original(window, root, name, modules)
        if name == "1":
            closer = threading.Thread(target=tap.close)
            closer.start()
            closer.join()

    monkeypatch.setattr(windows.Window, "_hook", close_meanwhile)
    model(torch.zeros(1, 2))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
