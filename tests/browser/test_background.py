"""Training on a thread of its own: the notebook stays free, and every control works."""

import pytest

from tests.browser.loops import COCKPIT, MODEL, STEP, indented


def background(loop, step=STEP):
    """Return cells: model and cockpit, the start of a run, a look at it."""
    run = f'for _ in going("{loop.name}"):\n{indented(step)}'
    return [
        MODEL + COCKPIT,
        f"def fit():\n{indented(run)}\nrun = session.train_in_background(fit)",
        "print(run.state, run.exception)",
        "run.join()\nprint('joined')",
        "while session.gate.state == 'pausing': pass\nprint(run.state, session.step)",
    ]


def start(page, loop):
    page.run_cell(0)
    page.wait_done(0)
    page.run_cell(1)
    page.wait_done(1)
    loop.begun()
    page.view().scroll_into_view_if_needed()
    page.wait_painted(layer="conv", from_step=1, mode="background")


def header(page):
    return page.view("cockpit-header")


def press(page, name):
    header(page).get_by_role("button", name=name, exact=True).click()


def wait_finished(page):
    page.page.wait_for_selector('.nbtv-cockpit-header[data-mode="finished"]')


def wait_said(page, sentence):
    """Return when the cockpit says this."""
    page.page.locator(".nbtv-cockpit").get_by_text(sentence).first.wait_for()


def held_at(page):
    """Return the step at which the run is held; the kernel answers while it is."""
    page.run_cell(4)
    page.wait_done(4)
    state, step = page.text(4).split()
    assert state == "running"
    return int(step)


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_storm_pause_step_resume_and_stop(open_notebook, loop, app):
    page = open_notebook(background(loop), app=app)
    start(page, loop)
    slider = page.view().get_by_role("slider", name="Layer")
    slider.focus()
    for key in ["ArrowRight"] * 20 + ["Home"] + ["ArrowRight"] * 2:
        page.page.keyboard.press(key)
    painted = page.wait_painted(layer="relu", from_step=1)
    page.wait_painted(layer="relu", after=int(painted["seq"]), from_step=int(painted["step"]) + 1)

    press(page, "Pause")
    header(page).get_by_role("button", name="Resume", exact=True).wait_for()
    step = held_at(page)
    press(page, "Step")
    wait_said(page, f"Paused at step {step + 1}.")
    assert held_at(page) == step + 1
    press(page, "Resume")
    page.wait_painted(layer="relu", from_step=step + 3, mode="background")

    press(page, "Stop")
    wait_finished(page)
    page.run_cell(3)
    page.wait_text(3, "joined")
    page.run_cell(2)
    page.wait_text(2, "stopped None")


def test_a_reloaded_page_shows_pictures_at_once_and_goes_on_live(open_notebook, loop):
    page = open_notebook(background(loop))
    start(page, loop)
    page.save()
    page.reload()
    page.view().scroll_into_view_if_needed()
    first = page.wait_painted(layer="conv", from_step=1, mode="background")
    page.wait_painted(layer="conv", after=int(first["seq"]), from_step=int(first["step"]) + 1)
    slider = page.view().get_by_role("slider", name="Layer")
    slider.focus()
    page.page.keyboard.press("ArrowRight")
    page.wait_painted(layer="relu", mode="background")
    loop.end()
    wait_finished(page)


def test_an_exception_of_the_run_is_shown_and_raised_by_join(open_notebook, loop):
    page = open_notebook(background(loop))
    start(page, loop)
    loop.tell("1 / 0")
    wait_said(page, "Training ended with ZeroDivisionError: division by zero")
    page.run_cell(3)
    page.wait_text(3, "ZeroDivisionError")
    assert page.text(3) == "ZeroDivisionError: division by zero"
    page.wait_done(3)
    page.run_cell(2)
    page.wait_text(2, "failed division by zero")
