""" "Can I trust this map?" in a GradCAMViewer: buttons, refusals, answers, the function."""

import numpy as np
import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.analysis.drawing import Picture
from nbtorchviz.attribution.trust import faithfulness
from nbtorchviz.errors import NoMapError
from nbtorchviz.widgets.cam_trust import CamTrust
from tests.widgets.test_gradcam_viewer import NAMES, network
from tests.widgets.view import View


@pytest.fixture
def viewer():
    images = torch.rand(2, 1, 14, 14, generator=torch.Generator().manual_seed(0))
    model = network()
    viewer = nbv.GradCAMViewer(model, images, class_names=NAMES)
    yield viewer
    assert viewer.session.faults == []
    viewer.session.close()


def trust_of(viewer):
    viewer.session.flush()
    return viewer._state()["cam"]["trust"]


def refusals(viewer):
    return {check["id"]: check["refusal"] for check in trust_of(viewer)["checks"]}


def test_the_function_checks_the_map_that_is_shown(viewer):
    viewer.select(layer="1", target="two", method="hirescam")
    model, images = viewer.session.model, viewer._given.inputs.args[0]
    result = nbv.gradcam(model, images[1:2], target=2, layer="1", method="hirescam")
    answer = viewer.trust("faithfulness", image=1)
    assert answer.result == faithfulness(model, images[1:2], result)
    assert answer.text.startswith("HiResCAM of 1 for two, image 1, step 0: ")
    assert "RISE" in answer.text
    assert trust_of(viewer)["answers"]["faithfulness"]["about"] == answer.about
    assert "Adebayo" in viewer.trust("weights").text
    assert list(viewer.trust("methods").result.correlations) == ["gradcam", "layercam"]


def test_without_a_class_that_is_chosen_the_predicted_one_is_meant(viewer):
    predicted = viewer.result.targets
    assert viewer.trust("methods", image=1).question.target == predicted[1]


def test_a_button_only_asks_and_pieces_run_when_the_kernel_is_idle(viewer, monkeypatch):
    posted = []
    monkeypatch.setattr(
        "nbtorchviz.widgets.idle_turns.kernel_loop_call", lambda job: posted.append(job) or True
    )
    view = View(viewer)
    view.action("trust:weights:1")
    assert trust_of(viewer)["running"]["check"] == "weights"
    assert trust_of(viewer)["answers"] == {}  # nothing ran where the message was heard
    viewer._tick()
    assert len(posted) == 1  # not posted twice
    turns = 0
    while posted:
        posted.pop()()
        turns += 1
    assert turns > 4  # one piece in each turn of the kernel's loop
    trust = trust_of(viewer)
    assert trust["running"] is None
    answer = trust["answers"]["weights"]
    assert (answer["row"], answer["layer"], answer["method"]) == (1, "3", "gradcam")
    view.action("trust:methods:0")
    view.action("trust:cancel")
    assert trust_of(viewer)["running"] is None


def test_a_loop_that_is_faster_than_the_message_thread_stalls_nothing(viewer, monkeypatch):
    monkeypatch.setattr(
        "nbtorchviz.widgets.idle_turns.kernel_loop_call", lambda job: job() is None
    )  # runs it before the call returns
    view = View(viewer)
    for check in ("weights", "methods", "weights"):
        view.action(f"trust:{check}:0")
        assert trust_of(viewer)["running"] is None
    assert list(trust_of(viewer)["answers"]) == ["weights", "methods"]


def test_a_finished_check_is_in_the_summary_and_on_the_saved_picture(viewer, monkeypatch):
    drawn, real = [], Picture.text

    def text(self, at, words, **how):
        drawn.append(words)
        return real(self, at, words, **how)

    monkeypatch.setattr(Picture, "text", text)
    before = viewer.summary()
    viewer.snapshot()
    assert not any("Checked" in text for text in drawn)
    answer = viewer.trust("methods", image=1)
    assert viewer.summary() == f"{before}\n  {answer.about}: {answer.result.verdict}"
    viewer.snapshot()
    assert any(f"Checked, image 1: {answer.result.verdict}" in text for text in drawn)
    drawn.clear()
    viewer.select(method="layercam")  # another map
    viewer.snapshot()
    assert not any("Checked" in text for text in drawn)


def test_a_press_that_came_too_late_is_no_fault(viewer):
    viewer.select(contrast=1)
    View(viewer).action("trust:weights:0")
    assert trust_of(viewer)["running"] is None


def test_what_cannot_be_checked_says_why(viewer):
    assert refusals(viewer) == {"faithfulness": "", "weights": "", "methods": ""}
    viewer.select(contrast="second")
    assert all("choose “nothing”" in said for said in refusals(viewer).values())
    with pytest.raises(NoMapError, match="It is for one class"):
        viewer.trust("weights")
    viewer.select(contrast=None)
    with pytest.raises(ValueError, match="check must be one of 'faithfulness'"):
        viewer.trust("all")
    with pytest.raises(ValueError, match="image must be from 0 to 1, got 2"):
        viewer.trust(image=2)


def made(model, images, **how):
    viewer = nbv.GradCAMViewer(model, images, **how)
    found = refusals(viewer)
    viewer.session.close()
    return found


def test_models_without_pictures_or_classes_are_refused_in_words():
    torch.manual_seed(0)
    rows = nn.Sequential(
        nn.Conv1d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    found = made(rows, torch.rand(3, 2, 20))
    assert "this map is over" in found["faithfulness"]
    assert (found["weights"], found["methods"]) == ("", "")
    found = made(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), torch.rand(1, 1, 9, 9),
                 target=lambda output: output.mean((1, 2, 3)))  # fmt: skip
    assert all("class scores" in said for said in found.values())
    found = made(network(), torch.rand(1, 1, 9, 9), target=lambda output: output[:, 0])
    assert all("in place of your target" in said for said in found.values())
    assert all("no map yet" in said for said in made(network(), None).values())


def test_the_cost_is_said_before(viewer):
    costs = {check["id"]: check["cost"] for check in trust_of(viewer)["checks"]}
    assert costs["faithfulness"].startswith("242 runs, ")
    desk = viewer._desk
    assert np.isfinite(desk.pass_s)
    for seconds, words in ((0.001, "under 1 s"), (0.01, "about 3 s"), (1.0, "about 4 min")):
        desk._slot_s = seconds * len(desk.images)
        assert CamTrust._cost(viewer._trust, "faithfulness") == f"242 runs, {words}"
