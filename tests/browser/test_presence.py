"""Nobody looks: nothing is captured. Somebody looks again: the present is shown."""

from tests.browser.loops import BROWSER, MODEL

TAKEN = """
import time
from nbtorchviz.events import ActivationCaptured
taken = []
browser.session.bus.subscribe(ActivationCaptured, lambda event: taken.append(time.monotonic()))
"""
AWAY_S = 3.0
COLOURS = """(view) => {
  const canvas = [...view.querySelectorAll("canvas")]
    .sort((a, b) => b.width * b.height - a.width * a.height)[0];
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size;
}"""


def start(page, loop):
    page.run_all()
    loop.begun()
    page.view().scroll_into_view_if_needed()
    page.wait_painted(from_step=1, mode="live")


def wait_unwatched(loop):
    """Return when no picture was taken for ``AWAY_S`` although training goes on."""
    loop.until("not browser.presence.any_visible()")
    step = loop.ask("browser.session.step")
    loop.until(f"time.monotonic() - taken[-1] > {AWAY_S}")
    assert loop.ask("browser.session.step") > step
    assert not loop.ask("browser.presence.any_visible()")


def test_a_hidden_tab_costs_nothing_and_comes_back_with_the_present(open_notebook, loop):
    page = open_notebook([MODEL + BROWSER + TAKEN, loop.cell()])
    start(page, loop)
    loop.until("len(taken) > 5")
    before = loop.ask("browser.session.overhead.samples_per_s")
    page.hide()
    wait_unwatched(loop)
    loop.until(f"browser.session.overhead.samples_per_s < {before}")
    seq = int(page.painted()["seq"])
    step = loop.ask("browser.session.step")
    page.show()
    page.wait_painted(after=seq, from_step=step, mode="live")
    loop.end()
    page.wait_text(1, "ended")


def test_scrolled_away_and_back_the_picture_is_right(open_notebook, loop):
    page = open_notebook(
        [MODEL + BROWSER + TAKEN, loop.cell(), "print('line\\n' * 200)"],
    )
    page.run_cell(2)
    page.wait_done(2)
    page.run_cell(0)
    page.wait_done(0)
    page.run_cell(1)
    loop.begun()
    page.view().scroll_into_view_if_needed()
    page.wait_painted(from_step=1, mode="live")
    place = scroll(page, "(pane) => pane.scrollTop")
    scroll(page, "(pane) => pane.scrollTop = pane.scrollHeight")
    wait_unwatched(loop)
    step = loop.ask("browser.session.step")
    scroll(page, f"(pane) => pane.scrollTop = {place}")
    page.wait_painted(from_step=step, mode="live")
    assert page.view().evaluate(COLOURS) > 20
    loop.end()
    page.wait_text(1, "ended")


def scroll(page, how):
    return page.page.locator(".jp-WindowedPanel-outer").first.evaluate(how)
