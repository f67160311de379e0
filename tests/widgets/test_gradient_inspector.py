"""GradientInspector: numbers are autograd's, views hear what they need, nonsense is refused."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.analysis.packets import unpack
from nbtorchviz.errors import LayerNotFoundError
from nbtorchviz.session.recording import WATCHED_SHARE
from nbtorchviz.widgets.gradient_history import flow_rows, gradient_history


@pytest.fixture
def trained():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 36, 3)
    )
    model[0].bias.requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    session = nbv.watch(model, optimizer, every=1)
    inspector = nbv.GradientInspector(session)
    yield model, optimizer, session, inspector
    session.close()


def step(model, optimizer, session):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(
        model(torch.randn(5, 1, 8, 8)), torch.tensor([0, 1, 2, 0, 1])
    )
    loss.backward()
    gradients = {
        name: None if p.grad is None else p.grad.norm().item()
        for name, p in model.named_parameters()
    }
    optimizer.step()
    session.log(loss=loss)
    return gradients


def test_norms_are_those_of_autograd(trained):
    model, optimizer, session, inspector = trained
    assert inspector.norms() == {}
    assert "no step yet" in inspector.summary()
    for _ in range(3):
        expected = step(model, optimizer, session)
    norms = inspector.norms()
    assert math.isnan(norms.pop("0.bias"))  # frozen
    assert norms == {name: norm for name, norm in expected.items() if norm is not None}
    total = math.sqrt(sum(norm**2 for norm in norms.values()))
    assert f"{total:.4g} over 3 parameters, step 3" in inspector.summary()
    assert session.faults == []


def test_packet_holds_every_kept_step_and_says_what_has_no_number(trained):
    model, optimizer, session, inspector = trained
    assert inspector._produce(200_000) is None
    for _ in range(4):
        step(model, optimizer, session)
    header, arrays = unpack(inspector._produce(200_000).data)
    assert [row[0] for row in header["layers"]] == ["0", "1", "2", "3"]
    assert arrays["steps"].tolist() == [1, 2, 3, 4]
    assert [row[1:] for row in header["parameters"]][:2] == [["weight", 36], ["bias", 4]]
    words = np.array(header["words"])[arrays["state"][:, -1]].tolist()
    assert words == ["", "frozen", "", ""]
    assert {strip["of"] for strip in header["strips"]} >= {"weight", "@gradient", "@activation"}
    assert (arrays["activation"] < 65_533).all()  # d loss/d output came for every layer
    assert "raw" not in arrays  # nothing was clipped
    assert header["zones"]["ratio"]["aim"] == 1e-3


def test_clipping_shows_the_raw_norms_beside(trained):
    model, optimizer, session, inspector = trained
    step(model, optimizer, session)
    optimizer.zero_grad()
    (100 * model(torch.randn(5, 1, 8, 8))).sum().backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    optimizer.step()
    _, arrays = unpack(inspector._produce(200_000).data)
    assert (arrays["raw"][[0, 2, 3], -1] > arrays["gradient"][[0, 2, 3], -1]).all()


def test_rows_of_the_picture_put_a_layers_parameters_together(trained):
    model, optimizer, session, inspector = trained
    for _ in range(3):
        expected = step(model, optimizer, session)
    rows = flow_rows(gradient_history(session.statistics, session.layer_infos))
    assert [row.name for row in rows] == ["0", "3"]
    both = math.hypot(expected["3.weight"], expected["3.bias"])
    assert rows[1].gradient == pytest.approx(both, rel=1e-6)
    assert rows[1].low <= rows[1].gradient <= rows[1].high
    assert rows[0].ratio > 0
    assert inspector.snapshot().startswith(b"\x89PNG")


def test_views_select_and_python_selects(trained):
    *_, session, inspector = trained
    inspector._on_message(None, {"type": "ready", "view": "v", "visible": True}, [])
    inspector._on_message(
        None, {"type": "intent", "view": "v", "name": "layer", "value": "3", "n": 1}, []
    )
    assert inspector.layer == "3"
    inspector.view = "ratio"
    session.flush()
    assert inspector.selection["view"] == "ratio"
    assert inspector.selection["layer"] == "3"
    assert inspector.selection["heard"] == {"v": 1}
    assert session.faults == []


def test_a_layer_pressed_here_is_shown_in_the_browser(trained):
    model, optimizer, session, inspector = trained
    browser = nbv.ActivationBrowser(session, layer="0")
    step(model, optimizer, session)
    inspector._on_message(
        None, {"type": "intent", "view": "v", "name": "layer", "value": "3", "n": 1}, []
    )
    assert browser.layer == "3"
    assert session.faults == []


def test_bad_input_is_refused_in_words(trained):
    *_, session, inspector = trained
    with pytest.raises(LayerNotFoundError, match="conv9"):
        nbv.GradientInspector(session, layer="conv9")
    with pytest.raises(ValueError, match="flow"):
        nbv.GradientInspector(session, view="sideways")
    with pytest.raises(TypeError, match="accepted: view, layer"):
        nbv.GradientInspector(session, colour="red")
    with pytest.raises(TypeError, match="GradientInspector"):
        nbv.GradientInspector(3)
    with pytest.raises(LayerNotFoundError):
        inspector.layer = "nobody"
    inspector._on_message(
        None, {"type": "intent", "view": "v", "name": "view", "value": "no", "n": 1}, []
    )
    assert len(session.faults) == 1
    assert inspector.view == "flow"


def test_being_seen_raises_the_rate_and_closing_lowers_it(trained):
    *_, session, inspector = trained
    recording = session.recorder.recording
    recording.begin()
    unseen = recording._pace.share
    inspector._on_message(None, {"type": "ready", "view": "v", "visible": True}, [])
    recording.begin()
    assert recording._pace.share == WATCHED_SHARE * session.budget.share > unseen
    inspector.close()
    recording.begin()
    assert recording._pace.share == unseen


def test_findings_reach_the_view(trained):
    model, optimizer, session, inspector = trained
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.fill_(-5.0)
    for _ in range(30):
        step(model, optimizer, session)
    assert inspector.findings() == session.findings() != ()
    shown = inspector._state()["gradients"]
    assert shown["findings"][0]["title"] == inspector.findings()[0].title
    assert shown["rules"] > 10
    assert inspector.findings()[0].title in inspector.summary()
