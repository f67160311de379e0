"""The cockpit in a real JupyterLab: its tabs, and what they do to each other."""

import os
from pathlib import Path

from tests.browser.loops import MODEL, STEP, indented

PLAIN = """
session = nbv.watch(model, optimizer, every=1)
display(session)
"""
SHOTS = os.environ.get("NBTORCHVIZ_SHOTS")
DEAD = """
with torch.no_grad():
    model.conv.bias.fill_(-100.0)
session = nbv.watch(model, optimizer, every=1)
display(session)
"""


def tab(page, name):
    return page.view("cockpit").get_by_role("tab", name=name)


def shown(page):
    """Return the kinds of the parts below the tabs that are to be seen."""
    kinds = ("activation-browser", "gradient-inspector", "findings-panel", "training-controls")
    return [kind for kind in kinds if page.view(kind).is_visible()]


def shot(page, name):
    if SHOTS:
        page.view("cockpit").screenshot(path=str(Path(SHOTS) / f"{name}.png"))


def test_a_finding_is_counted_listed_and_shown_where_it_is(open_notebook, loop):
    page = open_notebook([MODEL + DEAD, loop.cell(STEP + "session.log(loss=loss)")])
    page.run_cell(0)
    page.wait_done(0)
    page.view("cockpit").scroll_into_view_if_needed()
    page.run_cell(1)
    loop.begun()
    page.wait_painted(from_step=1)
    assert shown(page) == ["activation-browser"]
    loop.until("any(each.rule == 'dead_relu' for each in session.findings())")

    tab(page, "Findings").click()
    panel = page.view("findings-panel")
    panel.locator(".f-card").first.wait_for()
    assert shown(page) == ["findings-panel"]
    tab(page, "Findings").locator(".nbtv-badge:not([hidden])").wait_for()
    assert page.view("cockpit").bounding_box()["height"] <= 640
    shot(page, "findings")

    panel.get_by_role("button", name="Show me").first.click()
    page.wait_painted(layer="relu")
    assert shown(page) == ["activation-browser"]
    assert tab(page, "Activations").get_attribute("aria-selected") == "true"
    assert tab(page, "Activations").evaluate("(el) => el === document.activeElement")

    tab(page, "Controls").click()
    page.view("training-controls").get_by_role("textbox", name="Learning rate").wait_for()
    assert shown(page) == ["training-controls"]
    assert page.view("cockpit").bounding_box()["height"] <= 640
    loop.end()
    page.wait_done()
    assert [line for line in page.console if "nbtv" in line] == []


def test_a_step_of_the_curve_takes_all_there_and_one_tab_leads_the_other(open_notebook):
    # Few enough steps that each is kept: of a longer run the older half goes.
    training = f"for _ in range(40):\n{indented(STEP)}\n    session.log(loss=loss)"
    page = open_notebook([MODEL + PLAIN, training])
    page.run_cell(0)
    page.wait_done(0)
    page.view("cockpit").scroll_into_view_if_needed()
    page.run_cell(1)
    page.wait_done()
    page.view("cockpit").scroll_into_view_if_needed()  # its views are made anew, further down
    page.wait_painted(step=40)
    page.page.locator(".nbtv-live-loss-plot[data-pointed='']").wait_for()
    page.page.locator(".l-canvas").focus()
    for key in ("Home", "ArrowRight", "ArrowRight", "Enter"):
        page.page.keyboard.press(key)
    page.page.wait_for_selector(".nbtv-live-loss-plot[data-pointed='3']")
    page.wait_painted(step=3)
    shot(page, "linked")
    tab(page, "Gradients").click()
    page.wait_painted("gradient-inspector", step=3)

    page.view("gradient-inspector").get_by_role("treeitem", name="conv").first.click()
    tab(page, "Activations").click()
    page.wait_painted(layer="conv", step=3)
    assert [line for line in page.console if "nbtv" in line] == []
