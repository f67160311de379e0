"""The harness itself, with a bare ipywidgets slider in place of our widgets."""

import pytest

from tests.browser.latency import delays_ms, floor_answers, typical_ms
from tests.browser.patience import WAIT_S

FLOOR = """
import ipywidgets as widgets
slider = widgets.IntSlider(value=0, max=400)
label = widgets.Label("v=0")
slider.observe(lambda change: setattr(label, "value", f"v={change['new']}"), "value")
box = widgets.VBox([slider, label])
box.add_class("nbtv-floor")
for widget in (slider, label):
    if hasattr(widget.comm, "_reply_subshell_for"):
        widget.comm._reply_subshell_for = lambda data, default: default
display(box)
"""
BUSY = """
import pathlib
print("started", flush=True)
while not pathlib.Path("stop-{name}").exists():
    sum(range(1000))
print("ended", slider.value)
"""


def press(page, count):
    handle = page.page.locator(".nbtv-floor .noUi-handle")
    for _ in range(count):
        before = len(page.paints())
        handle.focus()
        page.page.keyboard.press("ArrowRight")
        page.page.wait_for_function("(n) => nbtvProbe.paints.length > n", arg=before)


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_opens_runs_and_reads(open_notebook, app):
    page = open_notebook(["print('hello')", "1 / 0", "print('never')"], app=app)
    page.run_cell(0)
    page.wait_done(0)
    assert page.text(0) == "hello\n"
    page.run_cell(1)
    page.wait_text(1, "ZeroDivisionError")
    assert page.text(1) == "ZeroDivisionError: division by zero"
    assert page.cell(2)["execution_count"] is None


def test_moves_are_answered_and_timed_while_a_cell_runs(open_notebook, jupyter):
    page = open_notebook([FLOOR, BUSY.format(name="moves")])
    page.run_all()
    page.wait_text(1, "started")
    page.page.wait_for_selector(".nbtv-floor .noUi-handle")
    page.page.wait_for_selector(".nbtv-floor .widget-label:not(:empty)")
    page.wait_heard()  # a bare slider whose first word gets stuck never speaks again
    page.clear_probe()
    press(page, 5)
    delays = delays_ms(page.moves(), page.paints(), floor_answers)
    (jupyter.files / "stop-moves").touch()
    page.wait_text(1, "ended 5")
    assert len(delays) == 5
    assert 0 < typical_ms(delays) < 1000 * WAIT_S


def test_an_unanswered_move_is_no_delay():
    move = {"at": 10.0, "value": "1"}
    earlier = {"at": 5.0, "target": "floor", "text": "v=1"}
    other = {"at": 15.0, "target": "floor", "text": "v=0"}
    assert delays_ms([move], [earlier, other], floor_answers) == [None]
    with pytest.raises(ValueError, match="0 of 1"):
        typical_ms([None])
    assert delays_ms([move], [earlier, {**earlier, "at": 17.5}], floor_answers) == [7.5]


def test_reload_second_tab_theme_and_visibility(open_notebook):
    page = open_notebook([FLOOR])
    page.run_all()
    page.wait_done()
    page.page.wait_for_selector(".nbtv-floor .noUi-handle")
    page.theme("dark")
    page.hide()
    assert page.page.evaluate("() => document.hidden")
    page.show()
    assert not page.page.evaluate("() => document.hidden")
    page.save()
    assert page.saved()["cells"][0]["outputs"]
    page.reload()
    page.page.wait_for_selector(".nbtv-floor .noUi-handle")
    second = page.second_tab()
    second.page.wait_for_selector(".nbtv-floor .noUi-handle")


def test_interrupt(open_notebook):
    page = open_notebook(["print('started', flush=True)\nwhile True: pass"])
    page.run_all()
    page.wait_text(0, "started")
    page.wait_running(0)
    page.interrupt()
    page.wait_text(0, "KeyboardInterrupt")
    page.wait_done(0)


def test_a_stalled_connection_delivers_late_and_the_server_is_measured(
    open_notebook, jupyter, proxy
):
    page = open_notebook(["import time\nfor i in range(3): print(i, flush=True)"], base=proxy.base)
    proxy.stall()
    before = proxy.forwarded_bytes
    page.run_cell(0)
    assert jupyter.memory_bytes > 10_000_000
    assert proxy.forwarded_bytes == before
    assert page.text(0) == ""
    proxy.resume()
    page.wait_text(0, "2")
    assert proxy.forwarded_bytes > before


def test_each_notebook_has_a_kernel_of_its_own(open_notebook, jupyter):
    first = open_notebook(["x = 1"])
    second = open_notebook(["x"])
    assert jupyter.kernel_of(first.name) != jupyter.kernel_of(second.name)
