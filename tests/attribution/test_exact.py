"""What a map must be exactly, without any other library."""

import numpy as np
import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.analysis.gradcam import LINEAR, METHODS
from nbtorchviz.attribution.targets import contrast
from tests.attribution.models import PooledLinear, settled
from tests.models import InplaceCnn, Residual


@pytest.fixture
def model():
    torch.manual_seed(0)
    return settled(PooledLinear()).eval()


@pytest.fixture
def images():
    return torch.randn(3, 3, 12, 12, generator=torch.Generator().manual_seed(5))


def activation(model, images, name):
    """Read a layer's output with a plain hook, before anything can overwrite it."""
    seen = []
    handle = model.get_submodule(name).register_forward_hook(lambda m, a, o: seen.append(o.clone()))
    with torch.no_grad():
        logits = model(images)
    handle.remove()
    return seen, logits


def close(found, expected, rel):
    np.testing.assert_allclose(found, expected, atol=rel * np.abs(expected).max(), rtol=0)


@pytest.mark.parametrize("method", ["gradcam", "hirescam", "xgradcam"])
def test_with_pooling_and_a_linear_head_the_map_is_cam(model, images, method):
    """Zhou et al. 2016: the head's weights, applied at every position (here over 36 positions)."""
    (features,), logits = activation(model, images, "relu2")
    result = nbv.gradcam(model, images, method=method)
    assert result.layer == "relu2"
    assert result.targets == tuple(logits.argmax(1).tolist())
    np.testing.assert_array_equal(result.logits, logits.numpy())
    weights = model.fc.weight[logits.argmax(1)].detach()
    cam = torch.einsum("nc,nchw->nhw", weights, features) / 36
    close(result.maps, cam.numpy(), 1e-6)


