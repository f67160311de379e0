"""Callers, precisions and wrappers in which a map must come out right."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.parallel import DataParallel

import nbtorchviz as nbv
from nbtorchviz.errors import NoMapError, RunRefusedError
from tests.attribution.models import PooledLinear, settled
from tests.models import Checkpointed, Lazy


@pytest.fixture
def model():
    torch.manual_seed(0)
    return settled(PooledLinear())


@pytest.fixture
def images():
    return torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(5))


def same(model, images, expected, **given):
    result = nbv.gradcam(model, images, **given)
    np.testing.assert_array_equal(result.maps, expected.maps)
    assert result.layer == expected.layer
    return result


@pytest.mark.parametrize("layer", [None, "conv1"])
def test_the_callers_mode_does_not_matter(model, images, layer):
    expected = nbv.gradcam(model, images, layer=layer)
    with torch.no_grad():
        same(model, images, expected, layer=layer)
    with torch.inference_mode():
        same(model, images, expected, layer=layer)
        inference = images.clone()
    assert inference.is_inference()
    same(model, inference, expected, layer=layer)
    model.eval()
    same(model, images, expected, layer=layer)


def test_a_frozen_model_has_the_same_maps(model, images):
    expected = nbv.gradcam(model, images, layer="all")
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    frozen = nbv.gradcam(model, images, layer="all")
    for key, result in expected.items():
        np.testing.assert_array_equal(frozen[key].maps, result.maps)


def test_a_model_made_in_inference_mode_has_the_same_maps(images):
    torch.manual_seed(0)
    plain = PooledLinear()
    with torch.inference_mode():
        torch.manual_seed(0)
        model = PooledLinear()
    assert model.fc.weight.is_inference()
    for _ in range(2):
        same(model, images, nbv.gradcam(plain, images))


class Tagger(nn.Module):
    """Whole numbers in, a backbone that runs without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.conv = nn.Embedding(10, 6), nn.Conv1d(6, 8, 3)
        self.relu, self.fc = nn.ReLU(), nn.Linear(8, 3)

    def forward(self, x):
        with torch.no_grad():
            x = self.embed(x).transpose(1, 2)
        return self.fc(self.relu(self.conv(x)).mean(2))


@pytest.mark.parametrize("frozen", [False, True])
def test_whole_numbers_as_input_and_parts_without_gradients(frozen):
    torch.manual_seed(0)
    model = Tagger().requires_grad_(not frozen)
    tokens = torch.randint(0, 10, (2, 7))
    every = nbv.gradcam(model, tokens, target=1, layer="all", method="hirescam")
    assert every["conv"].axes == ("L",)
    assert every["conv"].maps.shape == (2, 5)
    scores = every["relu"].maps.sum(1) + model.fc.bias[1].item()
    np.testing.assert_allclose(scores, every["relu"].logits[:, 1], atol=1e-6)
    assert "no gradient" in every["embed"].notes[-1]


@pytest.mark.parametrize("autocast", [False, True])
def test_bfloat16_is_near_float32(model, images, autocast):
    expected = nbv.gradcam(model, images, target=0, layer="relu2")
    if autocast:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = nbv.gradcam(model, images, target=0, layer="relu2")
            assert torch.is_autocast_enabled("cpu")
    else:
        half = nbv.gradcam(model.bfloat16(), images.bfloat16(), target=0, layer="relu2")
    assert half.maps.dtype == half.logits.dtype == np.float32
    assert 0 < np.abs(half.maps - expected.maps).max() < 0.03 * np.abs(expected.maps).max()


def test_tiny_gradients_are_kept(model, images):
    """A saturated score is no reason for a blank map."""
    expected = nbv.gradcam(model, images, target=0)
    tiny = nbv.gradcam(model, images, target=lambda logits: logits[:, 0] * 1e-20)
    np.testing.assert_allclose(tiny.maps, expected.maps * 1e-20, rtol=1e-5)
    np.testing.assert_allclose(tiny.heatmaps((12, 12)), expected.heatmaps((12, 12)), atol=1e-5)


def test_wrappers_are_looked_through(model, images):
    expected = nbv.gradcam(model, images)
    same(DataParallel(model), images, expected)


def test_a_compiled_model_is_shown_by_the_model_inside(model, images):
    expected = nbv.gradcam(model, images)
    compiled = torch.compile(model, backend="eager")
    result = same(compiled, images, expected)
    assert "uncompiled" in result.notes[0]
    model.conv2 = torch.compile(model.conv2, backend="eager")
    assert "conv2 is compiled" in same(model, images, expected).notes[0]


@pytest.mark.parametrize("make", ["script", "trace"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_scripted_and_traced_models_are_refused(model, images, make):
    made = torch.jit.script(model) if make == "script" else torch.jit.trace(model.eval(), images)
    with pytest.raises(TypeError, match=r"calls no hooks.*give the module that torch\.jit"):
        nbv.gradcam(made, images)


def test_lazy_models_and_reentrant_checkpoints_are_refused():
    with pytest.raises(RunRefusedError, match="lazy parameters"):
        nbv.gradcam(Lazy(), torch.ones(1, 6))
    model = Checkpointed(reentrant=True)
    with pytest.raises(NoMapError, match="use_reentrant=False"):
        nbv.gradcam(model, torch.randn(2, 5, 6), target=lambda y: y.sum((1, 2)), layer="stem")


def test_a_checkpoint_that_recomputes_gives_the_maps_of_the_model_without_it():
    maps = []
    for checkpointed in (True, False):
        torch.manual_seed(0)
        model = Checkpointed(reentrant=False)
        if not checkpointed:
            model.forward = lambda x, m=model: m.head(m.body(m.stem(x)))
        every = nbv.gradcam(model, torch.ones(2, 5, 6), target=lambda y: y.sum((1, 2)), layer="all")
        maps.append(every)
    assert list(maps[0]) == list(maps[1])
    for key, result in maps[0].items():
        np.testing.assert_array_equal(result.maps, maps[1][key].maps)


def test_what_a_checkpoint_recomputes_leaves_no_trace():
    model = Checkpointed(reentrant=False)
    model.body.append(nn.BatchNorm1d(5))
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    state = torch.get_rng_state()
    nbv.gradcam(model, torch.ones(2, 5, 6), target=lambda y: y.sum((1, 2)), layer="stem")
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in model.named_buffers())


def test_a_batchnorm_without_statistics_is_said_to_mix_the_samples(images):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False),
                          nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))  # fmt: skip
    assert "mixes the samples" in nbv.gradcam(model, images).notes[0]


def test_several_arguments_and_keywords():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 3, 3), nn.Linear(3, 4)

        def forward(self, x, scale):
            return {"aux": x.mean(), "logits": scale[:, None] * self.fc(self.conv(x).mean((2, 3)))}

    torch.manual_seed(0)
    model, x, scale = Two(), torch.randn(2, 1, 8, 8), torch.tensor([1.0, 2.0])
    expected = nbv.gradcam(model, (x, scale))
    assert expected.logits.shape == (2, 4)
    same(model, {"x": x, "scale": scale}, expected)
    same(model, (x.numpy(), scale.numpy()), expected)
