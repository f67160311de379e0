"""The flight recorder in JupyterLab: a flag on the slider leads to frames of long ago."""

import os
from pathlib import Path

from tests.browser.loops import MODEL, STEP

SHOTS = os.environ.get("NBTORCHVIZ_SHOTS")
CELL = """
session = nbv.watch(model, optimizer, every=1)
display(nbv.ActivationBrowser(session, layer="relu"))
"""
SPIKE = "session.log(loss=loss * (40 if session.step == 60 else 1))"


def test_a_spike_is_flagged_and_its_frames_are_still_there(open_notebook, loop):
    page = open_notebook([MODEL + CELL, loop.cell(STEP + SPIKE)])
    page.run_cell(0)
    page.wait_done(0)
    page.view().scroll_into_view_if_needed()
    page.run_cell(1)
    loop.begun()
    loop.until("any(each.kind == 'spike' for each in session.incidents)")
    loop.until("session.step > 300")  # the ring is full and has been thinned
    held = loop.ask("session.recorder.kept['batch'].held('relu')[60]")
    assert len(held) == 7
    page.wait_painted(from_step=200)
    flag = page.view().locator(".nbtv-flags button[title*='jumps']")
    flag.wait_for()
    if SHOTS:
        page.view().screenshot(path=str(Path(SHOTS) / "flight.png"))
    flag.click()
    page.page.wait_for_function(
        """(held) => held.includes(Number(
          document.querySelector(".nbtv-activation-browser").dataset.step))""",
        arg=held,
    )
    assert loop.ask("session.faults") == []
    loop.end()
    page.wait_done()
