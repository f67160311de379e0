"""A closed lid: the connection stands still while training goes on."""

from tests.browser.loops import BROWSER, MODEL

MOST_BYTES = 50_000_000
BACKED_OFF_S = 4.0
MOST_REPLAYED = 8
"""Pictures sent before the line was given up, and at most one in 1, 2, 4 s afterwards."""


def test_nothing_piles_up_and_the_present_comes_back(open_notebook, jupyter, loop, proxy):
    page = open_notebook([MODEL + BROWSER, loop.cell()], base=proxy.base)
    page.run_all()
    loop.begun()
    page.view().scroll_into_view_if_needed()
    shown = page.wait_painted(from_step=1, mode="live")
    memory = jupyter.memory_bytes
    proxy.stall()
    sent = loop.ask("browser._frame_stream.stats['sends']")
    step = loop.ask("browser.session.step")
    loop.until(f"browser.session.sender.backoff_s >= {BACKED_OFF_S}")
    assert jupyter.memory_bytes - memory <= MOST_BYTES
    present = loop.ask("browser.session.step")
    assert present > step > int(shown["step"]) - 1
    assert loop.ask("browser._frame_stream.stats['sends']") - sent <= MOST_REPLAYED

    page.clear_probe()
    proxy.resume()
    page.wait_painted(from_step=present, mode="live")
    steps = [int(paint["step"] or 0) for paint in page.paints() if paint["seq"]]
    assert len({old for old in steps if old < present}) <= MOST_REPLAYED
    assert loop.ask("browser.session.faults") == []
    loop.end()
    page.wait_text(1, "ended")
