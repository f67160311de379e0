"""InputEditor: strokes from Python and from the pad, what follows them, and refusals."""

import builtins
import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.analysis.packets import unpack
from nbtorchviz.widgets.editor_pad import Pad
from tests.capture.test_identical import assert_same, state_of
from tests.widgets.test_gradcam_viewer import NAMES, network
from tests.widgets.view import View


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


@pytest.fixture
def editor(viewer):
    return viewer.edit(1)


def pad_says(editor, event, **content):
    """What ipycanvas' view would send."""
    editor._pad.canvas._handle_frontend_event(None, {"event": event, **content}, [])


def result(editor):
    editor.session.flush()
    return unpack(editor.picture)


def p_of(model, image):
    return model.eval()(image[None]).detach().softmax(1)[0]


def test_a_stroke_is_explained_at_once_and_compared_by_the_same_weights(editor, model, images):
    before = editor.viewer.result.maps.copy()
    editor.brush([(2, 3), (11, 3)], size=3, value=4.0)
    wanted = images[1].clone()
    wanted[0, 2:5, 1:13] = 4.0
    assert torch.equal(editor.image, wanted)
    assert torch.equal(editor.original, images[1])
    assert torch.equal(editor.difference, wanted - images[1])
    maps = editor.viewer.result.maps
    alone = nbv.gradcam(model, wanted[None]).maps[0]
    assert np.allclose(maps[1], alone, atol=1e-6 * np.abs(alone).max())
    assert np.allclose(maps[0], before[0], atol=1e-6 * np.abs(before[0]).max())
    header, arrays = result(editor)
    assert (header["changed"], header["pixels"], header["computed"]) == (36, 196, True)
    now, then = p_of(model, wanted), p_of(model, images[1])
    for cls, name, old, new in header["classes"]:
        assert name == NAMES[cls]
        assert (old, new) == pytest.approx((then[cls].item(), now[cls].item()), abs=1e-6)
    assert header["explained"] == now.argmax()
    assert header["most"] == pytest.approx((wanted - images[1]).max().item())
    assert arrays["difference"].shape == (14, 14)
    assert (arrays["difference"] != 127).sum() == 36
    assert f"36 of 196 pixels changed (18.4 %); {NAMES[now.argmax()]}: " in editor.summary()
    assert "image 1, edited: predicted " in editor.viewer.summary()


def test_erase_occlude_blank_reset_and_undo_are_exact(editor, images):
    mean = images[1].double().mean().float()
    editor.erase([(5, 5)], size=1)
    assert editor.image[0, 5, 5] == mean
    assert (editor.difference != 0).sum() == 1
    editor.rectangle(10, 3, 8, 1)
    assert (editor.image[0, 1:4, 8:11] == mean).all()
    seen = [editor.image]
    editor.blank()
    assert (editor.image == images.min()).all()  # of all images: an empty picture like the others
    seen.append(editor.image)
    editor.brush([(7, 7)])
    editor.reset()
    assert torch.equal(editor.image, images[1])
    assert editor.viewer.result is not None
    assert "no pixel changed" in editor.summary()
    assert editor.undo()
    assert editor.undo()
    for wanted in reversed(seen):
        assert torch.equal(editor.image, wanted)
        assert editor.undo()
    assert editor.undo()
    assert torch.equal(editor.image, images[1])
    assert not editor.undo()


