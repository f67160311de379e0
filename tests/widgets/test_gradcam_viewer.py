"""GradCAMViewer: what Python selects and what views ask, packets, pictures and words."""

import io
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.analysis.packets import unpack
from nbtorchviz.errors import LayerNotFoundError
from tests.widgets.view import View

NAMES = ["zero", "one", "two", "three"]


def network():
    torch.manual_seed(2)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
    )  # fmt: skip


@pytest.fixture
def model():
    return network()


@pytest.fixture
def images():
    return torch.rand(2, 1, 14, 14, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def viewer(model, images):
    viewer = nbv.GradCAMViewer(model, images, labels=[1, 2], class_names=NAMES)
    yield viewer
    assert viewer.session.faults == []
    viewer.session.close()


def sent(viewer, view="view-1"):
    """Header and arrays of the maps that a view has."""
    viewer.session.flush()
    return unpack(viewer.picture)


def test_a_viewer_has_maps_as_soon_as_it_is_made(viewer, model, images):
    assert viewer.layer == "3"
    assert np.array_equal(viewer.result.maps, nbv.gradcam(model, images).maps)
    header, arrays = sent(viewer)
    assert [layer["key"] for layer in header["layers"]] == ["0", "1", "2", "3"]
    assert header["layers"][3]["shape"] == [8, 14, 14]
    assert sorted(arrays["classes"][0].tolist()) == [0, 1, 2, 3]  # all, where they are so few
    assert [row["label"] for row in header["rows"]] == [1, 2]
    pictures, pixels = unpack(viewer.images)
    assert pixels["image0"].shape == (14, 14)
    assert pictures["rows"][1]["name"] == "image 1"


def test_photographs_are_sent_small_and_at_once():
    x, y = np.meshgrid(np.linspace(0, 1, 224), np.linspace(0, 1, 224))
    photo = torch.tensor(np.stack([x, y, x * y]), dtype=torch.float32)
    viewer = nbv.GradCAMViewer(nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()), photo)
    header, arrays = unpack(viewer.images)  # without waiting for any sender
    assert (header["rows"][0]["h"], header["rows"][0]["w"]) == (224, 224)
    assert len(viewer.images) < 30_000
    shown = np.asarray(Image.open(io.BytesIO(arrays["jpeg0"].tobytes())), int)
    assert np.abs(shown / 255 - photo.numpy().transpose(1, 2, 0)).mean() < 0.01
    viewer.session.close()


def test_selecting_changes_the_result_and_computes_what_is_missing(viewer, model, images):
    viewer.select(target="two", layer="1")
    assert viewer.result.targets == (2, 2)
    wanted = nbv.gradcam(model, images, target=2, layer="1")
    assert np.array_equal(viewer.result.maps, wanted.maps)
    viewer.select(contrast=0)
    difference = nbv.gradcam(model, images, target=lambda y: y[:, 2] - y[:, 0], layer="1").maps
    assert np.allclose(viewer.result.maps, difference, atol=1e-6 * abs(difference).max())
    assert viewer.result.targets == ("2 - 0", "2 - 0")
    viewer.select(method="layercam")
    wanted = nbv.gradcam(
        model, images, target=lambda y: y[:, 2] - y[:, 0], layer="1", method="layercam"
    )
    assert np.array_equal(viewer.result.maps, wanted.maps)
    assert sent(viewer)[0]["method"] == "layercam"


def test_what_a_view_moves_is_taken_and_comes_back_with_its_number(viewer):
    view = View(viewer)
    for number, (name, value) in enumerate([("opacity", 0.25), ("layer", "0"), ("target", 3)], 1):
        view.say({"type": "intent", "name": name, "value": value, "n": number})
    viewer.session.flush()
    assert viewer.selection["heard"] == {"view-1": 3}
    assert [viewer.selection[n] for n in ("opacity", "layer", "target")] == [0.25, "0", 3]
    assert viewer.result.layer == "0"


def test_an_older_step_is_sent_when_a_view_asks_for_it(viewer, model, images):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    viewer.session.recorder.every = 1
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), torch.tensor([1, 2])).backward()
        optimizer.step()
    assert viewer.tape == [0, 1, 2, 3]
    messages = []
    viewer.send = lambda content, buffers=None: messages.append((content, buffers))
    View(viewer).intent("step", 1)
    viewer.session.flush()
    ((content, buffers),) = messages
    assert content == {"type": "frame"}
    assert unpack(buffers[0])[0]["step"] == 1


def test_layer_and_step_are_shared_with_the_other_widgets(viewer, model):
    other = nbv.ActivationBrowser(model, layer="0")
    view = View(viewer)
    view.intent("layer", "2")
    assert other.layer == "2"
    other.select(layer="1")
    assert viewer.layer == "2"  # a user moved it just now
    view_of_other = View(other, "view-2")
    view_of_other.intent("layer", "0")
    assert viewer.layer == "0"
    view_of_other.intent("layer", "6")  # has no map
    assert viewer.layer == "0"


