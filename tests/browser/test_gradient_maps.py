"""The maps of a GradientInspector in a real JupyterLab, beside a plain loop that is running."""

import os
from pathlib import Path

from tests.browser.loops import MODEL

KIND = "gradient-inspector"
SHOTS = os.environ.get("NBTORCHVIZ_SHOTS")
SAME = """(lambda f: bool(f is not None and f.layer == "conv.weight" and f.show == "weight"
  and f.values.shape == (8, 3, 3, 3)
  and abs(f.values - model.conv.weight.detach().numpy()).max() < 0.05))(inspector.frame)"""


def test_maps_are_chosen_and_fresh_while_the_cell_runs(open_notebook, loop):
    cells = [
        MODEL + "session = nbv.watch(model, optimizer)",
        "inspector = nbv.GradientInspector(session, layer='conv')\ndisplay(inspector)",
        loop.cell(),
    ]
    page = open_notebook(cells)
    for index in (0, 1):
        page.run_cell(index)
        page.wait_done(index)
    view = page.view(KIND)
    view.scroll_into_view_if_needed()
    page.run_cell(2)
    loop.begun()
    page.wait_painted(KIND, from_step=1)
    view.get_by_role("button", name="maps", exact=True).click()
    first = page.wait_painted(KIND, view="maps", shown="@gradient", layer="conv")
    page.wait_painted(KIND, shown="@gradient", from_step=int(first["step"]) + 1)
    view.locator(".nbtv-cell").nth(2).click()
    page.wait_painted(KIND, channel=2)
    view.get_by_role("combobox", name="Tensor").select_option("weight")
    painted = page.wait_painted(KIND, shown="weight", layer="conv")
    page.wait_painted(KIND, shown="weight", from_step=int(painted["step"]) + 1)
    assert loop.until(" ".join(SAME.split()))
    view.get_by_role("combobox", name="Input channel").select_option("1")
    loop.until("inspector._choice.part == 1")
    assert "weights" in loop.ask("sorted(session.budget.parts())")
    if SHOTS:
        view.screenshot(path=Path(SHOTS) / "lab_maps_light.png")
        page.theme("dark")
        page.page.wait_for_selector(f".nbtv-{KIND}.nbtv-dark")
        view.screenshot(path=Path(SHOTS) / "lab_maps_dark.png")
    view.get_by_role("button", name="flow", exact=True).click()
    loop.until("len(session.recorder.looks) == 0")
    assert loop.ask("session.faults") == []
    loop.end()
    page.wait_done(2)
    assert [line for line in page.console if "nbtv" in line] == []
