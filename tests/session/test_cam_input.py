"""Methods that map the input in a viewer: computed when asked, never by the clock."""

import numpy as np
import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.analysis.packets import unpack
from nbtorchviz.attribution import methods
from nbtorchviz.errors import NoMapError
from nbtorchviz.session import input_turns
from nbtorchviz.session.cam_compute import CamRequest
from nbtorchviz.session.cam_images import cam_images
from nbtorchviz.session.cam_input import compute_input
from tests.models import ReluTwice
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
    assert absent["deeplift"] == "pip install captum"
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


class Training:
    """A model that trains beside a viewer, whose pieces are done at every boundary."""

    def __init__(self, *, viewer=True, model=None):
        torch.manual_seed(0)
        self.model = network() if model is None else model
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.viewer = None
        if viewer:
            session = nbv.watch(self.model, self.optimizer, every=1)
            self.viewer = nbv.GradCAMViewer(session, IMAGES)
            self.view, self.desk = View(self.viewer), self.viewer._desk
            self.desk.turns._pace.share = 1e9

    def step(self, count=1):
        for _ in range(count):
            self.optimizer.zero_grad()
            nn.functional.cross_entropy(self.model(IMAGES), torch.tensor([1, 2])).backward()
            self.optimizer.step()

    def finish(self):
        steps = 0
        while self.desk.wanted:
            self.step()
            steps += 1
        return steps


@pytest.fixture
def training(monkeypatch):
    monkeypatch.setattr("nbtorchviz.session.turns.SLICE_S", 0.0)  # one piece at each boundary
    made = Training()
    yield made
    assert made.viewer.session.faults == []
    made.viewer.session.close()


@present
def test_while_it_trains_they_are_made_once_for_each_time_they_are_chosen(training, monkeypatch):
    made, real = [], input_turns.input_pieces
    monkeypatch.setattr(
        input_turns, "input_pieces", lambda *a, **how: made.append(how["step"]) or real(*a, **how)
    )
    training.step(2)
    training.view.intent("method", "smoothgrad")
    assert training.finish() > 3
    training.step(5)
    assert made == [3]
    training.viewer.cell_ended()
    training.view.intent("layer", "0")  # there is none to choose
    training.step()
    assert made == [3]
    training.view.intent("target", 2)
    training.finish()
    assert len(made) == 2
    training.view.intent("method", "smoothgrad")  # chosen again, of newer weights
    training.finish()
    assert len(made) == 3
    training.view.intent("method", "gradcam")
    training.step(2)
    assert training.viewer.result.method == "gradcam"


@present
def test_pieces_are_of_the_weights_that_they_began_with_and_train_on_bit_for_bit(training):
    training.step(2)
    training.view.intent("method", "occlusion")
    training.step()
    wanted = nbv.gradcam(training.model, IMAGES, method="occlusion")
    assert state_of(training.viewer)["turns"]["method"] == "occlusion"
    steps = 3 + training.finish()
    assert training.viewer.result.maps == pytest.approx(wanted.maps, abs=1e-6)
    assert training.desk.shot.frame.step == 3
    assert state_of(training.viewer)["turns"] is None
    alone = Training(viewer=False)
    alone.step(steps)
    for ours, theirs in zip(training.model.parameters(), alone.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@present
def test_progress_is_told_and_can_be_cancelled_and_begun_again(training):
    training.step(2)
    training.view.intent("method", "occlusion")
    shares = []
    for _ in range(4):
        training.step()
        shares.append(state_of(training.viewer)["turns"]["share"])
    assert shares == sorted(shares)
    assert 0 < shares[-1] < 1
    training.view.action("input:cancel")
    assert state_of(training.viewer)["turns"] is None
    assert not training.desk.wanted
    assert training.viewer._choice.method == "gradcam"  # the maps that are shown
    training.step(2)
    assert training.desk.shot.frame.method == "gradcam"
    training.view.intent("method", "occlusion")
    training.finish()
    first = training.desk.shot.frame.step
    training.view.action("input:again")
    training.step()
    training.view.action("input:cancel")  # the map before stays
    assert training.viewer._choice.method == "occlusion"
    assert training.desk.shot.frame.step == first
    training.view.action("input:again")
    training.finish()
    assert training.desk.shot.frame.step > first


@present
def test_a_model_that_cannot_be_copied_is_run_in_one_piece(monkeypatch):
    monkeypatch.setattr("nbtorchviz.session.turns.SLICE_S", 0.0)

    class Single(nn.Sequential):
        def __deepcopy__(self, memo):
            raise TypeError("there is one of these")

    training = Training(model=Single(*network()))
    training.step(2)
    training.view.intent("method", "smoothgrad")
    assert training.finish() == 1
    assert training.viewer.result.method == "smoothgrad"
    assert "Training waited for this" in training.desk.shot.frame.notes[-1]
    assert training.viewer.session.faults == []
    training.viewer.session.close()


@present
def test_pieces_run_when_the_kernel_is_idle(monkeypatch):
    posted = []
    monkeypatch.setattr(
        "nbtorchviz.widgets.idle_turns.kernel_loop_call", lambda job: posted.append(job) or True
    )
    model = network()
    viewer = nbv.GradCAMViewer(model, IMAGES)
    View(viewer).intent("method", "integrated_gradients")
    turns = 0
    while posted:
        posted.pop()()
        turns += 1
    assert turns > 4
    wanted = nbv.gradcam(model, IMAGES, method="integrated_gradients")
    assert viewer.result.maps == pytest.approx(wanted.maps, abs=1e-6)
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
    model = ReluTwice()
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
