"""TrainingControls in a real JupyterLab, beside a plain loop that is running."""

import os
from pathlib import Path

from tests.browser.loops import MODEL, STEP

KIND = "training-controls"
CELLS = [
    MODEL + "session = nbv.watch(model, optimizer)",
    "controls = nbv.TrainingControls(session)\ndisplay(controls)",
]
FOCUSED = """() => {
  const { activeElement: element } = document, style = getComputedStyle(element);
  if (style.outlineStyle === "none" || element.dataset.lmSuppressShortcuts !== "true") return null;
  return element.getAttribute("aria-label") || element.textContent;
}"""
SHOTS = os.environ.get("NBTORCHVIZ_SHOTS")
EMPTY = "(field) => field.value === ''"
NOTEBOOK = """() => {
  const { content } = window.jupyterapp.shell.currentWidget;
  return [content.model.cells.length, content.mode];
}"""


def opened(open_notebook, loop):
    """Show the controls and start a plain loop under ``session.live()``."""
    body = loop.cell(STEP + "session.log(loss=loss)")
    indent = "\n".join(f"    {line}" for line in body.splitlines())
    page = open_notebook([*CELLS, f"with session.live():\n{indent}\nprint('after')"])
    for index in (0, 1):
        page.run_cell(index)
        page.wait_done(index)
    view(page).scroll_into_view_if_needed()
    page.run_cell(2)
    loop.begun()
    wait_phase(page, "running")
    return page


def view(page):
    return page.view(KIND)


def button(page, name):
    return view(page).get_by_role("button", name=name, exact=True)


def field(page, name):
    return view(page).get_by_role("textbox", name=name, exact=True)


def wait_phase(page, phase):
    """Return the step at which the view shows this phase."""
    page.page.wait_for_selector(f'.nbtv-{KIND}[data-phase="{phase}"]')
    return int(page.painted(KIND)["step"])


def said(page, text):
    view(page).get_by_text(text).first.wait_for()


def shot(page, name):
    if SHOTS:
        view(page).screenshot(path=str(Path(SHOTS) / f"{name}.png"))


def tab_stops(page, count):
    """Return the accessible names met by pressing Tab, from Pause on."""
    button(page, "Pause").focus()
    names = []
    for _ in range(count):
        names.append(page.page.evaluate(FOCUSED))
        page.page.keyboard.press("Tab")
    return names


def test_hold_steer_and_end_a_plain_loop(open_notebook, loop):
    page = opened(open_notebook, loop)
    loop.until("session.step > 3")
    button(page, "loss > 2 * previous(loss)").wait_for()  # known with the first logged loss
    field(page, "Dropout p of drop").wait_for()
    assert view(page).bounding_box()["height"] <= 320
    shot(page, "lab_running")
    assert tab_stops(page, 17) == [
        *("Pause", "Step", "Number of steps", "Run to step", "Step to run to", "Stop"),
        *("Condition", "Add", "grad_norm(conv) > 100", "isnan(loss)", "loss > 2 * previous(loss)"),
        *("Learning rate", "Learning rate divided by 10", "Learning rate times 10"),
        *("Weight decay", "Momentum", "Dropout p of drop"),
    ]

    button(page, "Pause").click()
    held = wait_phase(page, "paused")
    said(page, f"Paused at step {held}")

    # Edited while held; takes effect as soon as training goes on.
    field(page, "Learning rate").fill("fast")
    field(page, "Learning rate").press("Enter")
    said(page, "The learning rate is a number such as 0.001; got 'fast'.")
    assert field(page, "Learning rate").input_value() == "fast"
    field(page, "Learning rate").fill("0.0005")
    button(page, "Set Learning rate").click()
    said(page, "→ 0.0005 when training goes on")
    shot(page, "lab_waiting")

    field(page, "Number of steps").fill("3")
    button(page, "Step").click()
    said(page, f"Paused at step {held + 3}")
    said(page, "lr 0.001 → 0.0005")
    said(page, f"step {held}")  # before the first of the three

    # A bad condition keeps what was typed, and the notebook keeps its cells.
    condition = view(page).get_by_role("combobox", name="Condition")
    condition.fill("grad_norm(convv) > 1")
    condition.press("Enter")
    said(page, "No layer 'convv'. Nearest: 'conv'")
    assert condition.input_value() == "grad_norm(convv) > 1"
    shot(page, "lab_bad")
    before = page.page.evaluate(NOTEBOOK)
    condition.fill("")
    condition.press_sequentially("dd x d d")
    assert page.page.evaluate(NOTEBOOK) == before
    assert condition.input_value() == "dd x d d"

    goal = held + 10
    condition.fill(f"step() >= {goal}")
    condition.press("Enter")
    view(page).locator("li").filter(has_text=f"step() >= {goal}").wait_for()
    page.page.wait_for_function(EMPTY, arg=condition.element_handle())
    button(page, "Resume").click()
    said(page, f"step() = {goal} >= {goal}")
    assert wait_phase(page, "paused") == goal
    shot(page, "lab_hit")
    if SHOTS:
        page.theme("dark")
        shot(page, "lab_hit_dark")
        page.theme("light")

    button(page, f"Remove step() >= {goal}").click()
    view(page).locator("li").filter(has_text="step() >=").wait_for(state="detached")
    button(page, "Resume").click()
    wait_phase(page, "running")
    later = loop.until(f"session.step > {goal + 3} and session.step")
    assert loop.ask("optimizer.param_groups[0]['lr']") == 0.0005
    field(page, "Step to run to").fill(str(later - 1))
    button(page, "Run to step").click()
    said(page, f"Step {later - 1} is behind")

    button(page, "Stop").click()
    page.wait_text(2, "after")
    page.wait_done(2)
    assert "ended" not in page.text(2)
    wait_phase(page, "idle")
    assert [line for line in page.console if "nbtv" in line.lower()] == []
