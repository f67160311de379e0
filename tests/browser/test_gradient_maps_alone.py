"""The maps of a GradientInspector in a browser without Jupyter: a fake model, real packets."""

import base64
import json

import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.widgets.base import BUNDLE
from tests.browser.alone import sent, show_alone
from tests.widgets.view import View

ROOT = ".nbtv-gradient-inspector"
PICKS = {
    "output": {"layer": "0", "shown": "@gradient"},
    "weight": {"layer": "0", "shown": "weight", "part": None},
    "bias": {"layer": "0", "shown": "bias.grad"},
    "matrix": {"layer": "3", "shown": "weight.grad"},
    "vector": {"layer": "3", "shown": "bias"},
    "unchosen": {"layer": "", "shown": "@gradient"},
}


@pytest.fixture(scope="module")
def recorded():
    """Traits and packets of a widget that saw a few training steps; ``bias`` is frozen."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 12, 3, padding=1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(768, 3)
    )
    net[0].bias.requires_grad_(False)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    x, y = torch.rand(4, 2, 8, 8), torch.tensor([0, 1, 2, 0])
    widget = nbv.GradientInspector(nbv.watch(net, optimizer, every=1), view="maps", layer="0")
    View(widget)
    maps = {}
    for name, pick in PICKS.items():
        widget.select(**pick)
        for _ in range(2):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
        maps[name] = base64.b64encode(widget._produce_maps(200_000).data).decode()
    picture = base64.b64encode(widget._produce(200_000).data).decode()
    names = ("kind", "options", "state")
    traits = json.loads(json.dumps({name: getattr(widget, name) for name in names}))
    traits["state"]["chip"] |= {"mode": "live", "latency_ms": 40, "cost": 0.01}
    traits["state"]["status"] = None
    yield traits, picture, maps
    session = widget.session
    assert session.faults == []
    widget.close()
    session.close()


@pytest.fixture
def show(context, recorded):
    def show(name="output", width=900, compact=False):
        traits, picture, maps = recorded
        options = traits["options"] | {"compact": compact}
        selection = {"rev": 1, "heard": {}, "view": "maps", **PICKS[name]}
        given = json.loads(json.dumps(traits)) | {"options": options, "selection": selection}
        packets = {"picture": picture, "maps": maps[name]}
        bundle = BUNDLE.with_name("gradients.js")
        page = show_alone(context, given, packets, width=width, bundle=bundle)
        page.wait_for_selector(f"{ROOT}[data-view='maps']:not([data-shown=''])")
        page.wait_for_selector(".g-maps-title b:not(:empty)")
        return page

    return show


def take(page, recorded, name):
    page.evaluate(
        """(text) => {
          const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
          window.model.set("maps", new DataView(bytes.buffer));
        }""",
        recorded[2][name],
    )


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def cells(page):
    return page.locator(".nbtv-cell:not([hidden])")


def test_a_layers_gradient_is_tiles_with_input_scale_and_numbers(show):
    page = show()
    root = page.locator(ROOT)
    assert root.get_attribute("data-shown") == "@gradient"
    assert root.get_attribute("data-step") == "2"
    assert cells(page).count() == 12
    page.get_by_text("d loss / d output of 0").wait_for()
    page.get_by_text("12×8×8, step 2, sample 0").wait_for()
    page.get_by_text("Zero is white, blue below, red above.").wait_for()
    ticks = page.locator(".nbtv-ticks span").all_text_contents()
    assert ticks[0] == ticks[4].removeprefix("\u2212") != ""  # as far below zero as above
    assert page.locator(".nbtv-input").is_visible()
    acks = {ack["stream"] for ack in sent(page, "ack")}
    assert acks == {"gradients", "maps"}


def test_zero_is_painted_white_and_signs_apart(show):
    page = show()
    pixel = page.evaluate(
        """() => {
          const bar = document.querySelector(".nbtv-bar"), context = bar.getContext("2d");
          const at = (y) => [...context.getImageData(2, y, 1, 1).data.slice(0, 3)];
          return [at(0), at(Math.floor(bar.height / 2)), at(bar.height - 1)];
        }"""
    )
    (high_r, _, high_b), middle, (low_r, _, low_b) = pixel
    assert high_r > high_b
    assert low_b > low_r
    assert min(middle) > 235


def test_a_tile_is_chosen_by_click_key_and_slider(show):
    page = show()
    page.evaluate("window.gone = true")
    cells(page).nth(3).click()
    page.wait_for_selector(f"{ROOT}[data-channel='3']")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(f"{ROOT}[data-channel='4']")
    page.get_by_role("slider", name="Channel").fill("7")
    page.wait_for_selector(f"{ROOT}[data-channel='7']")
    assert page.locator(".nbtv-large-head b").text_content() == "Channel 7"
    page.get_by_role("img", name="Enlarged channel").first.focus()
    before = page.locator(".nbtv-large-head .nbtv-read").text_content()
    page.keyboard.press("ArrowDown")
    page.wait_for_function(
        "(b) => document.querySelector('.nbtv-large-head .nbtv-read').textContent !== b",
        arg=before,
    )


def test_choices_of_tensor_and_input_channel_are_told_and_what_comes_is_named(show, recorded):
    page = show()
    page.get_by_role("combobox", name="Tensor").select_option("weight")
    page.get_by_text("what was chosen comes with the next step").wait_for()
    take(page, recorded, "weight")
    page.wait_for_selector(f"{ROOT}[data-shown='weight']")
    page.get_by_text("weight of 0").wait_for()
    assert page.locator(".nbtv-large-head b").text_content() == "Output 0"
    page.get_by_role("combobox", name="Input channel").select_option("1")
    press(page, "one")
    page.get_by_text("One scale: colours of all compare.").wait_for()
    told = [(move["name"], move["value"]) for move in sent(page, "intent")]
    assert told == [("shown", "weight"), ("part", 1), ("normalize", "layer")]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bias", "0.bias is frozen: it has no gradient."),
        ("matrix", "d loss / d 3.weight"),
        ("vector", "bias of 3"),
    ],
)
def test_frozen_matrix_and_vector(show, name, words):
    page = show(name)
    page.get_by_text(words).wait_for()
    assert cells(page).count() == 0
    assert page.locator(".nbtv-stage").is_visible() == (name == "matrix")
    assert page.locator(".nbtv-value:visible").count() == (3 if name == "vector" else 0)


def test_a_parameters_row_shows_its_gradient(show):
    page = show()
    page.locator(".g-row", has_text="0").first.click()
    page.keyboard.press("ArrowRight")
    page.locator(".g-row.g-parameter", has_text="weight").first.click()
    told = {move["name"]: move["value"] for move in sent(page, "intent")}
    assert (told["shown"], told["of"]) == ("weight.grad", "weight")


def test_kept_steps_are_those_of_the_tensor(show):
    page = show("weight")
    step = page.get_by_role("slider", name="Step")
    assert step.get_attribute("max") == "1"  # two were kept of it
    step.fill("0")
    assert sent(page, "intent")[-1] | {"n": 0, "view": "", "type": ""} == {
        "name": "step", "value": 3, "n": 0, "view": "", "type": "",
    }  # fmt: skip


@pytest.mark.parametrize("width", [400, 768, 900])
@pytest.mark.parametrize("compact", [False, True])
def test_nothing_overflows(show, width, compact):
    for name in PICKS:
        page = show(name, width=width, compact=compact)
        box = page.locator(ROOT).bounding_box()
        assert box["height"] <= 640
        outside = page.evaluate(
            """(root) => {
              const frame = document.querySelector(root).getBoundingClientRect();
              return [...document.querySelectorAll(
                `${root} :is(select, button, input, .g-maps-title, .nbtv-large, .nbtv-numbers)`)]
                .filter((el) => el.checkVisibility())
                .filter((el) => {
                  const b = el.getBoundingClientRect();
                  const over = Math.max(b.right - frame.right, frame.left - b.left);
                  return b.width && Math.max(over, b.bottom - frame.bottom) > 0.5;
                })
                .map((el) => el.outerHTML.slice(0, 80));
            }""",
            ROOT,
        )
        assert outside == []
        page.close()


def test_jupyter_takes_no_key_from_the_maps(show):
    for name in PICKS:
        page = show(name)
        loose = f"{ROOT} :is(button, input, select, [tabindex])"
        assert page.locator(f"{loose}:not([data-lm-suppress-shortcuts='true'])").count() == 0


def test_a_rebuilt_view_shows_the_same_tile(show):
    page = show()
    cells(page).nth(5).click()
    page.wait_for_selector(f"{ROOT}[data-channel='5']")
    page.evaluate("rebuild()")
    page.wait_for_selector(f"{ROOT}[data-channel='5'][data-shown='@gradient']")
    page.wait_for_selector(".nbtv-cell[aria-selected=true]")


def test_without_a_choice_view_and_python_mean_the_same_layer(show):
    page = show("unchosen")
    assert page.locator(ROOT).get_attribute("data-layer") == "0"
    page.get_by_text("d loss / d output of 0").wait_for()
    assert page.locator(".g-late").count() == 0
