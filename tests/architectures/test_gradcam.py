"""Torchvision's architectures with seeded random weights: a map that is one, at the right layer."""

import numpy as np
import pytest
import torch
from torch import nn

import nbtorchviz as nbv

models = pytest.importorskip("torchvision.models")


def plain(name, **given):
    return lambda: getattr(models, name)(weights=None, num_classes=10, **given)


def vit():
    model = models.vit_b_16(weights=None, image_size=64, num_classes=10)
    nn.init.normal_(model.heads.head.weight, std=0.1)  # torchvision starts it at zero
    return model


def segmenter():
    return models.segmentation.fcn_resnet50(weights=None, weights_backbone=None, num_classes=5)


def detector():
    return models.detection.fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, num_classes=5, min_size=96, box_score_thresh=0.0
    )


CASES = {
    "resnet18": (plain("resnet18"), "layer4", (2, 2)),
    "resnet50": (plain("resnet50"), "layer4", (2, 2)),
    "vgg16_bn": (plain("vgg16_bn"), "features.42", (4, 4)),
    "densenet121": (plain("densenet121"), "features", (2, 2)),
    "mobilenet_v3_small": (plain("mobilenet_v3_small"), "features", (2, 2)),
    "efficientnet_b0": (plain("efficientnet_b0"), "features", (2, 2)),
    "convnext_tiny": (plain("convnext_tiny"), "features", (2, 2)),
    "swin_t": (plain("swin_t"), "permute", (2, 2)),
    "vit_b_16": (vit, "encoder.layers.encoder_layer_11.ln_1", (4, 4)),
    "googlenet": (plain("googlenet", init_weights=False, aux_logits=False), "inception5b", (2, 2)),
    "fcn_resnet50": (segmenter, "classifier.2", (8, 8)),
    "fasterrcnn_mobilenet": (detector, "backbone", None),
}


@pytest.mark.parametrize("name", CASES)
def test_the_default_map_is_no_blank_and_every_layer_has_one(name):
    build, layer, shape = CASES[name]
    torch.manual_seed(0)
    model = build()
    image = torch.rand(1, 3, 64, 64)
    training = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    result = nbv.gradcam(model, image)
    every = nbv.gradcam(model, image, layer="all")
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model.modules()] == training
    assert result.layer == layer
    assert shape is None or result.maps.shape == (1, *shape)
    assert result.axes == ("H", "W")
    assert np.isfinite(result.maps).all()
    assert np.ptp(result.maps) > 0
    np.testing.assert_allclose(every[layer].maps, result.maps, rtol=1e-4, atol=0)
    blank = [key for key, other in every.items() if not other.maps.any()]
    assert all(every[key].notes for key in blank)
    assert len(blank) < len(every) / 2


def test_swin_is_read_as_channels_last_and_its_blocks_have_maps():
    torch.manual_seed(0)
    model = models.swin_t(weights=None, num_classes=10)
    every = nbv.gradcam(model, torch.rand(1, 3, 64, 64), layer="all", method="hirescam")
    assert every["features.1"].maps.shape == (1, 16, 16)
    assert every["features.3.1.norm1"].maps.shape == (1, 8, 8)
    bias = model.head.bias[every["permute"].targets[0]].item()
    assert every["permute"].maps.sum() + bias == pytest.approx(
        every["permute"].logits.max(), abs=1e-5
    )
    # norm and permute hold the same numbers in another order
    np.testing.assert_allclose(every["norm"].maps, every["permute"].maps, rtol=1e-5)
