"""The input editor's view in a browser without Jupyter: tools, pad, difference, words."""

import base64
import json

import pytest
import torch

from nbtorchviz.analysis.painting import Painting, Stroke
from nbtorchviz.widgets.base import BUNDLE
from nbtorchviz.widgets.editor_state import Change, Outcome, result_packet
from tests.browser.alone import crowded, darken, frames, sent, serious, show_alone

ROOT = ".nbtv-input-editor"
EVIL = "<img src=x onerror='window.harmed=1'>"
PAD = """([width, height]) => {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  canvas.getContext("2d").fillRect(0, 0, width, height);
  window.heard = [];
  for (const name of ["mousedown", "mousemove", "keydown", "wheel"]) {
    canvas.addEventListener(name, () => window.heard.push(name));
  }
  window.model.widget_manager = {
    get_model: async (id) => id,
    create_view: async () => ({ el: canvas, remove: () => canvas.remove() }),
  };
  window.rebuild();
}"""


def outcome(**changes):
    first, second = (Change(cls=8, name=EVIL, before=0.1, after=0.7),
                     Change(cls=3, name="digit 3", before=0.8, after=0.2))  # fmt: skip
    known = {"step": 7, "edit": 2, "explained": second, "changes": (first, second)}
    return Outcome(**{**known, "flip": ("digit 3", EVIL), **changes})


def painting(channels=1, side=28):
    made = Painting(torch.zeros(channels, side, side))
    made.add(Stroke(kind="rectangle", points=((2, 3), (5, 4)), values=(2.0,) * channels))
    made.add(Stroke(kind="rectangle", points=((9, 9), (9, 9)), values=(-1.0,) * channels))
    return made


def packed(given, result, seq=1):
    return base64.b64encode(result_packet(given, result, seq=seq, edit=2)).decode()


@pytest.fixture
def show(context):
    def show(width=900, channels=1, side=28, pad=True, result=None, **editor):
        known = {"tool": "brush", "size": 2, "ink": [1.0] * channels, "low": 0, "high": 2.5}
        traits = {
            "kind": "input-editor",
            "pad": "id",
            "options": {
                "name": "image 0", "size": [side, side], "pad": [side, side], "colours": channels,
            },
            "state": {"chip": {"mode": "live"}, "editor": {**known, "missing": None, **editor}},
        }  # fmt: skip
        packets = {"picture": packed(painting(channels, side), result or outcome())}
        bundle = BUNDLE.with_name("editor.js")
        page = show_alone(
            context, json.loads(json.dumps(traits)), packets, width=width, bundle=bundle
        )
        if pad:
            page.evaluate(PAD, [side, side])
            page.wait_for_selector(f"{ROOT}[data-child=shown]")
        page.wait_for_selector(f"{ROOT}[data-seq='1']")
        return page

    return show


def told(page):
    return [(each["name"], each["value"]) for each in sent(page, "intent")]


def test_it_says_what_changed_and_what_that_did(show):
    page = show()
    words = page.locator(f"{ROOT} .e-words").inner_text()
    assert words == f"9 of 784 pixels changed (1.1 %), now predicted {EVIL}, before digit 3"
    rows = page.locator(f"{ROOT} .e-class").all_inner_texts()
    assert [row.split("\n")[0] for row in rows] == [EVIL, "digit 3"]
    assert page.locator(f"{ROOT} .e-explained .e-p").inner_text() == "80.0 % → 20.0 %"
    assert page.locator(f"{ROOT} .e-when").inner_text().startswith("step 7, before → after")
    assert page.locator(f"{ROOT} .e-scale").inner_text().split() == ["+2.00", "0", "−2.00"]
    assert page.evaluate("window.harmed") is None
    colours = page.evaluate(
        f"""() => {{
          const canvas = document.querySelector("{ROOT} figure + figure canvas");
          const at = (x, y) => {{
            const unit = canvas.width / 28, context = canvas.getContext("2d");
            const place = [Math.floor((x + 0.5) * unit), Math.floor((y + 0.5) * unit), 1, 1];
            return [...context.getImageData(...place).data].slice(0, 3);
          }};
          return [at(3, 3), at(9, 9), at(20, 20)];
        }}"""
    )
    more, less, none = colours
    assert more[0] > more[2] + 40  # orange: more than before
    assert less[2] > less[0] + 40  # blue: less
    assert max(none) - min(none) < 12
    page.evaluate("(text) => window.model.paint(text)", packed(painting(), outcome(edit=1), seq=2))
    page.wait_for_selector(f"{ROOT}[data-computed=false]")
    assert "being computed" in page.locator(f"{ROOT} .e-when").inner_text()
    assert [each["seq"] for each in sent(page, "ack")][-1] == 2


