import numpy as np
import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.attribution.pinned import pinned_maps
from nbtorchviz.errors import NoMapError
from tests.attribution.models import PooledLinear, settled


def test_every_map_is_the_one_that_gradcam_makes():
    torch.manual_seed(0)
    model, images = settled(PooledLinear()), torch.randn(2, 3, 12, 12)
    found = pinned_maps(model, images, top=2, classes=[4])
    order = np.argsort(-found.logits, axis=1)
    np.testing.assert_array_equal(found.classes, [order[:, 0], order[:, 1], [4, 4]])
    assert found.default == nbv.gradcam(model, images).layer
    for j, classes in enumerate(found.classes):
        every = nbv.gradcam(model, images, target=classes, layer="all")
        assert list(every) == list(found.maps)
        for key, result in every.items():
            np.testing.assert_array_equal(found.maps[key][j], result.maps)
            assert found.axes[key] == ("H", "W")
    assert all(module.training for module in model.modules())


def test_only_the_layers_that_are_asked_for():
    found = pinned_maps(PooledLinear(), torch.randn(2, 3, 12, 12), layers=["conv1", "relu2"])
    assert list(found.maps) == ["conv1", "relu2"]


def test_models_without_class_scores_or_positions_are_refused_in_words():
    with pytest.raises(ValueError, match="no class scores"):
        pinned_maps(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), torch.randn(1, 1, 6, 6))
    with pytest.raises(NoMapError, match="None of the 2 layers that ran puts out positions"):
        pinned_maps(nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3)), torch.randn(2, 6))
