"""100,000 steps with both widgets open, and 50 re-runs of the widget: what memory is left."""

import gc
import threading
from pathlib import Path
from typing import Any

import torch
from ipywidgets import Widget
from torch import nn

import nbtorchviz as nbv
from benchmarks.views import FakeView


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Report the growth of resident memory after a warm-up, and what is left alive at the end."""
    torch.set_num_threads(1)
    steps = 5_000 if quick else 100_000
    threads_before, widgets_before = threading.active_count(), len(Widget.widgets)
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(288, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    inputs, labels = torch.randn(4, 1, 8, 8), torch.randint(10, (4,))
    session = nbv.watch(net, optimizer)
    widgets = [nbv.ActivationBrowser(session), nbv.LiveLossPlot(session)]
    views = [FakeView(widget) for widget in widgets]
    warm = 0.0
    for step in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(inputs), labels)
        loss.backward()
        optimizer.step()
        session.log(loss=loss)
        if step == steps // 10:
            warm = _resident_mb()
    grown = _resident_mb() - warm
    history_mb = 32e-6 * (steps - steps // 10)
    frames = [view.frames for view in views]
    for view in views:
        view.close()
    for widget in widgets:
        widget.close()
    for _ in range(50):
        nbv.ActivationBrowser(session).close()
        nbv.LiveLossPlot(session).close()
    session.close()
    gc.collect()
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules())
    return [
        {
            "steps": steps,
            "rss_growth_MB": grown,
            "of_which_logged_values_MB": history_mb,
            "frames": frames,
            "widgets_left": len(Widget.widgets) - widgets_before,
            "threads_left": threading.active_count() - threads_before,
            "hooks_left": hooks,
            "faults": len(session.faults),
        }
    ]


def _resident_mb() -> float:
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024
