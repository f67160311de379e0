"""Painting on an image in a real JupyterLab, beside a plain loop that is running."""

import os
from pathlib import Path

from tests.browser.loops import MODEL, indented
from tests.browser.test_gradcam import STEP, STRIPES, VIEW

VIEWER, EDITOR = "gradcam-viewer", "input-editor"
SHOTS = os.environ.get("NBTORCHVIZ_SHOTS")
INK = f"""() => {{
  const canvas = document.querySelector(".nbtv-{EDITOR} .e-place canvas");
  if (!canvas) return null;
  const {{ data }} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return [...data].filter((_, i) => i % 4 === 0);
}}"""


def shot(page, name):
    if SHOTS:
        page.view(VIEWER).screenshot(path=str(Path(SHOTS) / f"{name}.png"))


def wait_editor(page, **expected):
    wanted = "".join(f"[data-{name}='{value}']" for name, value in expected.items())
    page.page.wait_for_selector(f".nbtv-{EDITOR}{wanted}")


def drawn(page, rows):
    """Wait until the pad shows ``rows``, brightness from 0 to 255."""
    flat = [value for row in rows for value in row]
    page.page.wait_for_function(f"(wanted) => String(({INK})()) === String(wanted)", arg=flat)


def draw(page, *points, side=16):
    """Draw with the mouse through pixels (x, y)."""
    box = page.view(EDITOR).locator(".e-place canvas").bounding_box()
    unit, mouse = box["width"] / side, page.page.mouse
    places = [(box["x"] + (x + 0.5) * unit, box["y"] + (y + 0.5) * unit) for x, y in points]
    mouse.move(*places[0])
    mouse.down()
    for place in places[1:]:
        mouse.move(*place, steps=4)
    mouse.up()


def pixels(loop):
    return loop.ask("viewer.editor._pixels(viewer.editor.image).tolist()")


def open_editor(page, row):
    view = page.view(VIEWER)
    view.scroll_into_view_if_needed()
    page.wait_painted(VIEWER)
    view.get_by_role("button", name=f"Edit image {row}").click()
    wait_editor(page, child="shown", computed="true")
    page.view(EDITOR).scroll_into_view_if_needed()


def test_strokes_are_explained_while_a_plain_loop_runs_and_survive_a_reload(open_notebook, loop):
    page = open_notebook([MODEL + STRIPES, VIEW, loop.cell(STEP)])
    for index in (0, 1):
        page.run_cell(index)
        page.wait_done(index)
    open_editor(page, 0)
    editor = page.view(EDITOR)
    shot(page, "opened")
    page.run_cell(2)
    loop.begun()
    page.wait_painted(VIEWER, from_step=1)
    given = pixels(loop)
    drawn(page, given)
    draw(page, (2, 12), (13, 12))
    loop.until("viewer.editor.painting.changed > 10 and not viewer.editor._drawing")
    painted = pixels(loop)
    assert min(painted[12][2:14]) == 255
    drawn(page, painted)
    changed = loop.ask("viewer.editor.painting.changed")
    wait_editor(page, changed=changed, strokes=1, computed="true")
    assert f"{changed} of 256 pixels changed" in editor.inner_text()
    assert "→" in editor.locator(".e-explained .e-p").inner_text()
    edited = page.page.wait_for_selector(f".nbtv-{VIEWER} .c-row:not([hidden]) .c-said b")
    assert edited.inner_text() == "image 0, edited"
    shot(page, "painted")
    editor.get_by_role("button", name="Undo").click()
    wait_editor(page, changed=0, strokes=0, computed="true")
    drawn(page, given)
    editor.get_by_role("button", name="Occlude").click()
    loop.until("viewer.editor._tool == 'rectangle'")
    draw(page, (4, 2), (8, 6))
    wait_editor(page, strokes=1, computed="true")
    loop.until("viewer.editor.painting.changed == 25")
    assert page.cell(2)["outputs"] == []  # the loop was still running
    assert loop.ask("viewer.session.faults") == []
    occluded = pixels(loop)
    page.save()
    loop.end()
    page.wait_done(2)

    page.page.reload()
    page.wait_ready()
    page.wait_idle()
    page.view(VIEWER).scroll_into_view_if_needed()
    wait_editor(page, child="shown", changed=25, computed="true")
    drawn(page, occluded)
    page.view(EDITOR).get_by_role("button", name="Close").click()
    page.page.wait_for_selector(f".nbtv-{EDITOR}", state="detached")


def test_while_training_is_paused_strokes_and_checks_are_answered_at_the_step_it_is_held_at(
    open_notebook, loop
):
    run = f'for _ in going("{loop.name}"):\n{indented(STEP)}'
    fit = f"def fit():\n{indented(run)}\nrun = viewer.session.train_in_background(fit)"
    held = "while viewer.session.gate.state == 'pausing': pass"
    hold = f"run.pause()\n{held}\nprint(viewer.session.step)"
    asked = "print(viewer.session.step, viewer.session.faults, viewer._desk.shot.frame.step)"
    end = "run.resume()\nrun.stop()\nrun.join()"
    page = open_notebook([MODEL + STRIPES, VIEW, fit, hold, asked, end])
    for index in range(3):
        page.run_cell(index)
        page.wait_done(index)
    loop.begun()
    view = page.view(VIEWER)
    view.scroll_into_view_if_needed()
    page.wait_painted(VIEWER, from_step=1, mode="background")
    page.run_cell(3)
    page.wait_done(3)
    step = page.cell(3)["outputs"][0]["text"].strip()
    open_editor(page, 0)
    draw(page, (2, 12), (13, 12))
    wait_editor(page, strokes=1, computed="true")
    page.view(EDITOR).get_by_role("button", name="Close").click()
    page.page.wait_for_selector(f".nbtv-{EDITOR}", state="detached")
    view.get_by_role("button", name="Can I trust this map?").click()
    shot(page, "paused")
    view.get_by_role("button", name="Do other methods agree?").click()
    view.locator("[data-check=methods][data-state=answered]").wait_for()
    assert f"step {step}" in view.locator("[data-check=methods]").inner_text()
    page.run_cell(4)
    page.wait_done(4)
    assert page.cell(4)["outputs"][0]["text"].strip() == f"{step} [] {step}"
    page.run_cell(5)
    page.wait_done(5)
