"""Mean and standard deviation found in transforms, and undone."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from nbtorchviz.analysis.images import input_image
from nbtorchviz.analysis.normalisation import Normalisation, normalisation_of

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET = Normalisation(MEAN, STD)

v1 = pytest.importorskip("torchvision.transforms")
v2 = pytest.importorskip("torchvision.transforms.v2")


@pytest.mark.parametrize("kind", [v1, v2])
def test_a_normalize_is_found_however_deep_it_lies(kind):
    normalize = kind.Normalize(MEAN, STD)
    assert normalisation_of(normalize) == IMAGENET
    assert normalisation_of(kind.Compose([kind.Resize(8), normalize])) == IMAGENET
    inner = kind.Compose([kind.CenterCrop(4), kind.Compose([normalize])])
    assert normalisation_of([kind.Resize(8), inner]) == IMAGENET
    assert normalisation_of(nn.Sequential(kind.Resize(8), normalize)) == IMAGENET


def test_presets_of_weights_hold_their_numbers_and_so_do_image_processors():
    from torchvision.models import ResNet18_Weights

    weights = ResNet18_Weights.DEFAULT
    assert normalisation_of(weights.transforms()) == IMAGENET
    assert normalisation_of(weights.transforms) == IMAGENET
    processor = SimpleNamespace(image_mean=list(MEAN), image_std=list(STD))
    assert normalisation_of(processor) == IMAGENET
    assert normalisation_of(SimpleNamespace(mean=torch.tensor(MEAN), std=np.array(STD))).mean == (
        pytest.approx(MEAN)
    )


def test_what_is_undone_is_what_the_transform_did():
    pixels = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(0))
    twice = v1.Compose([v1.Normalize(MEAN, STD), v1.Normalize([0.5], [2.0])])
    found = normalisation_of(twice)
    picture = input_image(twice(pixels).numpy(), ("C", "H", "W"), normalisation=found)
    assert picture.note.startswith("normalisation undone: mean 0.5995, 0.568, 0.5185; std 0.458")
    assert picture.note.endswith("(transforms=)")
    wanted = np.rint(np.moveaxis(pixels.numpy(), 0, -1) * 255)
    assert abs(picture.pixels - wanted).max() <= 1


def test_transforms_without_a_normalisation_say_so():
    assert normalisation_of(None) is None
    for plain in (v1.ToTensor(), v2.Compose([v2.Resize(8)]), [v1.Resize(8)]):
        assert normalisation_of(plain) == Normalisation()
    picture = input_image(np.full((1, 9, 9), 0.5), ("C", "H", "W"), normalisation=Normalisation())
    assert picture.note == "no normalisation in transforms="


def test_a_wrong_normalisation_shows_in_the_range():
    values = np.linspace(-4, 4, 300).reshape(3, 10, 10)
    picture = input_image(values, ("C", "H", "W"), normalisation=IMAGENET)
    assert "−" not in picture.note
    assert "-0.43 to 1.3 afterwards, clipped to 0 to 1" in picture.note


@pytest.mark.parametrize("given", [3, "imagenet", lambda x: x, [], object()])
def test_what_cannot_be_looked_into_is_refused(given):
    with pytest.raises(TypeError, match="transforms must be what prepared the images"):
        normalisation_of(given)


def test_channels_that_do_not_fit_and_chance_are_refused():
    with pytest.raises(ValueError, match="normalises 3 channels, and the images have 1"):
        input_image(np.zeros((1, 9, 9)), ("C", "H", "W"), normalisation=IMAGENET)
    with pytest.raises(ValueError, match="normalises 3 channels, then 2"):
        normalisation_of([v1.Normalize(MEAN, STD), v1.Normalize([0.5] * 2, [0.5] * 2)])
    for chance in (v1.RandomApply([v1.Normalize(MEAN, STD)]), v2.RandomChoice([IMAGENET])):
        with pytest.raises(ValueError, match="normalises at random"):
            normalisation_of(chance)
    assert normalisation_of(v1.RandomHorizontalFlip()) == Normalisation()


def test_a_value_that_is_not_finite_stays_the_darkest():
    values = np.full((1, 9, 9), 2.0, np.float32)
    values[0, 0, 0] = np.nan
    picture = input_image(values, ("C", "H", "W"), normalisation=Normalisation((0.25,), (0.25,)))
    assert picture.pixels[0, 0] <= picture.pixels[1, 1] == 191


def test_the_mean_of_channels_that_were_normalised_apart_is_not_undone():
    values = np.random.default_rng(0).normal(size=(5, 9, 9))
    apart = Normalisation((0.1, 0.2, 0.3, 0.4, 0.5), (1.0,) * 5)
    picture = input_image(values, ("C", "H", "W"), normalisation=apart)
    assert picture.note == "mean of 5 channels; smallest black, largest white"
    alike = input_image(values, ("C", "H", "W"), normalisation=Normalisation((0.5,), (0.2,)))
    assert "mean 0.5; std 0.2" in alike.note
