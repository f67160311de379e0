"""What stays in the notebook file when kernel and browser are gone."""

import base64
import json

import nbformat
import pytest
from nbconvert import HTMLExporter

MODEL = """
import torch
from torch import nn
import nbtorchviz as nbv

torch.manual_seed(0)
torch.set_num_threads(1)
model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(512, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
inputs, labels = torch.randn(16, 1, 8, 8), torch.randint(0, 10, (16,))
session = nbv.watch(model, optimizer)
{show}
"""  # noqa: E501
LOOP = """
for _ in range(30):
    loss = nn.functional.cross_entropy(model(inputs), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    session.log(loss=loss)
print("ended")
"""
VIEW = "application/vnd.jupyter.widget-view+json"


def pictures(notebook):
    """The PNG of every widget in a cell's saved outputs."""
    return [
        base64.b64decode("".join(output["data"]["image/png"]))
        for output in notebook["cells"][0]["outputs"]
        if "image/png" in output.get("data", {})
    ]


@pytest.mark.parametrize(
    ("show", "text"),
    [
        ("display(nbv.ActivationBrowser(session))", "ActivationBrowser of Sequential: 0, no step"),
        ("display(nbv.LiveLossPlot(session))", "LiveLossPlot of Sequential: no values yet"),
        ("display(session)", "Cockpit of Sequential, step 0"),
    ],
)
def test_saved_notebook_keeps_a_picture_of_the_end_of_training(open_notebook, show, text):
    page = open_notebook([MODEL.format(show=show), LOOP])
    page.run_cell(0)
    page.wait_done(0)
    before = page.picture(0)
    page.run_cell(1)
    page.wait_text(1, "ended")
    page.wait_done(1)
    page.wait_new_picture(0, before)
    page.save()
    saved = page.saved()
    (after,) = pictures(saved)
    assert after.startswith(b"\x89PNG")
    assert len(after) <= 100_000
    data = next(o["data"] for o in saved["cells"][0]["outputs"] if VIEW in o.get("data", {}))
    assert "text/html" not in data
    assert "".join(data["text/plain"]).startswith(text)
    html, _ = HTMLExporter().from_notebook_node(nbformat.reads(json.dumps(saved), as_version=4))
    assert base64.b64encode(after).decode()[:200] in html.replace("\n", "")


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_a_notebook_that_is_opened_again_shows_the_picture_and_a_live_one_the_view(
    open_notebook, jupyter, app
):
    cells = [MODEL.format(show="display(nbv.ActivationBrowser(session))"), LOOP, "display(session)"]
    page = open_notebook(cells, app=app)
    page.run_all()
    page.wait_done(2)
    page.wait_painted(layer="0")
    stills = page.page.locator(".jp-RenderedImage img")
    page.page.wait_for_function(
        "() => document.querySelectorAll('.jp-RenderedImage img').length === 2"
    )
    page.page.wait_for_selector(".nbtv-cockpit-tabs")
    assert [still.is_visible() for still in stills.all()] == [False, False]
    page.save()
    saved = jupyter.files / page.name
    page.close()
    jupyter.end_sessions()
    again = open_notebook(source=saved, name=f"again-{page.name}", app=app)
    again.page.wait_for_function(
        """() => {
          const stills = [...document.querySelectorAll(".jp-RenderedImage img")];
          return stills.length === 2 && stills.every((still) => still.complete);
        }"""
    )
    for still in again.page.locator(".jp-RenderedImage img").all():
        assert still.is_visible()
        assert still.evaluate("(still) => still.naturalWidth") > 600


SAVE_STATE = "@jupyter-widgets/jupyterlab-manager:saveWidgetState"


def saved_bytes(notebook):
    """What the saved widget state holds: {kind of widget: names of the packets in it}."""
    found = {}
    states = notebook["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    for entry in states.values():
        kind = entry["state"].get("kind")
        for buffer in entry.get("buffers", ()):
            if kind and len(base64.b64decode(buffer["data"])):
                found.setdefault(kind, set()).add(buffer["path"][0])
    return found


@pytest.mark.parametrize("private", [False, True])
def test_private_widgets_are_live_and_leave_no_pixels_in_the_file(open_notebook, private):
    show = f"""
browser = nbv.ActivationBrowser(session, layer="0", private={private})
viewer = nbv.GradCAMViewer(session, inputs[:2], private={private})
tensor = nbv.show(inputs[:4], private={private})
inspector = nbv.GradientInspector(session, view="maps", layer="0", private={private})
viewer.edit(0).brush([(2, 2), (5, 5)])
for widget in (browser, viewer, tensor, inspector):
    display(widget)
"""
    page = open_notebook([MODEL.format(show=show), LOOP])
    page.command(SAVE_STATE)
    page.run_cell(0)
    page.wait_done(0)
    page.run_cell(1)
    page.wait_text(1, "ended")
    page.wait_done(1)
    if private:
        page.save()
        page.reload()  # the new page gets all of it again
    for kind, painted in {
        "activation-browser": "seq",
        "gradcam-viewer": "seq",
        "input-editor": "changed",
        "tensor-view": "seq",
        "gradient-inspector": "shown",
    }.items():
        page.view(kind).scroll_into_view_if_needed()
        page.page.wait_for_selector(f'.nbtv-{kind}[data-{painted}]:not([data-{painted}=""])')
    page.wait_painted(layer="0")
    assert page.page.get_by_text("no pixels are saved").count() == 0
    page.save()
    saved = page.saved()
    norms = {"gradient-inspector": {"picture"}}
    everything = {
        "activation-browser": {"picture"},
        "gradcam-viewer": {"images", "picture"},
        "input-editor": {"picture"},
        "tensor-view": {"picture"},
        "gradient-inspector": {"picture", "maps"},
    }
    assert saved_bytes(saved) == (norms if private else everything)
    outputs = [o["data"] for o in saved["cells"][0]["outputs"] if "data" in o]
    views = [data for data in outputs if VIEW in data]
    assert len(views) == 4
    assert sum("image/png" in data for data in outputs) == (0 if private else 4)
    for data in views:
        assert ("no pixels are saved" in "".join(data["text/plain"])) is private
