"""Cells are run again: the old widget goes, steps go on, a new model is one click away."""

import re

from tests.browser.alone import wait_count
from tests.browser.loops import BROWSER, MODEL

COUNT = """
from nbtorchviz.widgets import notebook
comms = get_ipython().kernel.comm_manager.comms
models = [comm for comm in comms.values() if comm.target_name == "jupyter.widget"]
print(f"[{len(notebook.open_widgets())} open, {len(models)} comms, {browser.session.step} steps]")
"""


def count(page):
    page.run_cell(2)
    page.wait_done(2)
    return re.match(r"\[(\d+) open, (\d+) comms, (\d+) steps\]", page.text(2)).groups()


def train(page, loop, from_step):
    """Run the loop's cell until a picture of a later step is shown; return that step."""
    loop.renew()
    page.run_cell(1)
    loop.begun()
    page.view().scroll_into_view_if_needed()
    step = int(page.wait_painted(from_step=from_step, mode="live")["step"])
    loop.end()
    page.wait_done(1)
    return step


def test_widget_cell_and_train_cell(open_notebook, loop):
    page = open_notebook([MODEL, loop.cell(), COUNT, BROWSER])
    for index in (0, 3):
        page.run_cell(index)
        page.wait_done(index)
    page.view().wait_for()
    train(page, loop, from_step=1)
    widgets, comms, first = count(page)
    assert widgets == "1"

    page.run_cell(3)  # the widget's cell
    page.wait_done(3)
    wait_count(page.page, ".nbtv-activation-browser", 1)
    page.wait_painted(from_step=1)
    assert count(page) == ("1", comms, first)

    train(page, loop, from_step=int(first) + 1)  # the loop's cell
    assert int(count(page)[2]) > int(first)
    assert count(page)[:2] == ("1", comms)


def test_a_new_model_is_named_and_one_click_away(open_notebook, loop):
    page = open_notebook([MODEL, loop.cell(), COUNT, BROWSER])
    for index in (0, 3):
        page.run_cell(index)
        page.wait_done(index)
    page.view().wait_for()
    old = train(page, loop, from_step=1)

    page.run_cell(0)  # another Net; the widget's cell is not run
    page.wait_done(0)
    loop.renew()
    page.run_cell(1)
    loop.begun()
    page.view().scroll_into_view_if_needed()
    follow = page.view().get_by_role("button", name="Follow the new Net", exact=True)
    follow.wait_for()
    assert "A new Net has taken its place." in page.view().get_by_role("status").inner_text()
    shown = page.painted()
    assert int(shown["step"]) >= old
    assert shown["mode"] == "model gone"
    follow.click()
    first = page.wait_painted(after=int(shown["seq"]), mode="live", from_step=1)
    page.wait_painted(after=int(first["seq"]), mode="live", from_step=int(first["step"]) + 1)
    assert loop.ask("browser.session.model is model")
    follow.wait_for(state="detached")
    loop.end()
    page.wait_text(1, "ended")
