"""The layers overview: strips beside the tree, in a bare page and in JupyterLab."""

import base64
import os
from pathlib import Path

import numpy as np
import pytest

from nbtorchviz.analysis.packets import pack
from nbtorchviz.events import LayerInfo
from nbtorchviz.session.overview import Overview
from nbtorchviz.widgets.browser_state import layer_rows
from nbtorchviz.widgets.overview_packet import overview_parts
from tests.browser.alone import sent, show_alone
from tests.browser.loops import MODEL, STEP

ROOT = ".nbtv-activation-browser"
CANVAS = ".nbtv-overview canvas[role=img]"
KEYS = ("stem", "stem.conv", "stem.relu", "head")
SHOTS = os.environ.get("NBTORCHVIZ_SHOTS")


def strips(statistic="std"):
    steps = np.arange(1, 101) * 10
    values = np.full((4, 100), 0.5, np.float32)
    values[1, 50:] = 40.0
    bad = np.zeros_like(values)
    bad[3, 60:70] = 2
    shown, broken = Overview(KEYS, steps, values), Overview(KEYS, steps, bad)
    parts = overview_parts(shown, broken, [(200, 300)], statistic=statistic, seq=7)
    return base64.b64encode(pack(*parts)).decode()


@pytest.fixture
def show(context):
    def show(width=900, packet=True, statistic="std"):
        infos = [
            LayerInfo(key=key, type="Linear", depth=key.count("."), block=key == "stem")
            for key in KEYS
        ]
        selection = {"rev": 1, "layer": "stem.conv", "overview": statistic}
        chip = {"mode": "live", "latency_ms": 40, "cost": 0.01, "why": "", "remedy": ""}
        traits = {
            "kind": "activation-browser", "options": {}, "layers": layer_rows(infos),
            "selection": selection, "state": {"model": "Net", "step": 1000, "chip": chip},
        }  # fmt: skip
        packets = {"strips": strips()} if packet else {}
        page = show_alone(context, traits, packets, width=width)
        page.wait_for_selector(f"{ROOT}[data-overview='{statistic if packet else ''}']")
        return page

    return show


def pixel(page, x, y):
    """Colour at a place of the strips, in CSS pixels from their top left."""
    return page.evaluate(
        f"""([x, y]) => {{
          const canvas = document.querySelector("{CANVAS}"), dpr = window.devicePixelRatio;
          return [...canvas.getContext("2d").getImageData(x * dpr, y * dpr, 1, 1).data];
        }}""",
        [x, y],
    )


def centre(page, row):
    """y of a row of the tree, from the top of the strips."""
    boxes = page.locator(".nbtv-row").nth(row).bounding_box()
    return boxes["y"] + boxes["height"] / 2 - page.locator(CANVAS).bounding_box()["y"]


@pytest.mark.parametrize("width", [400, 900])
def test_strips_lie_beside_their_rows_and_show_what_changed(show, width):
    page = show(width)
    box = page.locator(CANVAS).bounding_box()
    plot = box["width"] - 64 - 8
    at = lambda share: 8 + share * plot  # noqa: E731
    conv, head = centre(page, 1), centre(page, 3)
    before, after = pixel(page, at(0.1), conv), pixel(page, at(0.9), conv)
    assert after[0] > after[2] + 40  # red: above its median
    assert before[2] >= before[0]
    assert abs(pixel(page, at(0.9), head)[0] - pixel(page, at(0.9), head)[2]) < 20
    assert [ack["seq"] for ack in sent(page, "ack") if ack["stream"] == "strips"] == [7]
    assert page.locator(ROOT).bounding_box()["height"] <= 640


def test_a_strip_says_its_number_and_takes_to_layer_and_step(show):
    page = show()
    box = page.locator(CANVAS).bounding_box()
    x, y = box["x"] + 8 + 0.9 * (box["width"] - 72) + 2, box["y"] + centre(page, 1)
    page.mouse.move(x, y)
    page.get_by_text("stem.conv at step 900: std 40").wait_for()
    page.mouse.click(x, y)
    page.wait_for_selector(f"{ROOT}[data-overview='']")
    (asked,) = [each["value"] for each in sent(page, "intent") if each["name"] == "visit"]
    assert asked["layer"] == "stem.conv"
    assert asked["step"] == 900
    assert 0 < asked["within"] < 20
    assert page.locator(CANVAS).is_hidden()


def test_a_stretch_that_was_not_recorded_says_so(show):
    page = show()
    box = page.locator(CANVAS).bounding_box()
    page.mouse.move(box["x"] + 8 + 0.25 * (box["width"] - 72), box["y"] + centre(page, 1))
    page.get_by_text("steps 201 to 299 were not recorded").wait_for()


def test_before_the_first_sample_words_stand_in_its_place_and_maps_are_one_press_away(show):
    page = show(packet=False)
    page.get_by_text("Statistics of all layers come with the next sample.").wait_for()
    page.get_by_role("combobox", name="Statistic").select_option("zero_share")
    page.get_by_role("button", name="Maps").click()
    page.locator(".nbtv-overview").wait_for(state="hidden")
    asked = [(each["name"], each["value"]) for each in sent(page, "intent")]
    assert asked == [("overview", "zero_share"), ("overview", "")]


def test_strips_grow_while_a_cell_runs_and_lead_to_a_layer(open_notebook, loop):
    cell = "session = nbv.watch(model, optimizer, every=1)\ndisplay(nbv.ActivationBrowser(session))"
    page = open_notebook([MODEL + cell, loop.cell(STEP)])
    page.run_cell(0)
    page.wait_done(0)
    page.view().scroll_into_view_if_needed()
    page.run_cell(1)
    loop.begun()
    page.wait_painted(from_step=3)
    page.view().get_by_role("combobox", name="Show").select_option("overview")
    page.page.wait_for_selector(f"{ROOT}[data-overview='std']")
    count = page.view().locator(".nbtv-overview-read")
    first = int(count.inner_text().split()[0].replace(",", ""))
    page.page.wait_for_function(
        """(first) => parseInt(document.querySelector(".nbtv-overview-read")
          .textContent.replace(",", "")) > first""",
        arg=first,
    )
    if SHOTS:
        page.view().screenshot(path=str(Path(SHOTS) / "overview.png"))
    box = page.view().locator("canvas[role=img]").last.bounding_box()
    row = page.view().get_by_role("treeitem", name="relu").bounding_box()
    page.page.mouse.click(box["x"] + 0.4 * box["width"], row["y"] + row["height"] / 2)
    page.wait_painted(layer="relu", overview="")
    assert loop.ask("session.faults") == []
    loop.end()
    page.wait_done()
