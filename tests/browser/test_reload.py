"""The page is loaded again, or opened twice, while a plain loop trains."""

from tests.browser.loops import BROWSER, MODEL


def test_a_reloaded_page_comes_back_when_the_cell_ends(open_notebook, loop):
    page = open_notebook([MODEL + BROWSER, loop.cell()])
    page.run_all()
    loop.begun()
    page.view().scroll_into_view_if_needed()
    before = page.wait_painted(from_step=1, mode="live")
    page.save()
    page.page.reload()  # the kernel tells the new page nothing before the cell ends
    page.page.wait_for_selector(".jp-Notebook .jp-Cell")
    step = loop.ask("browser.session.step")
    loop.until(f"browser.session.step > {step}")
    loop.end()
    page.wait_ready()
    page.wait_idle()  # the loop has seen its end
    page.view().scroll_into_view_if_needed()
    shown = page.wait_painted(layer="conv", from_step=int(before["step"]))

    loop.renew()
    page.run_cell(1)
    loop.begun()
    page.view().scroll_into_view_if_needed()
    page.wait_painted(after=int(shown["seq"]), from_step=int(shown["step"]) + 1, mode="live")
    loop.end()
    page.wait_text(1, "ended")


def test_two_tabs_are_both_live_and_one_stays_so_alone(open_notebook, loop):
    page = open_notebook([MODEL + BROWSER, loop.cell()])
    page.run_cell(0)
    page.wait_done(0)
    page.view().wait_for()
    page.save()
    second = page.second_tab()
    second.view().wait_for()
    page.page.bring_to_front()
    page.run_cell(1)
    loop.begun()
    for tab in (page, second):
        first = tab.wait_painted(from_step=1, mode="live")
        tab.wait_painted(after=int(first["seq"]), from_step=int(first["step"]) + 1)
    page.close()
    step = loop.ask("browser.session.step")
    later = second.wait_painted(from_step=step + 1, mode="live")
    second.wait_painted(after=int(later["seq"]) + 2, from_step=int(later["step"]) + 1, mode="live")
    loop.end()
