"""GradCAMViewer in a real JupyterLab, beside a plain loop that is running."""

import os
from pathlib import Path

import pytest

from nbtorchviz.attribution.methods import has_captum
from tests.browser.loops import MODEL

KIND = "gradcam-viewer"
SHOTS = os.environ.get("NBTORCHVIZ_SHOTS")
STRIPES = """
torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3),
)
optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
inputs = torch.zeros(24, 1, 16, 16)
labels = torch.arange(24) % 3
for image, label in zip(inputs, labels):
    image[0, 2 + 5 * label : 4 + 5 * label, 2:14] = 1
inputs += 0.1 * torch.rand_like(inputs)
"""
VIEW = """
names = ["top", "middle", "low"]
viewer = nbv.GradCAMViewer(model, inputs[:3], labels=labels[:3], class_names=names)
display(viewer)
"""
STEP = """
loss = nn.functional.cross_entropy(model(inputs), labels)
optimizer.zero_grad()
loss.backward()
optimizer.step()
"""


def shot(page, name):
    if SHOTS:
        page.view(KIND).screenshot(path=str(Path(SHOTS) / f"{name}.png"))


def test_maps_move_on_and_sliders_answer_while_a_plain_loop_runs(open_notebook, loop):
    page = open_notebook([MODEL + STRIPES, VIEW, loop.cell(STEP)])
    for index in (0, 1):
        page.run_cell(index)
        page.wait_done(index)
    view = page.view(KIND)
    view.scroll_into_view_if_needed()
    first = page.wait_painted(KIND)
    assert (first["step"], first["layer"]) == ("0", "4")  # before any training, the last ReLU
    page.run_cell(2)
    loop.begun()
    page.wait_painted(KIND, after=int(first["seq"]), from_step=1)
    slider = view.get_by_role("slider", name="Layer")
    slider.focus()
    slider.press("Home")
    page.wait_painted(KIND, layer="0")
    view.get_by_role("combobox", name="Class", exact=True).select_option("1")
    page.page.wait_for_selector(f".nbtv-{KIND}[data-class='1']")
    loop.until("len(viewer.tape) > 1 and viewer.layer == '0'")
    step = view.get_by_role("slider", name="Step")
    step.focus()
    step.press("Home")
    page.page.wait_for_selector(f".nbtv-{KIND}[data-step='0']")  # back to before the training
    shot(page, "held")
    step.press("End")
    page.wait_painted(KIND, from_step=1)
    assert page.cell(2)["outputs"] == []  # the loop was still running
    assert loop.ask("viewer.session.faults") == []
    loop.end()
    page.wait_done(2)
    shot(page, "ended")


@pytest.mark.skipif(not has_captum(), reason="captum is not installed")
def test_a_map_of_the_input_is_made_between_the_steps_of_a_plain_loop(open_notebook, loop):
    page = open_notebook([MODEL + STRIPES, VIEW, loop.cell(STEP)])
    for index in (0, 1):
        page.run_cell(index)
        page.wait_done(index)
    view = page.view(KIND)
    view.scroll_into_view_if_needed()
    first = page.wait_painted(KIND)
    page.run_cell(2)
    loop.begun()
    page.wait_painted(KIND, after=int(first["seq"]), from_step=1)
    line, shown = view.locator(".c-turns"), f".nbtv-{KIND}"
    view.get_by_role("combobox", name="Method").select_option("occlusion")
    page.page.wait_for_selector(f"{shown}[data-turns=running]")
    shot(page, "occlusion_running")
    page.page.wait_for_selector(f"{shown}[data-turns=stale]")  # done, and training went on
    made = page.wait_painted(KIND, layer="input")
    assert f"of the weights of step {made['step']}" in line.inner_text()
    assert "live edge" not in view.locator(".c-foot").inner_text()
    assert "a square of 2×2" in view.locator(".c-note").inner_text()
    shot(page, "occlusion_stale")
    line.get_by_role("button", name="Compute again").click()
    newer = page.wait_painted(KIND, after=int(made["seq"]), from_step=int(made["step"]) + 1)
    assert newer["layer"] == "input"
    assert page.cell(2)["outputs"] == []  # the loop was still running
    assert loop.ask("viewer.session.faults") == []
    loop.end()
    page.wait_done(2)
    page.page.wait_for_selector(f"{shown}[data-turns=stale]")
    line.get_by_role("button", name="Compute again").click()  # nothing trains now
    page.page.wait_for_selector(f"{shown}[data-turns='']")
    last = page.wait_painted(KIND, after=int(newer["seq"]))
    assert int(last["step"]) > int(newer["step"])


def test_a_check_of_a_map_runs_between_the_steps_of_a_plain_loop(open_notebook, loop):
    page = open_notebook([MODEL + STRIPES, VIEW, loop.cell(STEP)])
    for index in (0, 1):
        page.run_cell(index)
        page.wait_done(index)
    view = page.view(KIND)
    view.scroll_into_view_if_needed()
    first = page.wait_painted(KIND)
    page.run_cell(2)
    loop.begun()
    page.wait_painted(KIND, after=int(first["seq"]), from_step=1)
    view.get_by_role("button", name="Can I trust this map?").click()
    view.get_by_role("button", name="Does it depend on the weights?").click()
    row = view.locator("[data-check=weights]")
    view.locator("[data-check=weights][data-state=answered]").wait_for()
    assert "Adebayo" in row.inner_text()
    loop.until("viewer._trust.desk.answers['weights'].step > 0")
    assert page.cell(2)["outputs"] == []  # the loop was still running
    assert loop.ask("viewer.session.faults") == []
    shot(page, "trusted")
    loop.end()
    page.wait_done(2)
    view.get_by_role("button", name="Do these pixels matter?").click()  # where nothing trains
    view.locator("[data-check=faithfulness][data-state=answered]").wait_for()
    shot(page, "trusted_idle")
