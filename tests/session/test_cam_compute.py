"""Maps for a viewer: the core's own numbers, for the classes that lead and those asked for."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import VisionTransformer

import nbtorchviz as nbv
from nbtorchviz.errors import NoMapError
from nbtorchviz.session.cam_compute import MOST_LAYERS, CamRequest, compute
from nbtorchviz.session.cam_images import MOST_IMAGES, cam_images


def network(classes=12):
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, classes),
    )  # fmt: skip


@pytest.fixture
def images():
    return cam_images(torch.rand(3, 1, 12, 12, generator=torch.Generator().manual_seed(0)))


def test_maps_are_those_of_gradcam_for_every_class_that_leads(images):
    model = network()
    shot = compute(model, images, CamRequest(), step=7)
    frame = shot.frame
    assert (frame.step, frame.layer, frame.linear) == (7, "4", True)
    assert [layer.key for layer in frame.layers] == ["0", "1", "2", "3", "4"]
    logits = model.eval()(images.inputs.args[0]).detach()
    order = logits.argsort(1, descending=True)
    assert frame.classes.tolist() == order[:, :5].tolist()
    p = logits.softmax(1).gather(1, order[:, :5]).numpy()
    assert np.allclose(frame.p, p, atol=1e-6)
    assert np.allclose([[each for _, each in top] for top in frame.tops], p, atol=1e-6)
    for rank in range(5):
        wanted = nbv.gradcam(model, images.inputs.args[0], target=order[:, rank], layer="3")
        assert np.array_equal(shot.passes[rank]["3"].maps, wanted.maps)
        for row in range(3):
            found = frame.raw(row, "3", int(order[row, rank]))
            assert np.abs(found - wanted.maps[row]).max() <= 2e-5 * np.ptp(wanted.maps[row])


def test_a_class_that_was_asked_for_is_there_for_every_image(images):
    model = network()
    shot = compute(model, images, CamRequest(target=11, contrast=2), ranks=2)
    for row in range(3):
        for cls in (11, 2):
            slot = shot.frame.slot(row, cls)
            wanted = nbv.gradcam(model, images.inputs.args[0], target=cls, layer="4").maps[row]
            assert np.array_equal(shot.passes[slot]["4"].maps[row], wanted)
            assert (shot.frame.classes[row] == cls).sum() == 1  # not a second time


def test_a_contrast_that_is_not_linear_has_a_backward_of_its_own(images):
    model = network()
    shot = compute(model, images, CamRequest(method="layercam", contrast="second"), ranks=2)
    row = 1
    a, b = (int(each) for each in shot.frame.classes[row, :2])

    def difference(output):
        return output[:, a] - output[:, b]

    wanted = nbv.gradcam(
        model, images.inputs.args[0], target=difference, layer="4", method="layercam"
    )
    slot = shot.frame.slot(row, a, b)
    assert np.array_equal(shot.passes[slot]["4"].maps[row], wanted.maps[row])
    assert not shot.frame.linear


def test_a_target_of_the_users_own_is_the_only_one(images):
    shot = compute(network(), images, CamRequest(own=lambda output: output.square().sum(1)))
    assert shot.frame.classes.tolist() == [[-2]] * 3
    assert shot.own == "<lambda>"
    per_image = compute(network(), images, CamRequest(own=[1, 2, 3]))
    assert (per_image.frame.explained, per_image.own) == ((1, 2, 3), "as given")


def test_a_model_without_class_scores_or_positions():
    images = cam_images(torch.rand(2, 3, 12, 12))
    pixels = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 1))
    shot = compute(pixels, images, CamRequest())
    assert (shot.frame.classes_known, shot.frame.tops) == (5, ((), ()))  # of pixels
    flat = nn.Sequential(nn.Flatten(), nn.Linear(432, 3))
    with pytest.raises(NoMapError, match="nothing to draw"):
        compute(flat, images, CamRequest())


def test_the_layer_is_chosen_anew_while_a_head_that_begins_at_zero_explains_nothing():
    torch.manual_seed(0)
    model = VisionTransformer(16, 8, 2, 2, 16, 32, num_classes=3)  # its head begins at zero
    images = cam_images(torch.randn(2, 3, 16, 16))
    blank = compute(model, images, CamRequest())
    assert not any(maps[blank.frame.layer].maps.any() for maps in blank.passes)
    with torch.no_grad():
        model.heads[-1].weight.normal_()
    shot = compute(model, images, CamRequest(), before=blank)
    assert shot.frame.layer == compute(model, images, CamRequest()).frame.layer != blank.frame.layer
    assert shot.passes[0][shot.frame.layer].maps.any()
    assert compute(model, images, CamRequest(), before=shot).keys == shot.keys


def test_of_many_layers_the_outer_ones_are_taken(images):
    def block():
        return nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1) for _ in range(8)))

    model = nn.Sequential(
        nn.Conv2d(1, 4, 1), *[block() for _ in range(8)],
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip
    shot = compute(model, images, CamRequest())
    assert {"0", "1", "8"} <= set(shot.keys) <= {str(at) for at in range(10)} | {shot.frame.layer}
    assert "1.0" in shot.others
    assert len(shot.keys) <= MOST_LAYERS
    asked = compute(model, images, CamRequest(layer="3.2"), before=shot)
    assert "3.2" in asked.keys
    again = compute(model, images, CamRequest(layer="3.2"), before=asked)
    assert again.keys == asked.keys


@pytest.mark.parametrize("shape", [(12, 12), (1, 12, 12), (5, 1, 12, 12)])
def test_images_are_taken_with_and_without_a_batch_axis(shape):
    found = cam_images(torch.rand(shape))
    assert found.inputs.args[0].shape[-3:] == (1, 12, 12)
    assert len(found) == (5 if len(shape) == 4 else 1)
    assert found.pictures[0].pixels.shape == (12, 12)


def test_lists_arrays_and_labels_are_read_and_too_many_are_cut():
    found = cam_images([np.zeros((3, 8, 8), np.float32)] * 2, labels=[4, 5])
    assert (found.labels, found.names) == ((4, 5), ("image 0", "image 1"))
    many = cam_images(torch.zeros(20, 1, 8, 8), labels=range(20))
    assert (len(many), many.note) == (MOST_IMAGES, f"the first {MOST_IMAGES} of 20 images")
    for wrong in ("cat.png", 3, [], torch.zeros(()), [torch.zeros(3, 8, 8), "x"]):
        with pytest.raises(TypeError, match="images must be"):
            cam_images(wrong)
    with pytest.raises(ValueError, match="one size"):
        cam_images([torch.zeros(3, 8, 8), torch.zeros(3, 9, 9)])
    with pytest.raises(ValueError, match="2 for 1"):
        cam_images(torch.zeros(1, 3, 8, 8), labels=[1, 2])
