"""Without a pointer, in the dark, and read aloud."""

import time

import pytest

from tests.browser.loops import COCKPIT, MODEL, STEP, indented
from tests.browser.patience import WAIT_S

CELLS = [
    MODEL + "session = nbv.watch(model, every=1)",
    'browser = nbv.ActivationBrowser(session, layer="conv")\ndisplay(browser)',
    f"for _ in range(4):\n{indented(STEP)}",
    "print(browser.layer, browser.channel, browser.sample)",
]
LOG = "    session.log(loss=loss)"
MOST_TABS = 80
FOCUSED = """() => {
  const { activeElement: element } = document;
  return element.closest(".nbtv-activation-browser") && element.getAttribute("aria-label");
}"""
COMMAND_MODE = """() => {
  const { content } = window.jupyterapp.shell.currentWidget;
  content.activeCellIndex = 1;
  content.mode = "command";
  content.activate();
}"""
NOTEBOOK = """() => {
  const { content } = window.jupyterapp.shell.currentWidget;
  return [content.model.cells.length, content.activeCellIndex, content.mode];
}"""
COLOURS = """(view) => [...view.querySelectorAll("b, .nbtv-quiet, .nbtv-name, button:enabled")]
  .concat(view).map((element) => getComputedStyle(element).color)"""


def run(page, *indices):
    for index in indices:
        page.run_cell(index)
        page.wait_done(index)


def wait_printed(page, index, text):
    """Run a cell until it prints this: what was moved comes to Python on a way of its own."""
    deadline = time.monotonic() + WAIT_S
    while True:
        run(page, index)
        if page.text(index) == text:
            return
        assert time.monotonic() < deadline, f"printed {page.text(index)!r}, not {text!r}"


def tab_to(page, label):
    """Press Tab until the control with this label has the focus."""
    for _ in range(MOST_TABS):
        if page.page.evaluate(FOCUSED) == label:
            return
        page.page.keyboard.press("Tab")
    raise AssertionError(f"no way to {label} by {MOST_TABS} tabs")


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_sliders_by_keyboard_and_the_notebook_keeps_its_cells(open_notebook, app):
    page = open_notebook(CELLS, app=app)
    run(page, 0, 1, 2)
    page.view().scroll_into_view_if_needed()
    page.wait_painted(layer="conv", step=4)
    page.page.evaluate(COMMAND_MODE)
    for label, keys, expected in (
        ("Step", ["ArrowLeft"] * 3, {"step": 2}),  # from the newest: 4 as a kept one, 3, 2
        ("Layer", ["ArrowRight"], {"layer": "relu", "step": 2}),  # held
        ("Channel", ["ArrowRight"], {"layer": "relu", "channel": 1}),
        ("Sample", ["ArrowRight"], {"layer": "relu", "channel": 1}),
    ):
        tab_to(page, label)
        before = page.page.evaluate(NOTEBOOK)
        for key in [*keys, "d", "d", "j", "k", "b", "x"]:  # delete, down, up, new cell, cut
            page.page.keyboard.press(key)
        page.wait_painted(**expected)
        assert page.page.evaluate(FOCUSED) == label
        assert page.page.evaluate(NOTEBOOK) == before
    wait_printed(page, 3, "relu 1 1\n")


def test_the_dark_theme_changes_every_colour_of_text(open_notebook):
    page = open_notebook(CELLS)
    run(page, 0, 1, 2)
    page.view().scroll_into_view_if_needed()
    page.wait_painted(step=4)
    page.theme("light")
    light = set(page.view().evaluate(COLOURS))
    page.theme("dark")
    page.page.wait_for_selector(".nbtv-activation-browser.nbtv-dark")
    assert not light & set(page.view().evaluate(COLOURS))


def test_axe_finds_nothing_serious(open_notebook):
    from axe_playwright_python.sync_playwright import Axe

    page = open_notebook([MODEL + COCKPIT, CELLS[1], f"{CELLS[2]}\n{LOG}"])
    run(page, 0, 1, 2)
    page.view(nth=1).scroll_into_view_if_needed()
    page.wait_painted(nth=1, from_step=1)
    for theme in ("light", "dark"):
        page.theme(theme)
        found = Axe().run(page.page, context={"include": [[".nbtv-view"]]})
        assert [
            (theme, violation["id"], [node["html"][:200] for node in violation["nodes"]])
            for violation in found.response["violations"]
            if violation["impact"] in ("serious", "critical")
        ] == []
