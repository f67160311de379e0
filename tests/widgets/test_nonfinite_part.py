"""What an ActivationBrowser sends of the first NaN, and its static picture."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.analysis.nonfinite_parts import nonfinite_parts
from nbtorchviz.analysis.packets import pack, unpack
from nbtorchviz.errors import NonFiniteError
from tests.models import ScaledLog
from tests.widgets.view import View

X = torch.tensor([[1.0, -2.0], [0.5, 4.0]])


def break_it(model, optimizer):
    optimizer.zero_grad()
    model(X).sum().backward()
    optimizer.step()


@pytest.fixture
def made():
    model = ScaledLog()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    session = nbv.watch(model, optimizer, every=1)
    widget = nbv.ActivationBrowser(session)
    View(widget)
    yield model, optimizer, session, widget
    widget.close()
    session.close()


def height_of(png):
    return Image.open(io.BytesIO(png)).height


def test_a_raised_error_leaves_the_pictures_in_the_widget(made):
    model, optimizer, session, widget = made
    session.on_nonfinite("raise", every_step=True)
    with pytest.raises(NonFiniteError):
        break_it(model, optimizer)
    session.flush()
    header, arrays = unpack(widget.nonfinite)
    assert [piece["role"] for piece in header["pieces"]] == ["before", "after"]
    assert arrays["v0"].tolist() == [[1.0, -4.0], [0.5, 8.0]]
    assert arrays["c1"].tolist()[0][1] == 255
    assert [piece["mark"] for piece in header["pieces"]] == [[0, 1], [0, 1]]
    assert header["pieces"][1]["bad"] == "1 NaN of 4"
    assert "scale (2) 1.00 to 2.00" in header["lines"][0]
    assert header["title"] == session.first_nonfinite.title
    session.flush()  # the state follows the packet
    assert widget.state["nonfinite"] == {"seq": header["seq"], "word": "NaN", "step": 1}


def test_the_static_picture_has_it_and_that_of_the_cockpit_too(made):
    model, optimizer, session, widget = made
    cockpit = nbv.Cockpit(session)
    before = height_of(widget.snapshot()), height_of(cockpit.snapshot())
    session.on_nonfinite("tell", every_step=True)
    break_it(model, optimizer)
    assert height_of(widget.snapshot()) > before[0] + 150
    assert height_of(cockpit.snapshot()) > before[1] + 150
    cockpit.close()


def test_a_widget_that_is_made_afterwards_shows_it(made):
    model, optimizer, session, _ = made
    session.on_nonfinite("tell", every_step=True)
    break_it(model, optimizer)
    late = nbv.ActivationBrowser(session)
    View(late)
    session.flush()
    assert unpack(late.nonfinite)[0]["step"] == 1
    late.close()


def test_looking_for_the_next_takes_the_report_away(made):
    model, optimizer, session, widget = made
    session.on_nonfinite("tell", every_step=True)
    break_it(model, optimizer)
    session.flush()
    session.on_nonfinite("tell", every_step=True)
    assert widget._state()["nonfinite"] is None
    break_it(model, optimizer)
    session.flush()
    header, _ = unpack(widget.nonfinite)
    assert header["step"] == 2
    assert widget._state()["nonfinite"]["seq"] == header["seq"]


def test_a_report_without_tensors_has_words_and_no_picture():
    model = ScaledLog()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    session = nbv.watch(model, optimizer, every=1)
    widget = nbv.ActivationBrowser(session)
    View(widget)
    break_it(model, optimizer)  # not armed: statistics name the layer
    session.flush()
    header, arrays = unpack(widget.nonfinite)
    assert (header["pieces"], arrays) == ([], {})
    assert "session.on_nonfinite('tell')" in header["lines"][0]
    assert widget._nonfinite.picture() is None
    widget.close()
    session.close()


@pytest.mark.parametrize(
    ("limit", "values", "codes"), [(100_000, 4, 4), (25_000, 0, 4), (12_000, 0, 2)]
)
def test_the_packet_keeps_its_limit(limit, values, codes):
    model = nn.Sequential(nn.Linear(300, 500))
    session = nbv.watch(model)
    session.on_nonfinite("tell", every_step=True)
    model(torch.full((400, 300), 3e38)).sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    report = session.first_nonfinite
    header, arrays = nonfinite_parts(report, "Try.", limit_bytes=limit)
    assert len(pack(header, arrays)) <= limit
    assert sum(name[0] == "v" for name in arrays) == values
    kept = sorted(name for name in arrays if name[0] == "c")
    assert len(kept) >= codes
    assert {"c0", f"c{len(header['pieces']) - 1}"} <= set(kept)
    assert np.asarray(arrays[kept[-1]]).dtype == np.uint8
    session.close()
