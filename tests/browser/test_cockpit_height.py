"""The cockpit keeps its height: below 640 px also where it is narrow, and when a cell ends."""

import os
from pathlib import Path

import pytest

from tests.browser.loops import MODEL, STEP

SHOTS = os.environ.get("NBTORCHVIZ_SHOTS")
BAR_PX = 640
COCKPIT = """
session = nbv.watch(model, optimizer, every=1)
display(session)
"""
SHORT = f"""
for _ in range(12):
{"".join(f"    {line}{chr(10)}" for line in STEP.strip().splitlines())}    session.log(loss=loss)
"""
HEIGHT = """() => document.querySelector(".nbtv-cockpit").getBoundingClientRect().height"""
OUTPUT_HEIGHT = """() => document.querySelector(".nbtv-cockpit").closest(".jp-OutputArea")
  .getBoundingClientRect().height"""
WATCH = """() => {
  const cockpit = document.querySelector(".nbtv-cockpit");
  window.heights = [];
  const area = cockpit.closest(".jp-OutputArea"); // the picture for the file, hidden, included
  window.firstCockpit = cockpit;
  const look = () => {
    window.heights.push(area.getBoundingClientRect().height);
    requestAnimationFrame(look);
  };
  new MutationObserver(() => window.heights.push(area.getBoundingClientRect().height))
    .observe(area, { childList: true, subtree: true });
  look();
}"""
SETTLED = """(name) => {
  const cockpit = document.querySelector(".nbtv-cockpit");
  const chosen = cockpit.querySelector(".nbtv-tabs [aria-selected=true]");
  const views = [...cockpit.querySelectorAll(".nbtv-view")];
  const shown = views.filter((el) => el.checkVisibility() && el.offsetHeight > 200);
  const now = cockpit.getBoundingClientRect().height, same = window.lastHeight === now;
  window.lastHeight = now;
  return chosen.textContent.startsWith(name) && shown.length > 0 && same;
}"""
PAINTED = """() => window.firstCockpit.querySelector(".nbtv-cell:not([hidden])")"""
STAYS = """() => document.querySelector(".nbtv-cockpit") === window.firstCockpit"""


def opened(open_notebook):
    page = open_notebook([MODEL + COCKPIT, SHORT])
    page.run_cell(0)
    page.wait_done(0)
    page.view("cockpit").scroll_into_view_if_needed()
    return page


def test_nothing_below_moves_and_the_view_stays_when_a_cell_ends(open_notebook):
    page = opened(open_notebook)
    page.page.mouse.move(2, 2)
    before, whole = page.picture(0), page.page.evaluate(OUTPUT_HEIGHT)
    page.page.evaluate(WATCH)
    page.run_cell(1)
    page.wait_done(1)
    page.wait_new_picture(0, before)
    page.page.wait_for_function(PAINTED)
    assert page.page.evaluate(STAYS)
    heights = page.page.evaluate("window.heights")
    assert min(heights) >= whole - 1
    assert max(heights) <= whole + 20  # the curve is a little higher than the words in its place
    if SHOTS:
        page.page.screenshot(path=str(Path(SHOTS) / "ended.png"))


@pytest.mark.parametrize("width", [390, 444, 900])
def test_it_is_not_higher_than_promised_with_any_tab(open_notebook, width):
    page = opened(open_notebook)
    page.run_cell(1)
    page.wait_done(1)
    page.page.evaluate(
        """(width) => {
          document.querySelector(".nbtv-cockpit").parentElement.style.maxWidth = `${width}px`;
        }""",
        width,
    )
    page.page.wait_for_function(
        """(width) => {
          const {width: now} = document.querySelector(".nbtv-cockpit").getBoundingClientRect();
          const narrow = document.querySelector(".nbtv-activation-browser.nbtv-narrow-map");
          return now <= width && Boolean(narrow) === now < 698;
        }""",
        arg=width,
    )
    tabs = page.page.locator(".nbtv-cockpit .nbtv-tabs").get_by_role("tab")
    heights = {}
    for tab in tabs.all():
        tab.click()
        name = tab.inner_text().split()[0]
        page.page.wait_for_function(SETTLED, arg=name)
        heights[name] = page.page.evaluate(HEIGHT)
        if SHOTS:
            page.view("cockpit").screenshot(path=str(Path(SHOTS) / f"cockpit{width}{name}.png"))
    assert len(heights) == 5
    assert max(heights.values()) <= BAR_PX, heights