def test_the_pointer_draws_on_the_pad(editor, images):
    view = View(editor)
    view.intent("size", 1)
    view.intent("ink", [0.5])
    pad_says(editor, "mouse_move", x=3.2, y=4.9)  # no button is down
    assert editor.painting.changed == 0
    pad_says(editor, "mouse_down", x=3.2, y=4.9)
    assert editor.image[0, 4, 3] == 0.5
    pad_says(editor, "mouse_move", x=6.6, y=4.1)
    assert (editor.image[0, 4, 3:7] == 0.5).all()
    assert len(editor.viewer._desk.shot.passes) == 2  # more is to come: the leading classes
    pad_says(editor, "mouse_out", x=15, y=4)
    assert len(editor.viewer._desk.shot.passes) == 4
    assert result(editor)[0]["computed"]
    pad_says(editor, "mouse_move", x=1, y=13)
    assert len(editor.painting.strokes) == 1
    view.intent("tool", "rectangle")
    pad_says(editor, "touch_start", touches=[{"x": 0.5, "y": 0.5}])
    pad_says(editor, "touch_move", touches=[{"x": 9.5, "y": 9.5}, {"x": 0, "y": 0}])
    pad_says(editor, "touch_move", touches=[{"x": 1.5, "y": 2.5}])
    pad_says(editor, "touch_end", touches=[])
    assert (editor.image[0, :3, :2] == images[1].double().mean().float()).all()
    view.action("undo")
    assert (editor.painting.changed, result(editor)[0]["strokes"]) == (4, 1)
    view.intent("stroke", ["down", 7, 4])  # by keyboard
    view.intent("stroke", ["move", 8, 4])
    view.intent("stroke", ["up", 8, 4])
    assert len(editor.painting.strokes) == 2
    view.action("reset")
    assert torch.equal(editor.image, images[1])
    view.action("blank")
    assert torch.equal(editor.image, torch.full_like(images[1], images.min()))
    assert editor.session.faults == []


def test_only_what_changed_is_drawn_and_all_of_it_for_a_new_page(editor, monkeypatch):
    sent = []
    monkeypatch.setattr(
        editor._pad.canvas, "put_image_data", lambda pixels, x, y: sent.append((pixels, x, y))
    )
    View(editor)
    editor.session.flush()
    whole = sent[-1][0]
    assert (whole.shape, sent[-1][1:]) == ((14, 14, 4), (0, 0))
    assert (whole[..., 3] == 255).all()  # three channels would be sent as a lossy JPEG
    editor.brush([(4, 9), (7, 9)], size=1, value=0.5)
    editor.session.flush()
    assert (sent[-1][0].shape, sent[-1][1:]) == ((1, 4, 4), (4, 9))
    assert (sent[-1][0][..., :3] == 128).all()
    count = len(sent)
    pad_says(editor, "client_ready")
    editor.session.flush()
    assert len(sent) == count + 1
    assert np.array_equal(sent[-1][0][..., 0], editor._pixels(editor.image))


def test_photographs_larger_than_the_pad_and_colours():
    photo = torch.rand(3, 500, 300)
    viewer = nbv.GradCAMViewer(nn.Sequential(nn.Conv2d(3, 2, 9, 4), nn.ReLU()), photo)
    editor = viewer.edit()
    assert (editor._pad.canvas.height, editor._pad.canvas.width) == (167, 100)
    view = View(editor)
    view.intent("ink", [1.0, 0.0, 0.25])
    view.intent("size", 9)
    pad_says(editor, "mouse_down", x=50, y=80)
    assert editor.image[:, 239, 149].tolist() == [1.0, 0.0, 0.25]
    editor.brush([(0, 0)], size=1, value=[0.1, 0.2, 0.3])
    assert editor.image[:, 0, 0].tolist() == pytest.approx([0.1, 0.2, 0.3])
    header, arrays = result(editor)
    assert arrays["difference"].shape == (167, 100)
    assert header["classes"] == []  # no class scores
    assert editor.summary().endswith("%)")
    viewer.session.close()


def test_the_pad_paints_in_the_numbers_of_a_normalised_image():
    levels = torch.randint(0, 256, (1, 28, 28)) / 255
    viewer = nbv.GradCAMViewer(
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), (levels - 0.1307) / 0.3081
    )
    editor = viewer.edit()
    View(editor).intent("ink", [1.0])
    pad_says(editor, "mouse_down", x=5, y=5)
    assert editor.image[0, 5, 5].item() == pytest.approx((1 - 0.1307) / 0.3081)
    assert editor._pixels(editor.image)[5, 5] == 255
    viewer.session.close()


