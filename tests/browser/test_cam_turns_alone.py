"""Maps of the input that are made in pieces, in a page without Jupyter: progress, Cancel, age."""

from dataclasses import replace

import numpy as np
import pytest

from nbtorchviz.analysis.cam_frame import cam_layer
from tests.browser.test_cam_trust_alone import actions
from tests.browser.test_gradcam_alone import ROOT, frame, packed, painted, show, state

__all__ = ["show"]
KNOWN = {"message": None, "steps": [], "methods": ["gradcam", "occlusion"]}
RUNNING = {"method": "occlusion", "share": 0.45, "left_s": 2.2, "step": 5}


def told(page, *, step, **cam):
    """Let Python say how far it is."""
    page.evaluate("(s) => window.model.set('state', s)", state(step=step, cam=KNOWN | cam))


def mapped():
    maps = np.random.default_rng(0).normal(size=(2, 1, 28, 28)).astype(np.float32)
    layer = cam_layer("input", maps, type="input", shape=(1, 28, 28), note="how it was made")
    made = replace(frame(images=2), method="occlusion", layer="input", layers=(layer,))
    return replace(made, classes=made.classes[:, :1], against=made.against[:, :1], p=made.p[:, :1])


@pytest.mark.parametrize("width", [900, 400])
def test_progress_then_age_each_with_one_button(show, width):
    page = show(width=width, images=2, cam=KNOWN | {"busy": False})
    painted(page, "layer", "relu2")
    line = page.locator(f"{ROOT} .c-turns")
    assert not line.is_visible()
    page.get_by_role("combobox", name="Method").select_option("occlusion")
    told(page, step=5, busy=True)
    painted(page, "turns", "waiting")
    assert "Occlusion begins at the next step." in line.inner_text()
    told(page, step=9, busy=True, turns=RUNNING)
    painted(page, "turns", "running")
    assert "Occlusion of step 5: 45 %, about 3 s of work left" in line.inner_text()
    assert line.get_by_role("progressbar").get_attribute("aria-valuenow") == "45"
    root, box = page.locator(ROOT).bounding_box(), line.bounding_box()
    assert box["x"] >= root["x"]
    assert box["x"] + box["width"] <= root["x"] + root["width"]
    line.get_by_role("button", name="Cancel").click()
    page.evaluate("(text) => window.model.paint(text)", packed(mapped(), 2))
    told(page, step=17, busy=False)
    painted(page, "turns", "stale")
    assert "Occlusion is of the weights of step 5, 12 steps ago." in line.inner_text()
    line.get_by_role("button", name="Compute again").click()
    assert actions(page) == ["input:cancel", "input:again"]
    page.get_by_role("combobox", name="Method").select_option("gradcam")
    painted(page, "turns", "")
    assert not line.is_visible()
