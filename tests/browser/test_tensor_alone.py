"""The view of ``nbv.show`` in a page without Jupyter, and the widget in a notebook."""

import base64

import pytest
import torch

from nbtorchviz.analysis.packets import pack
from nbtorchviz.analysis.tensor_batch import tensor_batch
from nbtorchviz.analysis.tensor_packet import tensor_parts
from nbtorchviz.widgets.base import BUNDLE
from tests.browser.alone import sent, show_alone
from tests.browser.loops import SETUP

ROOT = ".nbtv-tensor-view"


def packet(values, **keywords):
    return base64.b64encode(pack(*tensor_parts(tensor_batch(values), **keywords))).decode()


@pytest.fixture
def show(context):
    def show(values, width=900, **keywords):
        options = {"id": "t", "colormap": "viridis", "normalize": "channel"}
        start = {"sample": 0, "channel": 0, "slice": 0}
        traits = {"kind": "tensor-view", "options": options, "selection": start}
        bundle = BUNDLE.with_name("tensor.js")
        page = show_alone(
            context, traits, {"picture": packet(values, **keywords)}, width=width, bundle=bundle
        )
        page.wait_for_selector(f"{ROOT}[data-view]")
        return page

    return show


def painted(page, **facts):
    wanted = "".join(f"[data-{name}='{value}']" for name, value in facts.items())
    page.wait_for_selector(f"{ROOT}{wanted}")


def test_sliders_keys_and_clicks_answer_without_a_kernel(show):
    torch.manual_seed(0)
    page = show(torch.rand(5, 6, 8, 8), labels=["cat", "dog", "cow", "pig", "hen"])
    page.evaluate("window.gone = true")
    page.get_by_label("Sample", exact=True).press("ArrowRight")
    painted(page, sample=1, channel=0)
    page.get_by_label("Channel", exact=True).press("End")
    painted(page, sample=1, channel=5)
    page.get_by_role("option", name="hen, sample 4").click()
    painted(page, sample=4, channel=5)
    page.keyboard.press("ArrowLeft")
    painted(page, sample=3)
    page.locator(".nbtv-cell[data-channel='2']").click()
    painted(page, channel=2)
    page.get_by_text("Channel 2", exact=True).wait_for()


def test_the_number_under_the_crosshair_is_the_value(show):
    values = torch.zeros(1, 1, 4, 4)
    values[0, 0, 2, 1] = 7.5
    page = show(values)
    page.get_by_text("row 2, col 1 =").first.wait_for()
    page.get_by_text("7.50", exact=True).first.wait_for()
    assert page.locator(".nbtv-samples").is_hidden()  # one gray picture is its only channel


def test_words_of_users_are_text_and_what_is_not_finite_is_a_word(show):
    values = torch.rand(3, 1, 6, 6)
    values[1] = float("nan")
    evil = "<img src=x onerror='window.harmed=1'>"
    page = show(values, title=evil, labels=[evil, "b", "c"])
    page.get_by_text("36 NaN of 108 values").wait_for()
    page.get_by_text("b not finite").wait_for()
    page.get_by_text(evil).first.wait_for()
    assert not page.evaluate("window.harmed")


def test_a_sample_left_out_is_asked_for_and_said(show):
    page = show(torch.rand(300, 4, 40, 40))
    page.get_by_label("Sample", exact=True).press("End")
    painted(page, sample=299, view="none")
    page.get_by_text("Sample 299 is not in the page").wait_for()
    asked = sent(page, "intent")[-1]
    assert (asked["name"], asked["value"]) == ("sample", 299)
    page.evaluate("window.gone = true")


@pytest.mark.parametrize("width", [400, 900])
def test_nothing_is_wider_than_its_place(show, width):
    for shape in ((40, 1, 28, 28), (2, 64, 7, 7), (2, 3, 30, 40), (12,), (2, 4, 5, 8, 8)):
        page = show(torch.rand(shape), width=width)
        root = page.locator(ROOT)
        wide = root.evaluate("(el) => el.scrollWidth - el.clientWidth")
        assert wide <= 0, shape
        if width == 900:
            assert root.bounding_box()["height"] <= 680
        page.close()


def test_jupyter_takes_no_key_from_a_control(show):
    page = show(torch.rand(5, 6, 8, 8))
    painted(page, view="maps")
    selector = f"{ROOT} :is(button, input, select, [tabindex])"
    assert page.locator(selector).count() > 10
    assert page.locator(f"{selector}:not([data-lm-suppress-shortcuts='true'])").count() == 0


def test_in_a_notebook_it_shows_and_pages_while_a_cell_runs(open_notebook, loop):
    cell = SETUP + "view = nbv.show(torch.rand(300, 4, 40, 40), title='noise')\nview"
    page = open_notebook([cell, loop.cell("pass")])
    page.run_all()
    loop.begun()
    view = page.page.locator(ROOT)
    view.scroll_into_view_if_needed()
    page.page.wait_for_selector(f"{ROOT}[data-view='maps']")
    view.get_by_label("Sample", exact=True).press("End")
    page.page.wait_for_selector(f"{ROOT}[data-sample='299'][data-view='maps']")
    loop.end()
    page.wait_text(1, "ended")