def test_one_editor_at_a_time_and_closing_brings_the_image_back(viewer, images, model):
    before = viewer.result.maps.copy()
    first = viewer.edit(0)
    assert viewer.edit(0) is first
    assert viewer._state()["editor"] == {"id": first.model_id, "row": 0}
    first.blank()
    assert not np.allclose(viewer.result.maps[0], before[0])
    second = viewer.edit(1)
    assert viewer.editor is second
    assert np.array_equal(viewer.result.maps, before)
    second.blank()
    View(viewer).action("edit 0")
    assert viewer.editor.row == 0
    View(viewer.editor, "view-2").action("close")
    assert viewer.editor is None
    assert viewer._state()["editor"] is None
    assert np.array_equal(viewer.result.maps, before)
    third = viewer.edit(1)
    third.blank()
    viewer.show(images[:1])
    assert viewer.editor is None
    assert viewer.summary().count("edited") == 0
    viewer.edit(0)
    viewer.close()
    assert viewer.editor is None


def test_what_refuses_to_explain_a_painted_image_is_said(editor):
    editor.brush([(3, 3)])
    assert editor._state()["editor"]["refusal"] == ""
    editor.viewer._desk.error = ValueError("Too many runs.")
    assert editor._state()["editor"]["refusal"] == "Too many runs."


def test_trust_is_asked_of_the_map_of_the_painted_image(editor):
    editor.brush([(3, 3), (9, 9)], size=4, value=3.0)
    question = editor.viewer._trust._question("weights", 1)
    assert torch.equal(question.inputs.args[0][0], editor.image)
    assert question.image == "image 1, edited"


def test_the_editor_closes_when_another_model_takes_the_place(editor, monkeypatch):
    viewer, other = editor.viewer, network()
    editor.blank()
    monkeypatch.setattr(type(viewer), "_find_successor", lambda self: other)
    assert viewer.follow_successor()
    assert viewer.editor is None
    assert viewer.session.model is other
    assert "edited" not in viewer.summary()
    viewer.edit(1).blank()
    assert viewer.summary().count("edited") == 1


def test_held_steps_give_way_to_the_newest_and_come_back(viewer, model, images):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    viewer.session.recorder.every = 1
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), torch.tensor([1, 2])).backward()
        optimizer.step()
    viewer.select(step=1)
    editor = viewer.edit(0)
    editor.blank()
    assert viewer.selection["step"] in (1, None)
    assert viewer._choice.step is None
    assert viewer.tape == [3]  # maps of earlier steps are of another picture
    editor.reset()
    assert viewer.tape == [0, 1, 2, 3]


def test_a_browser_that_pins_the_image_follows(model, images):
    browser = nbv.ActivationBrowser(model, layer="0", probe=images[1:])
    viewer = nbv.GradCAMViewer(model, images)
    before = browser.frame.to_numpy()
    editor = viewer.edit(1)
    editor.brush([(3, 3), (9, 9)], size=4, value=3.0)
    browser.session.flush()
    wanted = model[0](editor.image[None])[0].detach().numpy()
    assert np.allclose(browser.frame.to_numpy(), wanted, atol=1e-5)
    editor.close()
    browser.session.flush()
    assert np.allclose(browser.frame.to_numpy(), before, atol=1e-6)
    browser.session.close()


def test_training_is_the_same_bit_for_bit_while_somebody_paints(images):
    states = []
    for paints in (False, True):
        torch.manual_seed(3)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 6),
        )  # fmt: skip
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        session = nbv.watch(model, optimizer)
        editor = nbv.GradCAMViewer(session, images).edit() if paints else None
        torch.manual_seed(4)
        for at in range(8):
            if editor is not None:
                pad_says(editor, ("mouse_down", "mouse_move", "mouse_up")[at % 3], x=at, y=at)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(torch.rand(4, 1, 14, 14)), torch.arange(4)).backward()
            optimizer.step()
        states.append(state_of(model, optimizer))
        if editor is not None:
            assert editor.painting.changed > 3
            assert session.faults == []
        session.close()
    assert_same(*states)


