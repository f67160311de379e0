"""The same raw maps as captum and torchcam, where those are installed and right."""

import numpy as np
import pytest
import torch

import nbtorchviz as nbv
from tests.attribution.models import settled

models = pytest.importorskip("torchvision.models")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return settled(models.resnet18(weights=None)).eval()


@pytest.fixture
def image():
    return torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def difference(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("layer", ["layer4", "layer3", "layer2.0.bn1", "layer1.0.bn2"])
def test_captum_agrees_also_before_inplace_operations(model, image, layer):
    attr = pytest.importorskip("captum.attr")
    module = model.get_submodule(layer)
    peers = {
        "gradcam": attr.LayerGradCam(model, module).attribute(image, 282)[:, 0],
        "hirescam": attr.LayerGradientXActivation(model, module).attribute(image, 282).sum(1),
    }
    for method, expected in peers.items():
        result = nbv.gradcam(model, image, target=282, layer=layer, method=method)
        assert difference(result.maps, expected.detach().numpy()) <= 1e-6


@pytest.mark.parametrize(
    ("method", "name", "bar"),
    [("gradcam", "GradCAM", 1e-6), ("layercam", "LayerCAM", 1e-6), ("xgradcam", "XGradCAM", 1e-5)],
)
@pytest.mark.parametrize("layer", ["layer4", "layer3", "layer2"])
def test_torchcam_agrees_on_layers_that_nothing_overwrites(model, image, method, name, bar, layer):
    methods = pytest.importorskip("torchcam.methods")
    with getattr(methods, name)(model, layer) as peer:
        expected = peer(282, model(image), normalized=False)[0].detach().numpy()
    result = nbv.gradcam(model, image, target=282, layer=layer, method=method)
    assert difference(np.maximum(result.maps, 0), expected) <= bar
