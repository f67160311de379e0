"""A training that ends with NonFiniteError in JupyterLab still shows the tensors."""

import os
from pathlib import Path

import pytest

SHOTS = os.environ.get("NBTORCHVIZ_SHOTS")
MODEL = """
import torch
from torch import nn
import nbtorchviz as nbv
torch.manual_seed(0)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4 * 6 * 6, 3)

    def forward(self, x):
        y = torch.relu(self.conv(x)) + 1.0
        if self.sick:
            y = (y - 1.3).log()
        return self.head(y.flatten(1))

net = Net()
net.sick = False
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
session = nbv.watch(net, optimizer, every=1)
session.on_nonfinite("raise", every_step=True)
x = torch.rand(4, 1, 8, 8)
"""
LOOP = """
for step in range(40):
    net.sick = step == 30
    optimizer.zero_grad()
    loss = net(x).pow(2).mean()
    loss.backward()
    optimizer.step()
    session.log(loss=loss)
"""
REPORT = ".nbtv-activation-browser[data-nonfinite='31'] .nbtv-report:not([hidden])"


@pytest.mark.parametrize("shown", ["nbv.ActivationBrowser(session)", "session"])
def test_the_tensor_before_is_shown_though_the_cell_failed(open_notebook, shown):
    page = open_notebook([MODEL + f"display({shown})", LOOP])
    page.run_cell(0)
    page.wait_done(0)
    before = page.picture(0)
    page.run_cell(1)
    page.wait_text(1, "NonFiniteError")
    page.wait_new_picture(0, before)
    report = page.page.locator(REPORT)
    report.wait_for(state="attached")
    report.scroll_into_view_if_needed()
    page.page.wait_for_selector(f"{REPORT} canvas[role=img]")
    names = report.locator(".nbtv-piece > b").all_text_contents()
    assert names == ["input 0 of log", "result of log"]
    assert "First NaN at step 31, forward: log" in report.inner_text()
    assert "(y - 1.3).log()" in report.inner_text()
    if SHOTS:
        name = "lab_cockpit" if shown == "session" else "lab_browser"
        page.page.screenshot(path=str(Path(SHOTS) / f"{name}.png"))
