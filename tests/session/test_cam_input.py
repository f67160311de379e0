"""Methods that map the input in a viewer: computed when asked, never by the clock."""

import numpy as np
import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.analysis.packets import unpack
from nbtorchviz.attribution import methods
from nbtorchviz.errors import NoMapError
from nbtorchviz.session import cam_desk
from nbtorchviz.session.cam_compute import CamRequest
from nbtorchviz.session.cam_images import cam_images
from nbtorchviz.session.cam_input import compute_input
from tests.widgets.test_gradcam_viewer import NAMES, network
from tests.widgets.view import View

present = pytest.mark.skipif(not methods.has_captum(), reason="captum is not installed")
IMAGES = torch.rand(2, 1, 14, 14, generator=torch.Generator().manual_seed(0))


def state_of(viewer):
    return viewer._state()["cam"]


def test_without_captum_the_viewer_says_what_to_install(monkeypatch):
    monkeypatch.setattr(methods, "find_spec", lambda name: None)
    model = network()
    viewer = nbv.GradCAMViewer(model, IMAGES)
    absent = state_of(viewer)["absent"]
    assert absent["deeplift"] == "pip install nbtorchviz[captum]"
    assert list(absent) == list(methods.INPUT_METHODS)
    with pytest.raises(ImportError, match="Occlusion is captum's"):
        viewer.select(method="occlusion")
    with pytest.raises(ImportError, match="SmoothGrad is captum's"):
        nbv.GradCAMViewer(model, IMAGES, method="smoothgrad")
    assert viewer.result.method == "gradcam"
    viewer.session.close()


@present
@pytest.mark.parametrize("method", methods.INPUT_METHODS)
def test_a_viewer_shows_the_map_of_the_input_and_goes_back_to_layers(method):
    model = network()
    viewer = nbv.GradCAMViewer(model, IMAGES, class_names=NAMES, layer="1")
    assert state_of(viewer)["absent"] == {}
    assert set(state_of(viewer)["costs"]) == set(methods.INPUT_METHODS)
    viewer.select(method=method)
    wanted = nbv.gradcam(model, IMAGES, method=method)
    assert np.array_equal(viewer.result.maps, wanted.maps)
    assert viewer.result.layer == "input"
    viewer.session.flush()
    header, arrays = unpack(viewer.picture)
    assert [layer["key"] for layer in header["layers"]] == ["input"]
    assert header["layers"][0]["note"] == wanted.notes[-1]
    assert arrays["classes"].shape == (2, 1)  # of what is explained, no others
    assert f"{method} of input, step 0" in viewer.summary()
    assert viewer.snapshot()[:4] == b"\x89PNG"
    refusals = {check["refusal"] for check in state_of(viewer)["trust"]["checks"]}
    assert refusals == {"It is for maps of layers: choose another method."}
    viewer.select(method="hirescam")
    assert (viewer.result.method, viewer.result.layer) == ("hirescam", "1")
    assert viewer.session.faults == []
    viewer.session.close()


@present
def test_while_it_trains_they_are_made_once_for_each_time_they_are_chosen(monkeypatch):
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    viewer = nbv.GradCAMViewer(nbv.watch(model, optimizer, every=1), IMAGES)
    made = []
    real = cam_desk.compute_input
    monkeypatch.setattr(
        cam_desk,
        "compute_input",
        lambda *args, **how: made.append(how["step"]) or real(*args, **how),
    )
    view = View(viewer)

    def train(steps):
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(IMAGES), torch.tensor([1, 2])).backward()
            optimizer.step()

    train(2)
    view.intent("method", "smoothgrad")
    train(5)
    assert made == [3]
    viewer.cell_ended()
    assert made == [3]
    view.intent("target", 2)
    train(3)
    assert made == [3, 8]
    view.intent("method", "smoothgrad")  # chosen again, of newer weights
    train(2)
    assert made == [3, 8, 11]
    view.intent("method", "gradcam")
    train(2)
    assert viewer.result.method == "gradcam"
    assert viewer.session.faults == []
    viewer.session.close()


@present
def test_a_contrast_is_the_difference_of_two_maps_where_they_have_a_sign():
    model, images = network(), cam_images(IMAGES)
    request = CamRequest(method="integrated_gradients", target=1, contrast=3)
    shot = compute_input(model, images, request)
    assert shot.frame.classes.tolist() == [[1, 3], [1, 3]]
    assert shot.frame.linear
    second = compute_input(model, images, CamRequest(method="occlusion", contrast="second"))
    assert second.frame.classes[:, 0].tolist() == [top[0][0] for top in second.frame.tops]
    assert second.frame.classes[:, 1].tolist() == [top[1][0] for top in second.frame.tops]
    with pytest.raises(NoMapError, match="without a sign"):
        compute_input(model, images, CamRequest(method="smoothgrad", contrast=1))
    with pytest.raises(NoMapError, match="in place of your target"):
        compute_input(
            model, images, CamRequest(method="smoothgrad", own=lambda output: output[:, 0])
        )


@present
def test_what_cannot_be_explained_is_said_and_the_maps_before_stay():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.relu = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 3, 3), nn.ReLU()

        def forward(self, x):
            return self.relu(self.b(self.relu(self.a(x)))).mean((2, 3))

    model = Twice()
    viewer = nbv.GradCAMViewer(model, IMAGES)
    viewer.select(method="deeplift")
    message = state_of(viewer)["message"]
    assert message["title"] == "No map can be drawn."
    assert "called once" in message["lines"][0]
    assert viewer._desk.shot.frame.method == "gradcam"
    viewer.session.close()


@present
def test_they_do_not_follow_a_brush_and_say_so():
    model = network()
    viewer = nbv.GradCAMViewer(model, IMAGES, method="smoothgrad")
    viewer._desk.edit({0: torch.zeros(1, 14, 14)})
    viewer._desk.run_when_idle()
    assert "choose Grad-CAM or another method of layers" in state_of(viewer)["message"]["lines"][0]
    viewer._desk.edit({})
    viewer._desk.run_when_idle()
    assert state_of(viewer)["message"] is None
    viewer.session.close()
