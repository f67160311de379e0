"""A later forward hooks only what it needs, as long as the model is the one that was seen."""

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.attribution.structure import structure_of
from nbtorchviz.errors import LayerNotFoundError
from tests.attribution.models import PooledLinear, settled

IMAGES = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return settled(PooledLinear())


def hooked(model, **given):
    """Count the modules that carry a hook in the middle of a map's forward."""
    seen = []
    modules = list(model.modules())
    handle = model.fc.register_forward_pre_hook(
        lambda m, a: seen.append(sum(bool(m._forward_hooks) for m in modules))
    )
    result = nbv.gradcam(model, IMAGES, **given)
    handle.remove()
    return seen[-1], result


def test_the_second_map_of_a_layer_hooks_that_layer_alone(model):
    first, before = hooked(model, layer="conv2")
    second, after = hooked(model, layer="conv2")
    assert (first, second) == (9, 1)
    np.testing.assert_array_equal(before.maps, after.maps)
    assert hooked(model, layer="all")[0] == 9


def test_a_replaced_layer_is_seen_at_once(model):
    nbv.gradcam(model, IMAGES, layer="conv2")
    known = structure_of(model)
    assert structure_of(model) is known
    model.conv2 = nn.Sequential(nn.Conv2d(6, 8, 3))
    assert structure_of(model) is not known
    assert nbv.gradcam(model, IMAGES, layer="conv2.0").maps.shape == (2, 10, 10)
    del model.relu2
    with pytest.raises(LayerNotFoundError):
        nbv.gradcam(model, IMAGES, layer="relu2")


class Turns(nn.Module):
    """Calls its layer as often as it is told to, which the shapes of its inputs do not show."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc, self.times = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 2), 1

    def forward(self, x):
        for _ in range(self.times):
            x = self.conv(x)
        return self.fc(x.mean((2, 3)))


def test_a_forward_that_takes_another_turn_is_read_anew():
    torch.manual_seed(0)
    model = Turns()
    nbv.gradcam(model, IMAGES, layer="conv")
    model.times = 2
    every = nbv.gradcam(model, IMAGES, layer="all")
    assert list(every) == ["conv", "conv#1"]
    model.times = 1
    nbv.gradcam(model, IMAGES, layer="all")
    model.times = 2
    for key in ("conv", "conv#1"):
        result = nbv.gradcam(model, IMAGES, layer=key)
        np.testing.assert_allclose(result.maps, every[key].maps, rtol=1e-6)


def test_a_layer_that_an_inplace_operation_follows_costs_one_forward_from_the_second_time_on(model):
    forwards = []
    handle = model.conv1.register_forward_hook(lambda *_: forwards.append(1))
    for count in (2, 1, 1):
        forwards.clear()
        nbv.gradcam(model, IMAGES, layer="bn1")
        assert len(forwards) == count
    handle.remove()


class Rewritten(nn.Module):
    """Adds to what its only layer has put out, in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 2)

    def forward(self, x):
        return self.fc(self.conv(x).add_(1).mean((2, 3)))


def test_the_default_layer_is_copied_only_where_the_model_writes_to_it_afterwards(model):
    torch.manual_seed(0)
    rewritten = Rewritten()
    asked = nbv.gradcam(rewritten, IMAGES, layer="conv")
    for each in (model, rewritten):
        forwards = []
        layer = each.conv1 if each is model else each.conv
        handle = layer.register_forward_hook(lambda *_, f=forwards: f.append(1))
        found = [nbv.gradcam(each, IMAGES) for _ in range(3)]
        handle.remove()
        assert len(forwards) == (4 if each is rewritten else 3)  # once more to copy it
        for result in found[1:]:
            np.testing.assert_array_equal(result.maps, found[0].maps)
    assert found[0].layer == "conv"
    np.testing.assert_array_equal(found[0].maps, asked.maps)


def test_no_model_is_kept_alive():
    model = PooledLinear()
    nbv.gradcam(model, IMAGES, layer="conv2")
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