def test_the_picture_in_the_notebook_and_its_text(viewer):
    text = viewer.summary()
    assert text.splitlines()[0] == "GradCAMViewer of Sequential: gradcam of 3, step 0, eval mode"
    assert "image 1: predicted " in text
    assert ", max " in text
    assert viewer.summary() == text
    small, data = Image.open(io.BytesIO(viewer.snapshot())), viewer.snapshot()
    assert (small.width, len(data) <= 100_000) == (1800, True)
    plain = np.asarray(small.convert("RGB"), int)
    viewer.select(opacity=0.0)
    bare = np.asarray(Image.open(io.BytesIO(viewer.snapshot())).convert("RGB"), int)
    box = (slice(120, 330), slice(290, 500))  # the first image with its map over it
    assert np.abs(plain[box] - bare[box]).mean() > 3


def test_without_images_it_says_what_to_add(model):
    viewer = nbv.GradCAMViewer(model)
    message = viewer._state()["cam"]["message"]
    assert (message["title"], message["code_line"]) == (
        "No images yet.",
        "nbv.GradCAMViewer(model, images)",
    )
    assert viewer.result is None
    assert "No images yet." in viewer.summary()
    assert viewer.snapshot()[:4] == b"\x89PNG"
    viewer.show(torch.rand(1, 14, 14))
    assert viewer._state()["cam"]["message"] is None
    assert viewer._state()["chip"]["mode"] == "idle"
    viewer.session.close()


def test_what_has_no_map_or_is_refused_is_told_in_words(images):
    flat = nn.Sequential(nn.Flatten(), nn.Linear(196, 3))
    viewer = nbv.GradCAMViewer(flat, images)
    message = viewer._state()["cam"]["message"]
    assert message["title"] == "No map can be drawn."
    assert "nothing to draw a map of" in message["lines"][0]
    viewer.session.close()
    wrong = nbv.GradCAMViewer(network(), torch.rand(2, 3, 14, 14))
    message = wrong._state()["cam"]["message"]
    assert message["title"] == "The maps could not be computed: RuntimeError."
    assert wrong.session.faults == []
    wrong.session.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates tracing
        traced = torch.jit.trace(network(), images, check_trace=False)
    with pytest.raises(TypeError, match="scripted and traced"):
        nbv.GradCAMViewer(traced, images)


def test_a_model_that_dies_leaves_its_last_maps(images):
    viewer = nbv.GradCAMViewer(network(), images)
    assert viewer.session.model is None
    state = viewer._state()
    assert state["status"]["code"] == "model_gone"
    assert viewer.result is not None
    viewer.session.close()


@pytest.mark.parametrize(
    ("keywords", "error", "match"),
    [
        ({"layer": "conv9"}, LayerNotFoundError, "No layer 'conv9'"),
        ({"method": "scorecam"}, ValueError, "method must be one of 'gradcam'"),
        ({"opacity": 2}, ValueError, "opacity must be from 0 to 1"),
        ({"target": "cat"}, ValueError, "No class is called 'cat'"),
        ({"target": 4}, ValueError, "target must be a class from 0 to 3"),
        ({"contrast": -1}, ValueError, "contrast must be a whole number"),
        ({"linked": "no"}, TypeError, "linked must be True or False"),
        ({"colour": "red"}, TypeError, "unknown keyword 'colour'"),
    ],
)
def test_nonsense_is_refused_at_once(model, images, keywords, error, match):
    with pytest.raises(error, match=match):
        nbv.GradCAMViewer(model, images, class_names=NAMES, **keywords)
    nbv.watch(model).close()


def test_closing_leaves_no_job_behind(viewer):
    viewer.close()
    assert viewer.session.recorder.jobs._jobs == {}


def test_the_normalisation_of_transforms_is_undone_and_stated():
    from torchvision.transforms import v2

    pixels = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    prepare = v2.Compose([v2.Normalize([0.3, 0.4, 0.5], [0.1, 0.2, 0.3])])
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    how = {"target": lambda output: output.mean((1, 2, 3))}
    viewer = nbv.GradCAMViewer(model, prepare(pixels), transforms=prepare, **how)
    header, arrays = unpack(viewer.images)
    note = "normalisation undone: mean 0.3, 0.4, 0.5; std 0.1, 0.2, 0.3 (transforms=)"
    assert header["rows"][0]["note"] == note
    wanted = pixels[0].permute(1, 2, 0).numpy() * 255
    assert abs(arrays["image0"].astype(float) - wanted).max() <= 0.6
    viewer.show(prepare(pixels))
    assert viewer._given.pictures[0].note == note
    viewer.session.close()
    guessed = nbv.GradCAMViewer(model, prepare(pixels), **how)
    header, _ = unpack(guessed.images)
    assert header["rows"][0]["note"].endswith("shown on its own range; give transforms=)")
    guessed.session.close()
    with pytest.raises(TypeError, match="transforms must be what prepared"):
        nbv.GradCAMViewer(model, pixels, transforms="imagenet")


