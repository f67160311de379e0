"""Controls that need no kernel, and a new frame: from the event to pixels, in a page by itself.

Bars: channel, colour map and hover 16 ms, a new frame 25 ms, medians. There is no kernel here, so
one that is blocked changes nothing. What is timed is our work and the browser's layout and drawing
of it: from the event through the callbacks of the next animation frame until pixels can be read.
"""

import base64
import json
from statistics import median
from typing import Any

import torch
from torch import nn

import nbtorchviz as nbv
from benchmarks.views import FakeView
from tests.browser import chromium
from tests.browser.alone import frames, show_alone

MOVES = 40
ROOT = ".nbtv-activation-browser"
TIMED = f"""async ([name, moves, packets]) => {{
  const root = document.querySelector("{ROOT}"), took = [];
  const control = (label) => root.querySelector(`[aria-label="${{label}}"]`);
  const change = (element, value, kind) => {{
    element.value = value;
    element.dispatchEvent(new Event(kind, {{ bubbles: true }}));
  }};
  const acts = {{
    channel: (i) => change(control("Channel"), i % 2 ? 40 : 3, "input"),
    "colour map": (i) => change(control("Colour map"), i % 2 ? "magma" : "gray", "change"),
    hover: (i) => {{
      const cell = root.querySelectorAll(".nbtv-cell:not([hidden])")[i % 2 ? 5 : 9];
      const {{ x, y }} = cell.lastChild.getBoundingClientRect();
      const place = {{ clientX: x + 9, clientY: y + 9, bubbles: true }};
      cell.dispatchEvent(new PointerEvent("pointermove", place));
    }},
    frame: (i) => window.model.paint(packets[i % 2]),
  }};
  const drawn = () =>
    [...root.querySelectorAll("canvas")].filter((canvas) => canvas.width).slice(0, 8);
  const pixels = (canvas) =>
    canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.join();
  const seen = () => [root.textContent, ...drawn().map(pixels)].join("|");
  const real = window.requestAnimationFrame;
  let same = 0;
  for (let i = 0; i < moves; i += 1) {{
    const before = seen(), jobs = [];
    window.requestAnimationFrame = (job) => jobs.push(job);
    const began = performance.now();
    acts[name](i);
    for (const job of jobs) job(began);
    root.getBoundingClientRect();
    for (const canvas of drawn()) canvas.getContext("2d").getImageData(0, 0, 1, 1);
    window.requestAnimationFrame = real;
    if (jobs.length) {{ // else a paint was asked for before
      took.push(performance.now() - began);
      same += seen() === before;
    }}
    await new Promise((done) => real(() => real(done)));
  }}
  return {{ took, same }};
}}"""


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Time each control of an ``ActivationBrowser`` that shows 64 channels of 56x56.

    ``unchanged`` counts moves after which the page looked as before: the first may be one.
    """
    from playwright.sync_api import sync_playwright

    traits, packets = _recorded()
    rows = []
    with sync_playwright() as playwright:
        path = chromium.find(playwright)
        if path is None:
            raise SystemExit(chromium.HINT)
        browser = chromium.launch(playwright, path)
        context = browser.new_context(viewport={"width": 1200, "height": 1000})
        page = show_alone(context, traits, {"picture": packets[0]})
        page.wait_for_selector(f"{ROOT}[data-layer='0'] .nbtv-cell")
        for name in ("channel", "colour map", "hover", "frame"):
            frames(page)
            found = page.evaluate(TIMED, [name, 8 if quick else MOVES, packets])
            rows.append(
                {
                    "control": name,
                    "median_ms": median(found["took"]),
                    "largest_ms": max(found["took"]),
                    "moves": len(found["took"]),
                    "unchanged": found["same"],
                }
            )
        browser.close()
    return rows


def _recorded() -> tuple[dict[str, Any], list[str]]:
    """Traits and two pictures of a widget that saw two steps."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.Flatten(), nn.Linear(64 * 56 * 56, 3))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    widget = nbv.ActivationBrowser(nbv.watch(net, every=1), layer="0")
    view, packets = FakeView(widget), []
    for _ in range(2):
        optimizer.zero_grad()
        net(torch.rand(2, 3, 56, 56)).sum().backward()
        optimizer.step()
        widget.session.flush()
        packets.append(base64.b64encode(widget.picture).decode())
    names = ("kind", "options", "layers", "selection", "state")
    traits = json.loads(json.dumps({name: getattr(widget, name) for name in names}))
    session = widget.session
    view.close()
    widget.close()
    session.close()
    return traits, packets