def test_without_ipycanvas_a_sentence_says_what_to_install(viewer, monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "ipycanvas":
            raise ModuleNotFoundError("No module named 'ipycanvas'", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    editor = viewer.edit()
    sentence, remedy = editor._state()["editor"]["missing"]
    assert "needs ipycanvas" in sentence
    assert remedy == 'pip install "ipycanvas>=0.14,<0.15"'
    assert editor.pad == ""
    editor.brush([(3, 3)], value=1.0)  # from Python it works all the same
    assert editor.painting.changed == 1


def test_the_picture_in_the_notebook(editor):
    editor.brush([(3, 3), (9, 9)], size=4, value=3.0)
    picture = Image.open(io.BytesIO(editor.snapshot()))
    assert (picture.width, len(editor.snapshot()) <= 100_000) == (1800, True)
    assert repr(editor) == "<InputEditor of image 1>"


@pytest.mark.parametrize(
    ("act", "error", "match"),
    [
        (lambda e: e.brush([]), ValueError, r"points must be one or more \(x, y\)"),
        (lambda e: e.brush([(1, 2, 3)]), ValueError, "points must be"),
        (lambda e: e.brush([(1, "a")]), TypeError, "points must be"),
        (lambda e: e.brush([(1, float("nan"))]), ValueError, "points must be"),
        (lambda e: e.brush([(1, 2)], size=0), ValueError, "size must be from 1 to 14 pixels"),
        (lambda e: e.brush([(1, 2)], size="big"), TypeError, "size must be"),
        (lambda e: e.brush([(1, 2)], value=[1, 2]), ValueError, "value must be a finite number"),
        (lambda e: e.brush([(1, 2)], value="red"), TypeError, "value must be a finite number"),
        (lambda e: e.brush([(1, 2)], value=float("inf")), ValueError, "value must be"),
        (
            lambda e: e.erase([(40, 2)]),
            ValueError,
            "outside of the picture: x must be from 0 to 13",
        ),
        (lambda e: e.rectangle(-9, -9, -2, 3), ValueError, "outside of the picture"),
        (lambda e: e.viewer.edit(2), ValueError, "row must be from 0 to 1, got 2"),
        (lambda e: e.viewer.edit("a"), TypeError, "row must be a whole number"),
    ],
)
def test_nonsense_is_refused_and_changes_nothing(editor, images, act, error, match):
    with pytest.raises(error, match=match):
        act(editor)
    assert torch.equal(editor.image, images[1])


def test_what_cannot_be_painted_on_is_refused(model):
    viewer = nbv.GradCAMViewer(model)
    with pytest.raises(ValueError, match="no images to paint on yet"):
        viewer.edit()
    viewer.session.close()
    series = nbv.GradCAMViewer(nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU()), torch.rand(3, 2, 40))
    with pytest.raises(ValueError, match="Only pictures of shape"):
        series.edit()
    series.session.close()


def test_a_pad_alone_asks_for_nothing_twice():
    pad = Pad(2, 2, pressed=lambda *_: None, ready=lambda: None)
    pixels = np.zeros((2, 2, 3), np.uint8)
    assert pad.patch(pixels)[0].shape == (2, 2, 4)
    assert pad.patch(pixels.copy()) is None
    pad.close()


def test_a_pad_that_was_removed_is_drawn_on_no_more():
    pad = Pad(2, 2, pressed=lambda *_: None, ready=lambda: None)
    patch = pad.patch(np.zeros((2, 2), np.uint8))
    pad.draw(patch)
    pad.close()
    pad.draw(patch)
