"""What a display puts into the notebook, by host."""

import base64
import io
from types import SimpleNamespace

import IPython.display
import numpy as np
import pytest
from PIL import Image

from nbtorchviz.analysis.colormaps import table
from nbtorchviz.live.host import HostFacts
from nbtorchviz.widgets import static_picture
from nbtorchviz.widgets.static_picture import NOTHING, PRIVATE, VIEW, StaticPicture, stacked

VIEW_OF = {VIEW: {"model_id": "m"}, "text/html": "never kept"}


class Outputs:
    """The outputs of a cell, as a host keeps them."""

    def __init__(self, monkeypatch, host):
        self.shown, self.png = [], b"first"
        monkeypatch.setattr(static_picture, "detect", lambda: host)
        monkeypatch.setattr(IPython.display, "display", self.display)

    def display(self, data, *, raw, display_id=False):
        assert raw
        place = len(self.shown)
        self.shown.append(dict(data))
        if display_id:
            return SimpleNamespace(update=lambda data, raw: self.shown.__setitem__(place, data))
        return None


def png(data):
    return {"image/png": base64.b64encode(data).decode()}


LAB = HostFacts(kernel=True, server=True)
OTHERS = [
    HostFacts(),
    HostFacts(kernel=True),
    HostFacts(kernel=True, server=True, vscode=True),
    HostFacts(kernel=True, colab=True),
]


def made(outputs, **given):
    return StaticPicture(lambda: VIEW_OF, lambda: "summary", lambda: outputs.png, **given)


def test_in_jupyterlab_the_picture_is_an_output_below_the_view(monkeypatch):
    outputs = Outputs(monkeypatch, LAB)
    picture = made(outputs)
    picture.display()
    view = {VIEW: {"model_id": "m"}, "text/plain": "summary"}
    assert outputs.shown == [view, {**png(b"first"), "text/plain": "summary"}]
    outputs.png, picture.busy = b"second", True
    assert picture.refresh()  # the view is not touched, whatever its user does
    assert outputs.shown == [view, {**png(b"second"), "text/plain": "summary"}]


@pytest.mark.parametrize("host", OTHERS)
def test_elsewhere_view_and_picture_are_one_output(monkeypatch, host):
    outputs = Outputs(monkeypatch, host)
    picture = made(outputs)
    picture.display()
    whole = {VIEW: {"model_id": "m"}, "text/plain": "summary"}
    assert outputs.shown == [{**whole, **png(b"first")}]
    outputs.png, picture.busy = b"second", True
    assert not picture.refresh()  # it would take the view from under the pointer
    picture.busy = False
    assert picture.refresh()
    assert outputs.shown == [{**whole, **png(b"second")}]


@pytest.mark.parametrize("host", [LAB, *OTHERS])
def test_a_private_widget_leaves_words_only(monkeypatch, host):
    outputs = Outputs(monkeypatch, host)
    outputs.png = None
    picture = made(outputs, private=True)
    picture.display()
    picture.refresh()
    assert outputs.shown[0] == {VIEW: {"model_id": "m"}, "text/plain": f"summary\n{PRIVATE}"}
    assert outputs.shown[1:] == ([NOTHING] if host is LAB else [])


def one(width, height, colour):
    out = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(out, "PNG")
    return out.getvalue()


def test_parts_of_a_stacked_picture_have_one_scale():
    whole = Image.open(io.BytesIO(stacked([one(80, 20, "red"), one(40, 30, "blue")])))
    assert whole.size == (40, 10 + 30)
    assert whole.convert("RGB").getpixel((39, 9)) == (255, 0, 0)
    assert whole.convert("RGB").getpixel((39, 10)) == (0, 0, 255)


def test_rare_colours_of_a_stacked_picture_stay_what_they_are():
    ramp, greys = np.full((200, 300, 3), 255, np.uint8), np.arange(150)[:, None]
    ramp[0, :256] = table("diverging")
    ramp[50:] = (60 + greys)[..., None]  # the others are there more often
    ramp[50:, 100:200, 2] = 255 - greys
    ramp[50:, 200:, 0] = 255 - greys // 2
    out = io.BytesIO()
    Image.fromarray(ramp).save(out, "PNG")
    found = np.asarray(Image.open(io.BytesIO(stacked([out.getvalue()]))).convert("RGB"))
    assert np.abs(found.astype(int) - ramp).max() <= 6
