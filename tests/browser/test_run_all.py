"""Run All on four kinds of model, with an evaluation after each epoch; then both cells again."""

import pytest

from tests.browser.loops import SETUP
from tests.browser.models import EPOCHS, MODELS

WATCH = """
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
session = nbv.watch(model, optimizer)
display(session)
"""
MOVES = 6
FIRST = """() => document.querySelector(".nbtv-activation-browser").dataset.layer === "input" """
AFTER = """([layer, seq]) => {
  const { dataset } = document.querySelector(".nbtv-activation-browser");
  return dataset.layer !== layer && Number(dataset.seq) > seq;
}"""


def scrub(page):
    """Move through the layers; every move has to be painted from what Python sent."""
    page.view().scroll_into_view_if_needed()
    page.wait_painted(mode="live", from_step=1)
    slider = page.view().get_by_role("slider", name="Layer", exact=True)
    slider.focus()
    page.page.keyboard.press("Home")
    # The layer shown first is often the second: until Home is painted, the first move would seem to
    # lead back to it.
    page.page.wait_for_function(FIRST)
    most = int(slider.get_attribute("max"))
    seen = []
    for move in range(MOVES):
        shown = page.painted()
        page.page.keyboard.press("ArrowRight" if move // most % 2 == 0 else "ArrowLeft")
        page.page.wait_for_function(AFTER, arg=[shown["layer"], int(shown["seq"] or 0)])
        seen.append(page.painted()["layer"])
    return seen, most


@pytest.mark.parametrize("name", MODELS)
def test_both_cells_run_and_run_again(open_notebook, loop, name):
    page = open_notebook([SETUP + MODELS[name] + WATCH, EPOCHS.replace("NAME", loop.name)])
    for _ in range(2):
        loop.renew()
        page.run_all()
        loop.begun()
        seen, most = scrub(page)
        assert len(set(seen)) >= min(MOVES, most), seen
        shown = page.painted()
        page.wait_painted(after=int(shown["seq"]), from_step=int(shown["step"]) + 1, mode="live")
        page.wait_painted("live-loss-plot", from_step=40)  # two epochs, two evaluations
        assert page.page.locator(".nbtv-cockpit").count() == 1
        assert "ended" not in page.text(1)
        loop.end()
        page.wait_done(1)
        assert page.text(1).endswith("ended\n")
    assert [line for line in page.console if "nbtv" in line] == []