def test_tools_are_told_to_python(show):
    page = show()
    page.get_by_role("button", name="Occlude").click()
    page.get_by_role("button", name="Brush").click()
    size = page.get_by_role("slider", name="Size")
    page.wait_for_selector("input[aria-label=Size]:enabled")  # painted anew with the brush
    size.press("ArrowRight")
    page.get_by_role("slider", name="Value").press("Home")
    for name in ("Blank", "Undo", "Reset", "Close"):
        page.get_by_role("button", name=name).click()
    assert told(page) == [
        ("tool", "rectangle"), ("tool", "brush"), ("size", 3), ("ink", [0]),
    ]  # fmt: skip
    assert [each["id"] for each in sent(page, "action")] == ["blank", "undo", "reset", "close"]
    page.evaluate("window.gone = true")
    size.press("ArrowRight")
    frames(page)
    assert page.get_by_role("button", name="Undo").is_disabled()
    assert "kernel is gone" in page.locator(f"{ROOT} .e-when").inner_text()


def test_colours_are_three_numbers(show):
    page = show(channels=3)
    page.get_by_label("Colour").fill("#ff0033")
    assert told(page) == [("ink", [1, 0, pytest.approx(0.2)])]
    label = page.locator(f"{ROOT} figure + figure canvas").first.get_attribute("aria-label")
    assert label.endswith("at most 2.00 in any channel")


@pytest.mark.parametrize(("side", "shown"), [(28, 224), (16, 224), (224, 224), (30, 210)])
def test_the_pad_has_whole_pixels(show, side, shown):
    page = show(side=side)
    box = page.locator(f"{ROOT} .e-place canvas").bounding_box()
    assert (box["width"], box["height"]) == (shown, shown)
    sharp = page.evaluate(
        f"getComputedStyle(document.querySelector('{ROOT} .e-place canvas')).imageRendering"
    )
    assert sharp == "pixelated"


def test_only_strokes_leave_the_pad_and_keys_are_not_swallowed(show):
    page = show()
    box = page.locator(f"{ROOT} .e-place canvas").bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    assert page.evaluate("window.heard") == []
    page.mouse.down()
    page.mouse.move(box["x"] + 70, box["y"] + 60)
    page.mouse.up()
    assert page.evaluate("window.heard") == ["mousedown", "mousemove"]
    page.mouse.down(button="right")
    page.mouse.up(button="right")
    page.keyboard.press("d")
    assert page.evaluate("window.heard") == ["mousedown", "mousemove"]
    assert page.evaluate("document.activeElement.className") == "e-pad"
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.textContent") == "Close"


def test_a_pen_paints_by_keyboard(show):
    page = show()
    page.locator(f"{ROOT} .e-pad").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.down(" ")
    page.keyboard.press("ArrowRight")
    page.keyboard.up(" ")
    page.keyboard.press("Control+z")
    strokes = [["down", 14, 13], ["move", 15, 13], ["up", 15, 13]]
    assert told(page) == [("stroke", stroke) for stroke in strokes]
    assert [each["id"] for each in sent(page, "action")] == ["undo"]
    pen = page.locator(f"{ROOT} .e-pen").bounding_box()
    pad = page.locator(f"{ROOT} .e-place").bounding_box()
    assert pen["x"] - pad["x"] == 15 * 8 - 1


def test_without_a_pad_a_sentence_says_what_to_do(show):
    page = show(pad=False)
    page.wait_for_selector(f"{ROOT}[data-child=none]")
    said = page.locator(f"{ROOT} .e-missing")
    said.wait_for()
    assert "paint from Python" in said.inner_text()
    page = show(pad=False, missing=["The pad needs ipycanvas.", "pip install ipycanvas"])
    said = page.locator(f"{ROOT} .e-missing")
    said.wait_for()
    assert said.inner_text() == "The pad needs ipycanvas.\npip install ipycanvas"


@pytest.mark.parametrize("width", [900, 768, 400, 320])
def test_everything_has_its_place(show, width):
    page = show(width=width)
    frames(page)
    root = page.locator(ROOT).bounding_box()
    assert root["height"] <= (300 if width > 700 else 480 if width > 350 else 620)
    wide = page.evaluate(
        f"""() => [...document.querySelectorAll("{ROOT} *")].filter((el) => {{
          const box = el.getBoundingClientRect(), hidden = el.closest(".nbtv-sr");
          const end = document.querySelector("{ROOT}").getBoundingClientRect().right;
          return box.width && !hidden && box.right > end + 1;
        }}).map((el) => el.className || el.localName)"""
    )
    assert wide == []


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_serious(show, dark):
    page = show()
    darken(page, ROOT, dark=dark)
    assert serious(page) == []


@pytest.mark.parametrize("width", [280, 400, 762, 900])
def test_every_control_is_in_sight_and_apart_from_the_others(show, width):
    page = show(width=width)
    frames(page)
    assert crowded(page, ROOT) == []
