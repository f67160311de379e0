import random
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from nbtorchviz.capture.probe import no_trace
from nbtorchviz.capture.tap import Inputs, Plan, Want
from nbtorchviz.errors import ModelGoneError, RunRefusedError
from tests.capture.desk import hook_count, of
from tests.models import FrozenNorm, InplaceCnn, Lazy, NormDropout, StatefulEval


def test_probe_runs_in_eval_mode_and_restores_each_modules_own_mode(tap_on):
    model = FrozenNorm()
    model.train()
    modes = [module.training for module in model.modules()]
    seen = []
    handle = model.conv.register_forward_hook(lambda m, a, o: seen.append(m.training))
    tap = tap_on(model)
    tap.probe(torch.ones(1, 1, 8, 8), Plan((Want("conv"),)))
    handle.remove()
    assert seen == [False]
    assert [module.training for module in model.modules()] == modes


def test_probe_catches_what_the_layers_put_out(tap_on):
    model = InplaceCnn()
    inputs = torch.randn(2, 1, 10, 10)
    catch = tap_on(model).probe(
        inputs, Plan((Want("conv1", sample=1),)), labels=torch.tensor([2, 0])
    )
    with torch.no_grad():
        np.testing.assert_array_equal(of(catch, "conv1").values, model.conv1(inputs)[1].numpy())
        logits = model.eval()(inputs)[1]
    assert (catch.source, catch.phase, catch.label) == ("probe", "eval", 0)
    assert catch.prediction == int(logits.argmax())
    assert catch.probability == pytest.approx(float(logits.softmax(0).max()), rel=1e-5)
    assert hook_count(model.conv1) == 0


def test_state_written_in_eval_mode_is_put_back(tap_on):
    model = StatefulEval()
    buffer, version = model.seen, model.seen._version
    tap_on(model).probe(torch.ones(1, 6), Plan())
    assert model.seen is buffer
    assert model.seen.tolist() == [0.0, 0.0]
    assert model.seen._version == version
    assert (model.calls, model.history, model.plain.item()) == (0, [], 0.0)


def test_no_random_stream_moves(tap_on):
    model = NormDropout()
    np.random.normal()  # noqa: NPY002 - the next one is kept apart from the stream's bits
    streams = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002
    with no_trace(model):
        random.random()
        np.random.normal()  # noqa: NPY002
        torch.rand(1)
    assert torch.equal(torch.get_rng_state(), streams[0])
    assert random.getstate() == streams[1]
    assert str(np.random.get_state()) == str(streams[2])  # noqa: NPY002


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_probe_works_in_every_grad_mode_and_restores_it(mode, tap_on):
    model = NormDropout()
    tap = tap_on(model)
    with mode():
        before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        catch = tap.probe(torch.ones(2, 6), Plan((Want("body.0"),)))
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before
    assert of(catch, "body.0").values.shape == (8,)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_everything_is_put_back_after_an_error(tap_on):
    model = StatefulEval()
    tap = tap_on(model)
    with pytest.raises(RuntimeError, match="shapes"):
        tap.probe(torch.ones(1, 5), Plan((Want("fc"),)))
    assert all(module.training for module in model.modules())
    assert (model.calls, model.seen.sum().item()) == (0, 0.0)
    assert hook_count(model.fc) == 0
    assert torch.is_grad_enabled()


def test_a_probe_counts_no_forward_and_no_boundary(tap_on, desk):
    model = NormDropout()
    tap = tap_on(model, plan=Plan((Want("body.0"),)))
    tap.probe(torch.ones(2, 6), Plan())
    assert (tap.forward, desk.began, desk.boundaries) == (0, [], [])


def test_the_pinned_item_of_the_last_window_can_be_probed(tap_on, desk):
    model = NormDropout()
    tap = tap_on(model, plan=Plan((Want("body.0", sample=2),)))
    assert tap.last_batch() is None
    inputs = torch.randn(4, 6)
    model(inputs).sum().backward()
    expected = inputs[2:3].clone()
    inputs.zero_()
    torch.optim.SGD(model.parameters(), 0.0).step()
    pinned = tap.last_batch()
    assert isinstance(pinned, Inputs)
    assert torch.equal(pinned.args[0], expected)
    catch = tap.probe(pinned, Plan((Want("body.0"),)))
    np.testing.assert_array_equal(catch.input.values, expected[0].numpy())


