"""Attaching to a chain of 1,000 layers: constructor, first forward with survey, last block."""

import time
from typing import Any

import torch
from torch import nn

import nbtorchviz as nbv
from benchmarks.views import FakeView


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Measure seconds to attach and milliseconds to show the first and the last layer."""
    torch.set_num_threads(1)
    layers = 100 if quick else 1000
    chain = nn.Sequential(*[nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in range(layers // 2)])
    optimizer = torch.optim.SGD(chain.parameters(), lr=0.01)
    inputs = torch.randn(4, 8)

    def step() -> None:
        optimizer.zero_grad()
        chain(inputs).sum().backward()
        optimizer.step()

    step()
    began = time.perf_counter()
    step()
    bare_ms = 1000 * (time.perf_counter() - began)
    began = time.perf_counter()
    browser = nbv.ActivationBrowser(chain, layer="0.0")
    attach_s = time.perf_counter() - began
    view = FakeView(browser)
    began = time.perf_counter()
    step()
    first_ms = 1000 * (time.perf_counter() - began)
    shown = {}
    for layer in (browser.session.layers[1], browser.session.layers[-1]):
        browser.layer = layer
        began = time.perf_counter()
        while browser.frame is None or browser.frame.layer != layer:
            step()
        shown[layer] = 1000 * (time.perf_counter() - began)
    view.close()
    browser.close()
    browser.session.close()
    first, last = shown.values()
    return [
        {
            "layers": len(browser.session.layers),
            "attach_s": attach_s,
            "bare_step_ms": bare_ms,
            "survey_step_ms": first_ms,
            "first_layer_ms": first,
            "last_layer_ms": last,
        }
    ]
