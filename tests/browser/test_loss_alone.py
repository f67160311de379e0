"""LiveLossPlot's view in a browser without Jupyter: a fake model, real packets."""

import base64
import json

import pytest

import nbtorchviz as nbv
from tests.browser.alone import crowded, frames, press_at_once, sent, show_alone

ROOT = ".nbtv-live-loss-plot"
FOCUSED = "() => document.activeElement.getAttribute('aria-label')"


@pytest.fixture
def page(context):
    plot = nbv.LiveLossPlot()
    for step in range(100):
        plot.log(step, loss=1 / (1 + step))
    plot.metrics.flag(20, "lr 0.1 → 0.01")
    plot.metrics.flag(21, "lr 0.01 → 0.001")  # no room for these words
    plot.metrics.flag(90, "gradients vanish", kind="finding", target="conv1")
    page = shown(context, plot)
    page.wait_for_selector(".nbtv-live-loss-plot[data-seq='1'] .l-flag")
    return page


def shown(context, plot):
    packet = base64.b64encode(plot._packet(200_000, seq=1)).decode()
    names = ("kind", "options", "state", "look")
    traits = json.loads(json.dumps({name: getattr(plot, name) for name in names}))
    plot.close()
    plot.session.close()
    return show_alone(context, traits, {"curve": packet})


def test_flags_are_one_tab_stop_and_open_by_keys(page):
    page.locator(".l-canvas").focus()
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "lr 0.1 → 0.01, step 20"
    page.keyboard.press("ArrowRight")
    assert page.evaluate(FOCUSED) == "lr 0.01 → 0.001, step 21"
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.wait_for_selector(".nbtv-live-loss-plot[data-cursor='90']")
    assert page.evaluate(FOCUSED) == "gradients vanish, step 90"
    chosen = [said["value"] for said in sent(page, "intent") if said["name"] == "step"]
    assert chosen == [{"step": 90, "layer": "conv1"}]
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "Shown range"


def test_words_without_room_are_shown_while_their_flag_has_the_focus(page):
    words = page.locator(".l-flag").nth(0).locator("span")
    assert words.bounding_box()["width"] == 0
    page.locator(".l-canvas").focus()
    page.keyboard.press("Tab")
    page.wait_for_function("() => document.activeElement.lastChild.offsetWidth > 40")
    page.keyboard.press("End")
    box = page.locator(".l-flag").nth(2).bounding_box()
    chart = page.locator(".l-chart").bounding_box()
    assert box["x"] + box["width"] <= chart["x"] + chart["width"]


def test_keys_zoom_each_from_where_the_last_one_led(page):
    page.locator(".l-canvas").focus()
    press_at_once(page, "+", "+", "+")
    page.wait_for_selector(".l-brush[aria-valuenow='65']")  # 99 × (1 − 0.7³)
    page.locator(".l-brush").focus()
    press_at_once(page, "ArrowLeft", "ArrowLeft")
    page.wait_for_selector(".l-brush[aria-valuenow='58']")  # a tenth of what is shown, twice
    press_at_once(page, "Escape", "ArrowUp")
    page.wait_for_selector(".l-brush[aria-valuenow='30']")


STEPS_CHOSEN = "() => window.sent.filter(({type, name}) => type === 'intent' && name === 'step')"


def test_a_click_moves_the_widgets_and_a_double_click_only_shows_the_whole_run(page):
    page.locator(".l-canvas").focus()
    press_at_once(page, "+", "+")
    page.wait_for_selector(".l-brush[aria-valuetext^='steps']")
    box = page.locator(".l-canvas").bounding_box()
    place = box["x"] + box["width"] / 3, box["y"] + box["height"] / 2
    page.mouse.dblclick(*place)
    page.wait_for_selector(".l-brush[aria-valuetext^='all']")
    page.mouse.click(*place)
    page.wait_for_function(f"() => ({STEPS_CHOSEN})().length > 0")
    (chosen,) = page.evaluate(STEPS_CHOSEN)  # of the single click, which came later
    assert 20 < chosen["value"] < 50


def test_what_was_chosen_last_outlives_a_rebuilt_view(page):
    page.get_by_role("button", name="log", exact=True).click()
    page.evaluate("rebuild()")
    page.wait_for_selector(".nbtv-live-loss-plot[data-seq='1'] .l-flag")
    chosen = page.get_by_role("button", name="log", exact=True)
    assert chosen.get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("width", [280, 400, 642, 900])
def test_every_control_is_in_sight_and_apart_from_the_others(page, width):
    page.evaluate(
        "([root, width]) => { document.querySelector(root).parentElement.style.width = width; }",
        [ROOT, f"{width}px"],
    )
    frames(page)
    assert page.locator(ROOT).bounding_box()["width"] == width
    assert crowded(page, ROOT) == []


def test_the_list_of_metrics_ends_with_how_to_see_those_it_leaves_out(context):
    plot = nbv.LiveLossPlot()
    plot.log(**{f"metric{at}": at for at in range(50)})
    page = shown(context, plot)
    page.wait_for_selector(".nbtv-live-loss-plot[data-seq='1']")
    page.set_viewport_size({"width": 280, "height": 900})
    frames(page)
    last = page.get_by_label("Metric", exact=True).locator("option").last
    assert last.text_content() == "and 10 more: choose them with metrics=[…]"
    assert last.is_disabled()
    assert not crowded(page, ROOT)