def test_lazy_models_are_refused_before_their_first_forward(tap_on):
    model = Lazy()
    tap = tap_on(model)
    with pytest.raises(RunRefusedError, match="Run one training forward first"):
        tap.probe(torch.ones(1, 6), Plan())
    model(torch.ones(2, 6))
    assert of(tap.probe(torch.ones(1, 6), Plan((Want("fc1"),))), "fc1").values.shape == (5,)


def test_a_dead_model_is_named(tap_on):
    tap = tap_on(nn.Sequential(nn.Linear(2, 2)))
    import gc

    gc.collect()
    with pytest.raises(ModelGoneError, match="Sequential no longer exists"):
        tap.probe(torch.ones(1, 2), Plan())


def test_an_autocast_region_keeps_its_gradients_after_a_probe(tap_on):
    model = nn.Sequential(nn.Linear(4, 4))
    tap = tap_on(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        tap.probe(torch.ones(1, 4), Plan((Want("0"),)))
        out = model(torch.ones(2, 4))
    out.sum().backward()
    assert model[0].weight.grad is not None


def test_a_tensor_cached_outside_the_model_stays_usable_for_training(tap_on):
    cache = {}

    class Rotary(nn.Module):
        def forward(self, x):
            if "table" not in cache:
                cache["table"] = torch.arange(x.shape[-1]).float()
            return x * cache["table"]

    model = nn.Sequential(nn.Linear(4, 4), Rotary())
    tap = tap_on(model)
    with torch.inference_mode():
        tap.probe(torch.ones(1, 4), Plan((Want("0"),)))
    model(torch.ones(2, 4)).sum().backward()
    assert model[0].weight.grad is not None


def test_the_autocast_cache_is_neither_written_nor_left_off(tap_on):
    seen = []
    model = nn.Sequential(nn.Linear(4, 4))
    model.register_forward_hook(lambda m, a, o: seen.append(torch.is_autocast_cache_enabled()))
    tap = tap_on(model)
    tap.probe(torch.ones(1, 4), Plan())
    assert seen == [False]
    assert torch.is_autocast_cache_enabled()


class Remembers(nn.Module):
    """Keeps what it saw in an ordered dictionary, as caches of least recently used things do."""

    def __init__(self):
        super().__init__()
        self.seen = OrderedDict()

    def forward(self, x):
        self.seen[len(self.seen)] = x.shape
        self.register_buffer("late", torch.ones(1), persistent=False)
        return x


def test_an_ordered_dictionary_and_a_late_buffer_leave_no_trace():
    model = nn.Sequential(Remembers())
    with no_trace(model) as held:
        model(torch.ones(1, 4))
        assert list(model[0].seen) == [0]
    assert not model[0].seen
    assert not list(model.buffers())
    assert not model[0]._non_persistent_buffers_set
    assert held.written == []


class TrainsByProperty(nn.Module):
    """Keeps its mode under another name."""

    @property
    def training(self):
        return self._mode

    @training.setter
    def training(self, value):
        self._mode = value


def test_a_mode_that_is_a_property_is_set_and_put_back():
    model = nn.Sequential(TrainsByProperty(), nn.Linear(2, 2))
    model.train()
    with no_trace(model):
        assert not model[0].training
    assert model[0].training


class Doubles(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x):
        return self.norm(x) * 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_model_with_a_scripted_part_is_watched_and_left_as_it_was(tap_on):
    model = nn.Sequential(nn.Linear(4, 4), torch.jit.script(Doubles()), nn.Linear(4, 2)).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    catch = tap_on(model).probe(torch.randn(2, 4), Plan((Want("2"),)))
    assert of(catch, "2").values.shape == (2,)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
