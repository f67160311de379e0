"""Record the README's picture: JupyterLab in Chromium while the quickstart's network trains.

``python docs/make_picture.py`` writes ``docs/img/training.gif``. Nothing is staged: a real server,
the notebook's own cells, keys and clicks on the widget, frames shown for as long as they lasted.
"""

import io
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import nbformat
from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.browser import chromium  # noqa: E402
from tests.browser.jupyter import Jupyter  # noqa: E402
from tests.browser.notebook_page import NotebookPage, write_notebook  # noqa: E402

TARGET = ROOT / "docs" / "img" / "training.gif"
VIEWPORT = {"width": 1000, "height": 1000}
WIDTH_PX = 800
COLORS = 256
FRAME_S = 0.2

WATCH = """
import nbtorchviz as nbv
session = nbv.watch(model, optimizer, criterion=criterion)
display(session)
"""
LOOP = """
for epoch in range(20):
    model.train()
    for batch in train[torch.randperm(len(train))].split(64):
        loss = criterion(model(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        session.log(loss=loss, epoch=epoch)
    session.log(val_loss=evaluate()[0], epoch=epoch)
"""


def setup_cells() -> list[str]:
    """Take imports, data, model and evaluation from the quickstart."""
    notebook = nbformat.read(ROOT / "notebooks" / "quickstart.ipynb", as_version=4)
    sources = {cell.id: cell.source for cell in notebook.cells if cell.cell_type == "code"}
    evaluate = sources["train"].split("\n\n\n")[0]
    return ["\n".join([*(sources[name] for name in ("imports", "data", "model")), evaluate])]


class Recorder:
    """Collects screenshots with the time each was taken."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._frames: list[tuple[float, Image.Image]] = []

    def record(self, seconds: float) -> None:
        """Take frames for a while."""
        end = time.monotonic() + seconds
        while (began := time.monotonic()) < end:
            png = self._page.locator(".jp-Notebook").screenshot(animations="allow")
            self._frames.append((began, Image.open(io.BytesIO(png)).convert("RGB")))
            self._page.wait_for_timeout(max(0.0, FRAME_S - (time.monotonic() - began)) * 1000)

    def write(self, path: Path) -> None:
        """Scale, reduce to one palette and write an endless GIF."""
        times = [taken for taken, _ in self._frames] + [self._frames[-1][0] + 2.0]
        frames = [
            image.resize((WIDTH_PX, round(image.height * WIDTH_PX / image.width)), Image.LANCZOS)
            for _, image in self._frames
        ]
        palette = palette_of(frames)
        reduced = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
        path.parent.mkdir(parents=True, exist_ok=True)
        reduced[0].save(
            path,
            save_all=True,
            append_images=reduced[1:],
            duration=[round((b - a) * 1000) for a, b in pairwise(times)],
            loop=0,
            optimize=True,
        )
        print(f"{path}: {len(reduced)} frames, {path.stat().st_size / 1e6:.1f} MB")


def show_from_cell(page: Page, index: int) -> None:
    """Make the window just as high as this cell and those below, and scroll to it."""
    height = page.evaluate(
        """(index) => {
          const cells = [...document.querySelectorAll(".jp-Notebook .jp-Cell")].slice(index);
          const content = cells.at(-1).getBoundingClientRect().bottom
            - cells[0].getBoundingClientRect().top;
          const notebook = document.querySelector(".jp-Notebook").getBoundingClientRect();
          return Math.ceil(window.innerHeight - notebook.height + content + 12);
        }""",
        index,
    )
    page.set_viewport_size({**VIEWPORT, "height": height})
    page.locator(".jp-Notebook .jp-Cell").nth(index).evaluate("(cell) => cell.scrollIntoView()")


def palette_of(frames: list[Image.Image]) -> Image.Image:
    """Choose the colours from frames spread over the whole film."""
    some = frames[:: max(1, len(frames) // 6)]
    sheet = Image.new("RGB", (some[0].width, some[0].height * len(some)))
    for number, frame in enumerate(some):
        sheet.paste(frame, (0, number * some[0].height))
    return sheet.quantize(COLORS, method=Image.Quantize.MEDIANCUT, kmeans=1)


def play(notebook: NotebookPage, recorder: Recorder) -> None:
    """Train, and meanwhile move over layers and channels."""
    page = notebook.page
    notebook.command("application:set-mode", {"mode": "single-document"})
    notebook.command("application:toggle-left-area")
    notebook.run_cell(0)
    notebook.wait_done(0)
    notebook.run_cell(1)
    notebook.wait_done(1)
    view = notebook.view("activation-browser")
    view.wait_for()
    notebook.run_cell(2)
    notebook.wait_running(2)
    show_from_cell(page, 1)
    recorder.record(2.5)
    layer = view.get_by_role("slider", name="Layer")
    layer.focus()
    for _ in range(7):
        page.keyboard.press("ArrowRight")
        recorder.record(0.8)
    channel = view.get_by_role("slider", name="Channel")
    channel.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
        recorder.record(0.4)
    recorder.record(2.5)


def main() -> None:
    """Record and write the picture."""
    with tempfile.TemporaryDirectory() as folder, Jupyter(Path(folder)) as jupyter:
        write_notebook(jupyter.files / "training.ipynb", [*setup_cells(), WATCH, LOOP])
        with sync_playwright() as playwright:
            path = chromium.find(playwright)
            if path is None:
                sys.exit(chromium.HINT)
            browser = chromium.launch(playwright, path)
            context = browser.new_context(viewport=VIEWPORT, device_scale_factor=1)
            notebook = NotebookPage(context, jupyter, "training.ipynb", app="lab")
            recorder = Recorder(notebook.page)
            play(notebook, recorder)
            recorder.write(TARGET)
            browser.close()


if __name__ == "__main__":
    main()
