"""``private=True``: what Jupyter saves of a widget holds no pixels, what views get does."""

import base64

import IPython.display
import pytest
import torch
from ipywidgets import Widget
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.analysis.cockpit_picture import cockpit_heading
from nbtorchviz.analysis.packets import unpack
from nbtorchviz.widgets.findings_state import findings_state
from nbtorchviz.widgets.static_picture import PRIVATE, stacked
from tests.widgets.view import View

X = torch.rand(4, 1, 12, 12, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def session():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    session = nbv.watch(model, optimizer, every=1)
    session.train = lambda: train(model, optimizer)
    yield session
    assert session.faults == []
    session.close()


def train(model, optimizer, scale=1.0):
    for _ in range(3):
        optimizer.zero_grad()
        (model(X).square().mean() * scale).backward()
        optimizer.step()


def saved_bytes(*widgets):
    """Names of the traits whose bytes Jupyter would save in the notebook, by class."""
    found = {}
    for widget in widgets:
        state = Widget.get_manager_state(widgets=[widget])["state"][widget.model_id]
        names = {
            b["path"][0] for b in state.get("buffers", ()) if len(base64.b64decode(b["data"])) > 0
        }
        found |= {type(widget).__name__: names} if names else {}
    return found


def messages_of(monkeypatch, widget):
    """Record packets by the name of the trait that they stand for."""
    sent = {}

    def record(content, buffers=None):
        if content["type"] == "private":
            sent[content["name"]] = bytes(buffers[0])

    monkeypatch.setattr(widget, "send", record)
    return sent


def bundles_of(monkeypatch, widget):
    shown = []
    monkeypatch.setattr(IPython.display, "display", lambda data, **_: shown.append(data))
    widget._picture.display()
    return shown[0]


@pytest.mark.parametrize("private", [False, True])
def test_maps_of_an_activation_browser(monkeypatch, session, private):
    browser = nbv.ActivationBrowser(session, layer="0", private=private)
    sent = messages_of(monkeypatch, browser)
    View(browser)
    session.train()
    session.flush()
    assert saved_bytes(browser) == ({} if private else {"ActivationBrowser": {"picture"}})
    packet = sent["picture"] if private else browser.picture
    assert unpack(packet)[1]["planes"].shape == (4, 10, 10)
    bundle = bundles_of(monkeypatch, browser)
    assert ("image/png" in bundle, PRIVATE in bundle["text/plain"]) == (not private, private)
    assert browser.snapshot().startswith(b"\x89PNG")


def test_what_the_first_nan_was_made_of(monkeypatch, session):
    browser = nbv.ActivationBrowser(session, private=True)
    sent = messages_of(monkeypatch, browser)
    View(browser)
    session.train()
    with torch.no_grad():
        session.model[0].weight[0, 0, 0, 0] = float("nan")
    session.train()
    session.flush()
    assert session.first_nonfinite is not None
    assert "nonfinite" in sent
    assert saved_bytes(browser) == {}


@pytest.mark.parametrize("private", [False, True])
def test_images_maps_and_editor_of_a_gradcam_viewer(monkeypatch, session, private):
    viewer = nbv.GradCAMViewer(session, X[:2], private=private)
    sent = messages_of(monkeypatch, viewer)
    View(viewer)
    editor = viewer.edit(0)
    edited = messages_of(monkeypatch, editor)
    View(editor)
    editor.brush([(3, 4), (9, 4)])
    session.flush()
    canvas = editor._pad.canvas
    names = saved_bytes(viewer, editor, canvas)
    both = {"GradCAMViewer": {"images", "picture"}, "InputEditor": {"picture"}}
    assert names == ({} if private else both)
    if private:
        assert unpack(sent["images"])[1]["image0"].shape == (12, 12)
        assert unpack(sent["picture"])[0]["layers"]
        assert unpack(edited["picture"])[1]["difference"].any()
    for widget in (viewer, editor):
        assert ("image/png" in bundles_of(monkeypatch, widget)) is not private


def test_only_the_maps_of_a_gradient_inspector_are_pixels(monkeypatch, session):
    inspector = nbv.GradientInspector(session, layer="0", private=True)
    sent = messages_of(monkeypatch, inspector)
    View(inspector)
    session.train()
    session.flush()
    assert "image/png" in bundles_of(monkeypatch, inspector)
    inspector.select(view="maps")
    session.train()
    session.flush()
    assert "planes" in unpack(sent["maps"])[1]
    assert saved_bytes(inspector) == {"GradientInspector": {"picture"}}  # norms by depth and time
    bundle = bundles_of(monkeypatch, inspector)
    assert "image/png" not in bundle
    assert bundle["text/plain"].endswith(PRIVATE)


def test_all_parts_of_a_cockpit(monkeypatch, session):
    cockpit = nbv.Cockpit(session, private=True)
    for part in cockpit.children:
        View(part)
    session.train()
    session.log(loss=1.0)
    session.flush()
    assert saved_bytes(*cockpit.children) == {
        "LiveLossPlot": {"curve"},
        "GradientInspector": {"picture"},
    }
    bundle = bundles_of(monkeypatch, cockpit)
    heading = cockpit_heading(cockpit.header._state(), findings_state(session))
    saved = base64.b64decode(bundle["image/png"])
    assert saved == stacked([heading, cockpit.loss.snapshot()])
    assert bundle["text/plain"].endswith(PRIVATE)


def test_a_tensor_that_is_shown(monkeypatch):
    view = nbv.show(X, private=True)
    sent = messages_of(monkeypatch, view)
    assert saved_bytes(view) == {}
    view._on_message(None, {"type": "ready", "view": "v"}, [])
    view._on_message(None, {"type": "intent", "name": "sample", "value": 2, "view": "v"}, [])
    assert unpack(sent["picture"])[0]["seq"] == 2
    assert saved_bytes(view) == {}
    shown = []
    monkeypatch.setattr(IPython.display, "display", lambda data, **_: shown.append(data))
    view._ipython_display_()
    assert "image/png" not in shown[0]
    assert shown[0]["text/plain"].endswith(PRIVATE)
    view.close()


def test_private_is_true_or_false(session):
    with pytest.raises(TypeError, match="private must be True or False"):
        nbv.ActivationBrowser(session, private="yes")
