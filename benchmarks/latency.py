"""Layer slider to painted frame in a real JupyterLab and Notebook 7, beside a bare slider.

Convolutions at three paces in both hosts, then four kinds of model with an evaluation after each
epoch. The floor is an ipywidgets slider that writes a label, routed the same way, in the same
notebook; its moves and ours take turns while the training cell runs. Bar: the median is at most
max(1.3 x floor, floor + 20 ms), and every move is painted.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from tests.browser import chromium
from tests.browser.jupyter import Jupyter
from tests.browser.latency import delays_ms, floor_answers
from tests.browser.loops import SETUP, Loop, indented
from tests.browser.models import EPOCHS, MODELS
from tests.browser.notebook_page import NotebookPage, write_notebook

CHAIN = """
import time
channels, side, pause_s = {channels}, {side}, {pause_s}
model = nn.Sequential(*[
    nn.Sequential(nn.Conv2d(3 if i == 0 else channels, channels, 3, padding=1), nn.ReLU())
    for i in range(6)])
inputs = torch.randn({batch}, 3, side, side)
"""
SLIDERS = """
import ipywidgets
from nbtorchviz.live.host import route_over_subshell

optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
session = nbv.watch(model, optimizer)
slider, label = ipywidgets.IntSlider(value=0, max=400), ipywidgets.Label("v=0")
slider.observe(lambda change: setattr(label, "value", f"v={change['new']}"), "value")
floor = ipywidgets.VBox([slider, label])
floor.add_class("nbtv-floor")
for widget in (slider, label):
    route_over_subshell(widget.comm)
display(floor)
browser = nbv.ActivationBrowser(session)
display(browser)
"""
STEPS = """
for _ in going("NAME"):
    optimizer.zero_grad()
    model(inputs).square().mean().backward()
    time.sleep(pause_s)
    optimizer.step()
"""
CASES = (
    ("12 ms steps", {"channels": 16, "side": 28, "batch": 8, "pause_s": 0.0}),
    ("500 ms steps", {"channels": 16, "side": 28, "batch": 8, "pause_s": 0.5}),
    ("250 kB frames", {"channels": 64, "side": 56, "batch": 1, "pause_s": 0.0}),
)
MODES = ("plain", "background")


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Measure each host, mode and step time."""
    moves = 10 if quick else 40
    rows = []
    with _host() as (context, jupyter):
        for app in ("lab", "notebook"):
            for mode in MODES:
                for name, case in CASES[:1] if mode == "background" or quick else CASES:
                    stem = f"{app}-{mode}-{name.split()[0]}"
                    cells = CHAIN.format(**case), STEPS
                    figures = _measure(context, jupyter, app, stem, cells, mode, moves)
                    rows.append({"host": app, "mode": mode, "case": name, **figures})
        for name, model in () if quick else MODELS.items():
            cells = model, EPOCHS
            figures = _measure(context, jupyter, "lab", name.split()[0], cells, "plain", moves)
            rows.append({"host": "lab", "mode": "plain", "case": name, **figures})
    return rows


@contextmanager
def _host() -> Iterator[tuple[Any, Jupyter]]:
    from playwright.sync_api import sync_playwright

    with (
        sync_playwright() as playwright,
        tempfile.TemporaryDirectory() as folder,
        Jupyter(Path(folder)) as jupyter,
    ):
        path = chromium.find(playwright)
        if path is None:
            raise SystemExit(chromium.HINT)
        browser = chromium.launch(playwright, path)
        yield browser.new_context(viewport={"width": 1200, "height": 1000}), jupyter
        jupyter.end_sessions()
        browser.close()


def _measure(
    context: Any,
    jupyter: Jupyter,
    app: Any,
    stem: str,
    cells: tuple[str, str],
    mode: str,
    moves: int,
) -> dict[str, Any]:
    model, training = cells
    loop = Loop(jupyter.files, stem)
    training = training.replace("NAME", stem)
    if mode == "background":
        training = f"def train():\n{indented(training)}\nrun = session.train_in_background(train)"
    write_notebook(jupyter.files / f"{stem}.ipynb", [SETUP + model + SLIDERS, training])
    page = NotebookPage(context, jupyter, f"{stem}.ipynb", app=app)
    page.run_all()
    loop.begun()
    page.view().wait_for()
    page.view().scroll_into_view_if_needed()
    page.wait_painted(after=2, from_step=1)
    ours = page.view().get_by_role("slider", name="Layer", exact=True)
    bare = page.page.locator(".nbtv-floor .noUi-handle")
    there = min(8, int(ours.get_attribute("max")))
    ours.focus()
    page.page.keyboard.press("Home")
    page.wait_painted(layer="input")
    page.clear_probe()
    for number in range(moves):
        key = "ArrowRight" if number // there % 2 == 0 else "ArrowLeft"
        before = len(page.paints())
        _nudge(page.page, bare)
        page.page.wait_for_function(
            "(n) => nbtvProbe.paints.slice(n).some((paint) => paint.target === 'floor')", arg=before
        )
        shown = page.painted()
        ours.focus()
        page.page.keyboard.press(key)
        page.page.wait_for_function(  # a thumbnail that the browser had does not count
            """([layer, seq]) => {
              const { dataset } = document.querySelector(".nbtv-activation-browser");
              return dataset.layer !== layer && Number(dataset.seq) > seq;
            }""",
            arg=[shown["layer"], int(shown["seq"])],
        )
    recorded, paints = page.moves(), page.paints()
    floor = delays_ms([m for m in recorded if m["control"] == "floor"], paints, floor_answers)
    own = _own_delays(recorded, paints)
    chip = page.painted()["mode"]
    loop.end()
    loop.close()
    page.close()
    jupyter.end_sessions()
    floor_ms = median(delay for delay in floor if delay is not None)
    own_ms = median(delay for delay in own if delay is not None)
    return {
        "moves": moves,
        "painted": sum(delay is not None for delay in own),
        "floor_ms": floor_ms,
        "layer_ms": own_ms,
        "bar_ms": max(1.3 * floor_ms, floor_ms + 20),
        "chip": chip,
    }


def _nudge(page: Any, handle: Any) -> None:
    """Drag the bare slider a little: Notebook 7 keeps arrow keys from ipywidgets' sliders."""
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 4, y)
    page.mouse.up()


def _own_delays(recorded: list[Any], paints: list[Any]) -> list[float | None]:
    """Pair moves of Layer with frames that Python sent: of that layer, and of a newer seq."""
    found = []
    for move in recorded:
        if move["control"] != "Layer":
            continue
        layer = move["text"].split(",")[0]
        seen = max(
            (int(p["seq"] or 0) for p in paints if p["at"] < move["at"] and _is_ours(p)), default=0
        )
        answers = (
            p["at"] - move["at"]
            for p in paints
            if _is_ours(p)
            and p["at"] >= move["at"]
            and p["layer"] == layer
            and int(p["seq"] or 0) > seen
        )
        found.append(next(answers, None))
    return found


def _is_ours(paint: Any) -> bool:
    return bool(paint["target"] == "nbtv-activation-browser")
