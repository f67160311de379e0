"""grad_camera and activation_camera: any usual picture in, a map for imshow out."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.attribution import cameras
from nbtorchviz.errors import NoMapError
from tests.attribution.models import PooledLinear, settled
from tests.models import Lstm


def net(channels=1):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(6, 3),
    )  # fmt: skip


@pytest.fixture
def picture():
    return torch.rand(28, 20, generator=torch.Generator().manual_seed(1))


def test_a_gray_picture_in_every_form_gives_one_map(picture):
    model = net()
    expected = nbv.gradcam(model, picture[None, None]).heatmaps((28, 20))[0]
    forms = [picture, picture[None], picture[None, None], picture[..., None], picture.numpy(),
             picture.numpy()[..., None], picture.double().numpy()]  # fmt: skip
    for form in forms:
        heat = nbv.grad_camera(model, form)
        assert (heat.shape, heat.dtype) == ((28, 20), np.float32)
        np.testing.assert_allclose(heat, expected, atol=1e-6)
    assert heat.min() >= 0
    assert heat.max() == 1


def test_a_colour_picture_in_every_form_gives_one_map():
    model = net(3)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 28, 3), dtype=np.uint8)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
    expected = nbv.gradcam(model, tensor[None]).heatmaps((20, 28))[0]
    for form in (tensor, tensor[None], pixels, Image.fromarray(pixels), pixels[None]):
        np.testing.assert_allclose(nbv.grad_camera(model, form), expected, atol=1e-6)
    gray = net(1)
    assert nbv.grad_camera(gray, Image.fromarray(pixels)).shape == (20, 28)


def test_a_batch_gives_one_map_each(picture):
    heat = nbv.grad_camera(net(), torch.stack([picture, 1 - picture])[:, None], target=[0, 2])
    assert heat.shape == (2, 28, 20)
    one = nbv.grad_camera(net(), 1 - picture, target=2)
    np.testing.assert_allclose(heat[1], one, atol=1e-6)


def test_the_overlay_is_the_picture_where_the_map_is_zero(picture):
    model = net()
    heat = nbv.grad_camera(model, picture, layer="0", target=1)
    over = nbv.grad_camera(model, picture, layer="0", target=1, overlay=True)
    assert (over.shape, over.dtype) == ((28, 20, 3), np.uint8)
    cold = heat == 0
    assert cold.any()
    gray = np.rint(picture.numpy() * 255)[..., None]
    np.testing.assert_array_equal(over[cold], np.repeat(gray, 3, 2)[cold])
    hottest = over[np.unravel_index(heat.argmax(), heat.shape)].astype(int)
    assert hottest[2] < hottest[:2].min()  # viridis ends in yellow
    many = nbv.grad_camera(model, torch.stack([picture, picture])[:, None], overlay=True)
    assert many.shape == (2, 28, 20, 3)


def test_layer_target_and_method_are_those_of_gradcam(picture):
    model, given = net(), {"layer": "0", "target": 1, "method": "hirescam"}
    raw = nbv.gradcam(model, picture[None, None], **given)
    heat = nbv.grad_camera(model, picture, **given)
    np.testing.assert_array_equal(heat, raw.heatmaps((28, 20))[0])


def test_activations_are_a_channel_or_the_mean_of_all(picture):
    model = net()
    with torch.no_grad():
        features = model[:5](picture[None, None])[0]
    alive = int(features.amax((1, 2)).argmax())
    for channel, shown in ((None, features.abs().mean(0)), (alive, features[alive])):
        found = nbv.activation_camera(model, picture, channel=channel)
        assert (found.shape, found.dtype) == ((28, 20), np.float32)
        unit = (shown - shown.min()) / (shown.max() - shown.min())
        large = nn.functional.interpolate(unit[None, None], (28, 20), mode="bilinear")[0, 0]
        np.testing.assert_allclose(found, large, atol=1e-6)
    early = nbv.activation_camera(model, picture, layer="0", channel=3)
    assert early.max() == 1
    with pytest.raises(ValueError, match="'0' has 4 channels, so channel must be below, got 4"):
        nbv.activation_camera(model, picture, layer="0", channel=4)


def test_a_constant_response_is_zero_everywhere():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU())
    assert not nbv.activation_camera(model, torch.zeros(6, 6)).any()


def test_activations_need_no_classes_and_see_what_an_inplace_relu_overwrites():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True)).eval()
    picture = torch.randn(8, 8)
    with torch.no_grad():
        expected = model[0](picture[None, None])[0, 1]
    found = nbv.activation_camera(model, picture, layer="0", channel=1)
    large = nn.functional.interpolate(expected[None, None], (8, 8), mode="bilinear")[0, 0]
    correlation = np.corrcoef(found.ravel(), large.numpy().ravel())[0, 1]
    assert correlation > 0.9999


def test_the_model_is_never_moved_and_a_missing_device_is_said_once(picture, monkeypatch):
    monkeypatch.setattr(cameras, "_warned", set())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    model = net()
    with pytest.warns(UserWarning, match="device='cuda'.* no cuda: computed where the model"):
        first = nbv.grad_camera(model, picture, "cuda")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(nbv.grad_camera(model, picture, "cuda"), first)
        nbv.activation_camera(model, picture, torch.device("cuda"))
        np.testing.assert_array_equal(nbv.grad_camera(model, picture, torch.device("cpu")), first)
    with pytest.raises(ValueError, match="device must be one such as 'cpu' or 'cuda', got 'gpu'"):
        nbv.grad_camera(model, picture, "gpu")


def test_no_trace_is_left(picture):
    model = settled(PooledLinear()).train()
    image = torch.rand(3, 12, 12)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    stream = torch.get_rng_state()
    nbv.grad_camera(model, image)
    nbv.activation_camera(model, image)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), stream)


def test_a_half_precision_model_gets_a_half_precision_picture(picture):
    assert nbv.grad_camera(net().bfloat16(), picture).dtype == np.float32


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        ("cat.png", TypeError, "image must be a picture: .* got 'cat.png'"),
        (np.zeros((2, 2), complex), TypeError, "image must be a picture"),
        (torch.zeros(0, 3), TypeError, "image must be a picture"),
        (torch.zeros(5), ValueError, r"got Tensor of shape \(5,\)"),
    ],
)
def test_what_is_no_picture_is_refused_in_words(image, error, words):
    with pytest.raises(error, match=words):
        nbv.grad_camera(net(), image)


def test_other_mistakes_are_refused_in_words(picture):
    with pytest.raises(TypeError, match=r"needs a torch\.nn\.Module, got Tensor"):
        nbv.grad_camera(picture, net())
    with pytest.raises(TypeError, match="overlay must be True or False"):
        nbv.grad_camera(net(), picture, overlay="yes")
    wrong = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(256, 3))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        nbv.grad_camera(wrong, picture)
    signal = nn.Sequential(nn.Flatten(2), nn.Conv1d(1, 2, 3), nn.ReLU(), nn.Flatten(1),
                           nn.Linear(1116, 3))  # fmt: skip
    for camera in (nbv.grad_camera, nbv.activation_camera):
        with pytest.raises(NoMapError, match="positions of '2' are L, not height and width"):
            camera(signal, picture)
    with pytest.raises((RuntimeError, ValueError)):
        nbv.activation_camera(Lstm(), picture)


def test_an_overlay_lies_over_the_picture_before_its_transforms():
    from torchvision.transforms import Normalize

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        model[0].weight.zero_()  # a blank map: the picture alone
        model[0].bias.zero_()
    pixels, normalize = torch.rand(3, 12, 12), Normalize([0.3] * 3, [0.1] * 3)
    drawn = nbv.grad_camera(model, normalize(pixels), overlay=True, transforms=normalize)
    assert abs(drawn - pixels.permute(1, 2, 0).numpy() * 255).max() <= 1
