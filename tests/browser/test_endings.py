"""How loops end: error, interrupt, a forward that fails, a restart, a closed widget."""

import pytest

from tests.browser.loops import BROWSER, COCKPIT, MODEL, indented

CHANNEL = "(at) => document.querySelector('.nbtv-activation-browser').dataset.channel === at"


@pytest.fixture
def start(open_notebook, loop):
    """Return a function that opens a notebook and returns once its loop is shown live."""

    def start_(shown=BROWSER, train=None):
        page = open_notebook([MODEL + shown, train or loop.cell()])
        page.run_all()
        loop.begun()
        page.view().scroll_into_view_if_needed()
        page.wait_painted(from_step=1)
        return page

    return start_


def again(page, loop, from_step):
    """Run the loop's cell once more and return when newer steps are shown live."""
    page.wait_done(1)
    loop.renew()
    page.run_cell(1)
    loop.begun()
    page.wait_painted(from_step=from_step)


def test_an_exception_in_the_loop_is_the_users_and_the_next_run_goes_on(start, loop):
    train = f"with browser.session.live():\n{indented(loop.cell())}"
    page = start(train=train)
    loop.tell("1 / 0")
    page.wait_text(1, "ZeroDivisionError")
    assert page.text(1) == "ZeroDivisionError: division by zero"
    shown = page.wait_painted(mode="finished")
    assert "ended with an error" in page.view().locator(".nbtv-chip").get_attribute("title")
    again(page, loop, from_step=int(shown["step"]) + 1)
    page.wait_painted(mode="live")
    loop.end()
    page.wait_text(1, "ended")
    page.wait_painted(mode="finished")


def test_interrupt_reaches_the_loop_running_or_paused(start, loop):
    page = start(COCKPIT)
    page.interrupt()
    page.wait_text(1, "KeyboardInterrupt")
    again(page, loop, from_step=loop_step(page) + 1)
    header = page.view("cockpit-header")
    pause = header.get_by_role("button", name="Pause", exact=True)
    pause.click()
    header.get_by_role("button", name="Resume", exact=True).wait_for()
    page.page.locator(".nbtv-cockpit").get_by_text("Paused at step").first.wait_for()
    page.interrupt()
    page.wait_text(1, "KeyboardInterrupt")
    again(page, loop, from_step=loop_step(page) + 1)  # and it is not paused any more
    loop.end()
    page.wait_text(1, "ended")


def loop_step(page):
    return int(page.painted()["step"])


def test_a_failed_forward_names_the_layer_and_the_shapes(start, loop):
    page = start()
    loop.tell("globals().update(inputs=torch.randn(32, 3, 8, 8))")
    page.wait_text(1, "RuntimeError")
    assert "mat1 and mat2 shapes cannot be multiplied (32x512 and 2048x10)" in page.text(1)
    status = page.view().get_by_role("status").filter(has_text="Forward failed")
    status.wait_for()
    said = status.inner_text()
    assert "head.1" in said
    assert "512" in said
    assert "2048" in said
    page.wait_painted(mode="forward failed")
    page.wait_done(1)
    page.run_cell(0)  # a good model and batch again
    page.wait_done(0)
    again(page, loop, from_step=1)
    page.wait_painted(mode="live")
    loop.end()
    page.wait_text(1, "ended")


def test_after_a_kernel_restart_picture_and_channels_stay(start):
    page = start()
    page.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    page.page.wait_for_selector('.nbtv-activation-browser[data-mode="kernel gone"]')
    assert int(page.painted()["step"]) >= 1
    page.view().get_by_text("Kernel gone.").first.wait_for()
    channel = page.view().get_by_role("slider", name="Channel")
    channel.focus()
    for at in ("1", "2", "3"):
        page.page.keyboard.press("ArrowRight")
        page.page.wait_for_function(CHANNEL, arg=at)


def test_closing_the_widget_leaves_training_alone(start, loop):
    page = start()
    loop.tell("browser.close()")
    page.page.wait_for_selector(".nbtv-activation-browser", state="detached")
    step = loop.ask("browser.session.step")
    loop.until(f"browser.session.step > {step + 5}")
    hooks = "sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())"
    assert loop.ask(hooks) == 0
    assert loop.ask("browser.session.faults") == []
    loop.end()
    page.wait_text(1, "ended")
    assert page.text(1) == "ended\n"


def test_a_closed_session_is_told_where_a_slider_would_be_frozen(open_notebook, loop):
    page = open_notebook([MODEL + COCKPIT, loop.cell(), "session.close()"])
    for index in (0, 1):
        page.run_cell(index)
    loop.begun()
    page.view().scroll_into_view_if_needed()
    page.wait_painted(from_step=1)
    loop.end()
    page.wait_text(1, "ended")
    page.run_cell(2)
    page.page.locator(".nbtv-cockpit").get_by_text("Session closed.").first.wait_for()
    page.wait_painted(mode="closed")
