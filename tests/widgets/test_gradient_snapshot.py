"""The static picture of every view: the numbers of the live one, without a browser."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.analysis import gradient_bins_picture, gradient_picture, gradient_time_picture
from nbtorchviz.analysis.packets import unpack
from nbtorchviz.widgets import gradient_snapshot
from nbtorchviz.widgets.gradient_history import gradient_history
from nbtorchviz.widgets.gradient_snapshot import time_rows


@pytest.fixture
def trained():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
    model[0].weight.requires_grad_(False)
    model[0].bias.requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    session = nbv.watch(model, optimizer, every=1)
    inspector = nbv.GradientInspector(session, layer="3")

    def step():
        optimizer.zero_grad()
        out = model(torch.randn(5, 1, 8, 8))
        nn.functional.cross_entropy(out, torch.tensor([0, 1, 2, 0, 1])).backward()
        norm = math.hypot(*(p.grad.norm().item() for p in model[3].parameters()))
        optimizer.step()
        return norm

    yield inspector, step
    assert session.faults == []
    session.close()


VIEWS = ["flow", "ratio", "lines", "heat", "histograms", "maps"]


def show(inspector, name):
    drawn = {"lines": "lines", "heat": "heat"}.get(name)
    inspector.view = "time" if drawn else name
    if drawn:
        inspector._on_intent("drawn", drawn)


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_has_its_picture_before_and_after_training(trained, name):
    inspector, step = trained
    show(inspector, name)
    pictures = [inspector.snapshot()]
    for _ in range(6):
        step()
    pictures.append(inspector.snapshot())
    for data in pictures:
        assert len(data) <= 100_000
        assert Image.open(io.BytesIO(data)).width in (900, 1800)
    assert pictures[0] != pictures[1]


def test_no_two_views_have_the_same_picture(trained):
    inspector, step = trained
    for _ in range(4):
        step()
    seen = set()
    for name in VIEWS:
        show(inspector, name)
        if name == "maps":
            step()
        seen.add(inspector.snapshot())
    assert len(seen) == len(VIEWS)


def test_lines_are_the_norms_of_autograd(trained):
    inspector, step = trained
    norms = [step() for _ in range(5)]
    session = inspector.session
    history = gradient_history(session.statistics, session.layer_infos)
    rows = {row.name: row for row in time_rows(history, inspector._choice)}
    np.testing.assert_allclose(rows["3"].values, norms, rtol=1e-6)
    assert np.isnan(rows["0"].values).all()
    assert rows["0"].word == "frozen"


@pytest.mark.parametrize("name", ["ratio", "lines", "heat", "histograms", "maps"])
def test_the_picture_is_drawn_from_what_the_view_is_sent(trained, name, monkeypatch):
    inspector, step = trained
    show(inspector, name)
    for _ in range(5):
        step()
    drawn = {}
    for function in ("gradient_picture", "lines_picture", "heat_picture", "bins_picture"):
        monkeypatch.setattr(
            gradient_snapshot, function, lambda *a, f=function, **k: drawn.update({f: (a, k)})
        )
    monkeypatch.setattr(
        gradient_snapshot, "activation_picture", lambda *a, **k: drawn.update(maps=(a, k))
    )
    inspector.snapshot()
    header, arrays = unpack(inspector._produce(200_000).data)
    ((kind, (given, _)),) = drawn.items()
    if kind in ("lines_picture", "heat_picture"):
        steps, rows = given[0], {row.name: row.values for row in given[1]}
        assert steps.tolist() == arrays["steps"].tolist()
        parts = [i for i, (layer, *_) in enumerate(header["parameters"]) if layer == 3]
        codes = arrays["gradient"][parts].astype(float)
        sent = np.sqrt(((2 ** ((codes - 1) / 264 - 120)) ** 2).sum(axis=0))
        np.testing.assert_allclose(rows["3"], sent, rtol=2e-3)
    elif kind == "bins_picture":
        assert list(given[0]) == arrays["strip0_steps"].tolist()
        assert given[1][-1].count == header["strips"][0]["read"]
    elif kind == "maps":
        sent, planes = unpack(inspector._produce_maps(200_000).data)
        assert given[0]["step"] == sent["step"]
        assert given[0]["layer"] == "d loss / d output of 3"
        assert (given[1]["planes"] == planes["planes"]).all()
    else:
        row = next(row for row in given[0] if row.name == "3")
        history = gradient_history(inspector.session.statistics, inspector.session.layer_infos)
        choice = inspector._choice.changed((), metric="ratio")
        ratio = next(r for r in time_rows(history, choice) if r.name == "3")
        assert row.ratio == pytest.approx(ratio.values[-1], rel=1e-6)


def test_what_is_not_finite_or_not_there_is_drawn_as_such():
    rows = [
        gradient_time_picture.TimeRow(name="a", values=np.array([1.0, np.inf, 2.0])),
        gradient_time_picture.TimeRow(name="b", values=np.full(3, np.nan), word="frozen"),
    ]
    steps = np.array([1, 2, 3])
    heat = gradient_time_picture.heat_picture(steps, rows, {}, title="x", scale=1)
    image = np.asarray(Image.open(io.BytesIO(heat)).convert("RGB")).astype(int)
    red = (abs(image - (198, 40, 40)).max(axis=2) < 12).sum()
    assert red > 1000
    finite = [gradient_time_picture.TimeRow(name="a", values=np.array([1.0, 1.5, 2.0]))]
    calm = gradient_time_picture.heat_picture(steps, finite, {}, title="x", scale=1)
    image = np.asarray(Image.open(io.BytesIO(calm)).convert("RGB")).astype(int)
    assert (abs(image - (198, 40, 40)).max(axis=2) < 12).sum() == 0
    nothing = gradient_time_picture.lines_picture(steps, rows[1:], {}, title="x")
    assert nothing.startswith(b"\x89PNG")
    empty = gradient_bins_picture.bins_picture([], [], {}, title="x", missing="None here.")
    assert empty.startswith(b"\x89PNG")
    assert gradient_picture.gradient_picture([], {}, step=None, ratio=True).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("count", "words"),
    [(40, ""), (41, "1 layer in the middle is not drawn"), (90, "50 in the middle are not drawn")],
)
def test_of_many_layers_the_first_and_the_last_are_drawn(monkeypatch, count, words):
    found = []

    class Listening(gradient_picture.Picture):
        def text(self, at, text, **how):
            found.append(text)
            return super().text(at, text, **how)

    monkeypatch.setattr(gradient_picture, "Picture", Listening)
    numbers = {"gradient": 1.0, "activation": 1.0, "low": 0.5, "high": 2.0, "ratio": 1e-3}
    rows = [gradient_picture.FlowRow(name=f"layer{at}", **numbers) for at in range(count)]
    assert gradient_picture.gradient_picture(rows, {"model": "Net"}, step=1).startswith(b"\x89PNG")
    names = [text for text in found if text.startswith("layer") and text[5:].isdigit()]
    first, last = min(20, count // 2), min(20, count - count // 2)
    assert names == [row.name for row in (*rows[:first], *rows[-last:])]
    assert any(words in text for text in found)