def test_items_of_training_batches_are_shown_by_the_same_transforms():
    from torchvision.transforms import Normalize

    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    viewer = nbv.GradCAMViewer(
        nbv.watch(model, optimizer, every=1), transforms=Normalize([0.3], [0.1])
    )
    View(viewer)
    for _ in range(3):
        optimizer.zero_grad()
        model((torch.rand(4, 1, 14, 14) - 0.3) / 0.1).sum().backward()
        optimizer.step()
    assert "mean 0.3; std 0.1 (transforms=)" in viewer._desk.images.pictures[0].note
    viewer.session.close()


@pytest.mark.parametrize("last", [nn.Identity(), nn.Sigmoid()])
def test_one_score_is_no_class_and_judges_no_label(last, images):
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, 1), last)
    viewer = nbv.GradCAMViewer(network, images, labels=[0, 1], class_names=["no", "yes"])
    header, _ = sent(viewer)
    assert (header["own"], header["classes_known"]) == ("the score of yes", 0)
    assert [row["top"] for row in header["rows"]] == [[], []]  # nothing to hold a label against
    assert np.array_equal(viewer.result.maps, nbv.gradcam(network, images, target=0).maps)
    said = viewer.summary()
    assert "image 0: the score of yes, max" in said
    assert "predicted" not in said
    viewer.select(target="yes")
    assert "puts out one score per image" in viewer.summary()
    viewer.select(target=None)
    assert "image 1: the score of yes, max" in viewer.summary()
    assert viewer.snapshot()
    viewer.session.close()


class Segmenter(nn.Module):
    """The class of a pixel is its strongest colour."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        for conv in (self.body, self.head):
            nn.init.eye_(conv.weight.data.view(3, 3))
            nn.init.zeros_(conv.bias)

    def forward(self, x):
        return self.head(self.body(x).relu())


def test_a_segmentation_explains_the_class_of_most_pixels_of_each_image_or_the_chosen_one():
    pictures = 0.2 * torch.rand(2, 3, 8, 8)
    pictures[0, 0, 2:] += 0.7
    pictures[1, 2, 2:] += 0.7
    pictures[:, 1, :2] += 0.7
    network, names = Segmenter(), ["red", "green", "blue"]
    viewer = nbv.GradCAMViewer(network, pictures, class_names=names)
    assert viewer.result.targets == nbv.gradcam(network, pictures).targets == (0, 2)
    assert [line.split(",")[0].strip() for line in viewer.summary().splitlines()[1:]] == [
        "image 0: red",
        "image 1: blue",
    ]
    viewer.select(target="green")
    expected = nbv.gradcam(network, pictures, target=1, layer=viewer.layer)
    assert np.array_equal(viewer.result.maps, expected.maps)
    assert viewer.result.targets == (1, 1)
    viewer.select(target=None)
    assert viewer.result.targets == (0, 2)
    viewer.select(contrast=1)
    other = nbv.gradcam(network, pictures, target=1, layer=viewer.layer)
    own = nbv.gradcam(network, pictures, layer=viewer.layer)
    np.testing.assert_allclose(viewer.result.maps, own.maps - other.maps, atol=1e-6)
    viewer.select(method="layercam", contrast=0)
    assert "This contrast needs class scores" in viewer.summary()
    viewer.session.close()


@pytest.mark.parametrize("given", ["abc", {0: "a"}, {"a", "b"}, 3])
def test_class_names_without_an_order_are_refused(model, images, given):
    with pytest.raises(TypeError, match="class_names must be a sequence of names by class index"):
        nbv.GradCAMViewer(model, images, class_names=given)


def test_class_names_may_be_an_array(model, images):
    viewer = nbv.GradCAMViewer(model, images, class_names=np.array(NAMES))
    assert viewer.class_names == tuple(NAMES)
    viewer.session.close()


def test_images_of_bytes_say_what_to_do(model):
    viewer = nbv.GradCAMViewer(model, torch.zeros(2, 1, 14, 14, dtype=torch.uint8))
    message = viewer._state()["cam"]["message"]
    assert "images.float() / 255" in message["lines"][-1]
    assert viewer.summary().count("Error") == 1
    assert message["lines"][0].splitlines()[0] in viewer.summary()
    viewer.session.close()