def test_hirescam_adds_up_to_the_score(model, images):
    result = nbv.gradcam(model, images, target=2, method="hirescam")
    scores = result.maps.sum((1, 2)) + model.fc.bias[2].item()
    np.testing.assert_allclose(scores, result.logits[:, 2], atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layer", ["conv1", "bn1", "relu2"])
def test_a_batch_is_its_samples_bit_for_bit(model, images, method, layer):
    classes = [1, 4, 0]
    model, images = model.double(), images.double()  # float32 kernels are chosen by batch size
    batch = nbv.gradcam(model, images, target=classes, layer=layer, method=method)
    for n, target in enumerate(classes):
        one = nbv.gradcam(model, images[n : n + 1], target=target, layer=layer, method=method)
        np.testing.assert_array_equal(batch.maps[n], one.maps[0])


@pytest.mark.parametrize("method", sorted(LINEAR))
def test_the_map_of_a_contrast_is_the_difference_of_maps(model, images, method):
    both = nbv.gradcam(model, images, target=contrast(3, 1), layer="conv2", method=method)
    a = nbv.gradcam(model, images, target=3, layer="conv2", method=method)
    b = nbv.gradcam(model, images, target=1, layer="conv2", method=method)
    close(both.maps, a.maps - b.maps, 2e-6)
    assert both.targets == ("3 - 1",) * 3


@pytest.mark.parametrize("layer", ["conv1", "bn1", "conv2", "bn2"])
def test_an_inplace_relu_after_the_layer_changes_neither_value_nor_gradient(images, layer):
    """The same weights without in-place operations are the oracle."""
    maps = []
    for inplace in (True, False):
        torch.manual_seed(0)
        twin = settled(PooledLinear(inplace=inplace)).eval()
        maps.append({m: nbv.gradcam(twin, images, layer=layer, method=m).maps for m in METHODS})
    for method in METHODS:
        np.testing.assert_array_equal(maps[0][method], maps[1][method])


def test_the_gradient_before_an_inplace_relu_is_that_of_a_finite_difference():
    """HiResCAM at one position is activation times gradient, so it can be measured by nudging."""
    torch.manual_seed(0)
    model = InplaceCnn().double().eval()
    image = torch.randn(1, 1, 10, 10, dtype=torch.float64)
    result = nbv.gradcam(model, image, target=1, layer="conv1", method="hirescam")
    (features,), _ = activation(model, image, "conv1")
    row, column, step = 4, 3, 1e-6

    def score(scale):
        def nudge(module, args, output):
            output = output.clone()
            output[:, :, row, column] *= 1 + scale
            return output

        handle = model.conv1.register_forward_hook(nudge)
        with torch.no_grad():
            value = float(model(image)[0, 1])
        handle.remove()
        return value

    slope = (score(step) - score(-step)) / (2 * step)
    assert result.maps[0, row, column] == pytest.approx(slope, rel=1e-5)
    assert features.min() < 0  # the value is that before the ReLU


def test_each_call_of_a_reused_layer_has_its_own_map():
    torch.manual_seed(0)
    model = settled(Residual()).eval()
    image = torch.randn(2, 1, 8, 8)
    every = nbv.gradcam(model, image, layer="all")
    assert [key for key in every if key.startswith("relu")] == ["relu", "relu#1"]
    for call, key in enumerate(("relu", "relu#1")):
        result = nbv.gradcam(model, image, layer=key)
        np.testing.assert_array_equal(result.maps, every[key].maps)
        assert (result.layer, result.call) == (key, call)
    assert np.abs(every["relu"].maps - every["relu#1"].maps).max() > 1e-4


def test_all_layers_come_from_one_forward_and_one_backward(model, images, monkeypatch):
    forwards, backwards = [], []
    grad = torch.autograd.grad
    monkeypatch.setattr(
        torch.autograd, "grad", lambda *a, **k: backwards.append(1) or grad(*a, **k)
    )
    handle = model.conv1.register_forward_hook(lambda *_: forwards.append(1))
    every = nbv.gradcam(model, images, layer="all")
    handle.remove()
    assert (len(forwards), len(backwards)) == (1, 1)
    names = ["conv1", "bn1", "relu1", "conv2", "bn2", "relu2", "drop"]
    assert list(every) == names
    some = nbv.gradcam(model, images, layer=["relu2", "conv1"])
    assert list(some) == ["relu2", "conv1"]
    np.testing.assert_array_equal(some["conv1"].maps, every["conv1"].maps)
    for name in names:
        np.testing.assert_array_equal(nbv.gradcam(model, images, layer=name).maps, every[name].maps)


class Aliasing(nn.Module):
    """An identity shortcut of a tensor that an in-place ReLU overwrites later."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.shortcut = nn.Conv2d(1, 4, 3), nn.Identity()
        self.relu, self.conv2 = nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        x = self.conv(x)
        kept = self.shortcut(x)
        return self.fc((self.conv2(self.relu(x)) + kept).mean((2, 3)))


def test_the_model_computes_what_it_computes_without_us_even_where_tensors_are_aliases():
    torch.manual_seed(0)
    model, image = Aliasing().eval(), torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        logits = model(image).numpy()
    every = nbv.gradcam(model, image, layer="all", method="hirescam")
    np.testing.assert_array_equal(every["conv"].logits, logits)
    # the shortcut hands on what the ReLU overwrites: together they are all that follows conv
    bias = model.fc.bias + model.fc.weight @ model.conv2.bias
    total = every["conv"].maps.sum((1, 2)) + bias.detach().numpy()[logits.argmax(1)]
    np.testing.assert_allclose(total, logits.max(1), atol=1e-6)


def test_a_layer_that_hands_its_input_on_gets_only_the_gradient_that_passes_through_it():
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.drop = nn.Conv2d(1, 2, 3), nn.Dropout(0.5)

        def forward(self, x):
            x = self.conv(x)
            return 3 * self.drop(x).mean((2, 3)) + x.mean((2, 3))

    torch.manual_seed(0)
    model, image = Branch().eval(), torch.randn(1, 1, 6, 6)
    every = nbv.gradcam(model, image, target=0, layer="all")
    close(every["conv"].maps, every["drop"].maps * 4 / 3, 1e-6)
    alone = nbv.gradcam(model, image, target=0, layer="drop")
    close(alone.maps, every["drop"].maps, 1e-6)
