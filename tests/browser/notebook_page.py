"""One notebook open in one tab, driven as a user would and read through the application's model."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tests.browser.jupyter import KERNEL, Jupyter
from tests.browser.patience import WAIT_S

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page

PROBE = (Path(__file__).parent / "probe.js").read_text()

READY = """() => {
  const panel = window.jupyterapp?.shell?.currentWidget;
  const kernel = panel?.sessionContext?.session?.kernel;
  return Boolean(panel?.context?.isReady && kernel && ["idle", "busy"].includes(kernel.status)
    && window.jupyterapp.commands.hasCommand("notebook:run-all-cells")
    && document.querySelector(".jp-Notebook .jp-Cell"));
}"""
PICTURE = """(index) => window.jupyterapp.shell.currentWidget.content.model.cells.get(index)
  .toJSON().outputs.map((output) => output.data ?? {})
  .find((data) => data["image/png"])["image/png"]"""
COMMAND = """([name, args]) => {
  const counted = (by) => { window.nbtvCommands = (window.nbtvCommands || 0) + by; };
  counted(1); // a cell that has run before looks done until its next run begins
  window.jupyterapp.commands.execute(name, args).catch(() => {}).then(() => counted(-1));
}"""
RUN_CELL = f"""(index) => {{
  const {{ content }} = window.jupyterapp.shell.currentWidget;
  content.deselectAll();
  content.activeCellIndex = index;
  ({COMMAND})(["notebook:run-cell", {{}}]);
}}"""
HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  Object.defineProperty(document, "visibilityState", {
    configurable: true, get: () => (hidden ? "hidden" : "visible"),
  });
  document.dispatchEvent(new Event("visibilitychange"));
}"""

App = Literal["lab", "notebook"]


def write_notebook(path: Path, cells: list[str]) -> None:
    """Write code cells as a notebook of this environment's kernel."""
    body = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "kernelspec": {"name": KERNEL, "display_name": "Python 3", "language": "python"}
        },
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell-{number}",
                "metadata": {},
                "outputs": [],
                "execution_count": None,
                "source": source.strip(),
            }
            for number, source in enumerate(cells)
        ],
    }
    path.write_text(json.dumps(body))


class NotebookPage:
    """A tab with one notebook. Every wait is for a state; none is for a time."""

    def __init__(
        self, context: "BrowserContext", jupyter: Jupyter, name: str, *, app: App, base: str = ""
    ) -> None:
        self.context = context
        self.jupyter = jupyter
        self.name = name
        self.app = app
        self.base = base or jupyter.base
        self.console: list[str] = []
        """Errors that the page reported."""
        self.page: Page = context.new_page()
        self.page.add_init_script(PROBE)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.goto(self._url())
        self.wait_ready()

    def _heard(self, message: "ConsoleMessage") -> None:
        if message.type == "error":
            self.console.append(message.text)

    def _url(self) -> str:
        if self.app == "notebook":
            return f"{self.base}/notebooks/{self.name}?token={self.jupyter.token}"
        workspace = f"{Path(self.name).stem}-{len(self.context.pages)}"
        return (
            f"{self.base}/lab/workspaces/{workspace}/tree/{self.name}"
            f"?reset&token={self.jupyter.token}"
        )

    # the notebook

    def wait_ready(self) -> None:
        """Return when the notebook is shown and its kernel answers."""
        self.page.wait_for_function(READY)

    def wait_idle(self) -> None:
        """Return when nothing runs in the kernel, whatever the page knows of its cells."""
        self.page.wait_for_function(
            """() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status
              === "idle" """
        )

    def wait_heard(self) -> None:
        """Return when the page has a subshell for each comm: what a widget says before waits.

        JupyterLab sends it to the main shell then, where it is read when the running cell ends.
        """
        self.page.wait_for_function(
            """() => {
              const { kernel } = window.jupyterapp.shell.currentWidget.sessionContext.session;
              const comms = [...kernel._comms.values()];
              return comms.length > 0 && comms.every((comm) => comm.subshellId);
            }"""
        )

    def command(self, name: str, arguments: Mapping[str, Any] | None = None) -> None:
        """Start a command of the application; ``wait_done`` also waits for its end."""
        self.page.evaluate(COMMAND, [name, dict(arguments or {})])

    def run_all(self) -> None:
        """Choose *Run, Run All Cells*."""
        self.command("notebook:run-all-cells")

    def run_cell(self, index: int) -> None:
        """Run one code or text cell, counted from 0."""
        self.page.evaluate(RUN_CELL, index)

    def cell(self, index: int) -> dict[str, Any]:
        """Return a cell as it would be saved: source, outputs, execution count."""
        return self.page.evaluate(
            "(i) => window.jupyterapp.shell.currentWidget.content.model.cells.get(i).toJSON()",
            index,
        )

    def text(self, index: int) -> str:
        """Return what a cell printed, errors included."""
        parts: list[str] = []
        for output in self.cell(index)["outputs"]:
            if output["output_type"] == "error":
                parts.append(f"{output['ename']}: {output['evalue']}")
                continue
            text = output.get("text", output.get("data", {}).get("text/plain", ""))
            parts.append(text if isinstance(text, str) else "".join(text))
        return "".join(parts)

    def picture(self, index: int) -> str:
        """Return the stored picture (PNG, base64) of the first widget that a cell displayed."""
        return self.page.evaluate(f"(index) => ({PICTURE})(index)", index)

    def wait_new_picture(self, index: int, before: str) -> None:
        """Return when the end of training has replaced the picture ``before``."""
        self.page.wait_for_function(
            f"([index, before]) => ({PICTURE})(index) !== before", arg=[index, before]
        )

    def wait_text(self, index: int, text: str, *, timeout_s: float = WAIT_S) -> None:
        """Return when a cell has printed ``text``."""
        self.page.wait_for_function(
            """([i, text]) => JSON.stringify(window.jupyterapp.shell.currentWidget.content.model
              .cells.get(i).toJSON().outputs).includes(JSON.stringify(text).slice(1, -1))""",
            arg=[index, text],
            timeout=timeout_s * 1000,
        )

    def wait_done(self, index: int = -1, *, timeout_s: float = WAIT_S) -> None:
        """Return when a cell (the last one by default) has run and the kernel is idle again."""
        self.page.wait_for_function(
            """(i) => {
              const panel = window.jupyterapp.shell.currentWidget;
              const { cells } = panel.content.model;
              const cell = cells.get(i < 0 ? cells.length + i : i);
              return !window.nbtvCommands && cell.executionCount !== null
                && cell.executionState !== "running"
                && panel.sessionContext.session.kernel.status === "idle";
            }""",
            arg=index,
            timeout=timeout_s * 1000,
        )

    def wait_running(self, index: int) -> None:
        """Return when a cell has begun to run."""
        self.page.wait_for_function(
            """(i) => window.jupyterapp.shell.currentWidget.content.model.cells.get(i)
              .executionState === "running" """,
            arg=index,
        )

    def interrupt(self) -> None:
        """Interrupt the kernel."""
        self.jupyter.interrupt(self.name)

    def save(self) -> None:
        """Save the notebook and return when the file is written."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.save()")

    def saved(self) -> dict[str, Any]:
        """Return the notebook as it lies on disk."""
        return json.loads((self.jupyter.files / self.name).read_text())

    # the tab

    def reload(self) -> None:
        """Load the page again."""
        self.page.reload()
        self.wait_ready()

    def second_tab(self) -> "NotebookPage":
        """Open the same notebook in another tab, on the same kernel."""
        return NotebookPage(self.context, self.jupyter, self.name, app=self.app, base=self.base)

    def hide(self) -> None:
        """Make the page believe that another tab is in front."""
        self.page.evaluate(HIDE, True)

    def show(self) -> None:
        """Bring the page back to the front."""
        self.page.evaluate(HIDE, False)

    def theme(self, name: Literal["light", "dark"]) -> None:
        """Change the theme and return when it is applied."""
        self.command("apputils:change-theme", {"theme": f"JupyterLab {name.capitalize()}"})
        self.page.wait_for_selector(
            f'body[data-jp-theme-light="{"true" if name == "light" else "false"}"]',
            state="attached",
        )

    def close(self) -> None:
        """Close the tab; kernel and file stay."""
        self.page.close()

    # our views

    def view(self, kind: str = "activation-browser", nth: int = 0) -> "Locator":
        """Return the outermost element of a widget of ours."""
        return self.page.locator(f".nbtv-{kind}").nth(nth)

    def painted(self, kind: str = "activation-browser", nth: int = 0) -> dict[str, str]:
        """Return what the view says it has painted: layer, channel, step, seq, mode."""
        return self.view(kind, nth).evaluate("(element) => ({ ...element.dataset })")

    def wait_painted(
        self,
        kind: str = "activation-browser",
        *,
        nth: int = 0,
        after: int = -1,
        from_step: int = 0,
        timeout_s: float = WAIT_S,
        **expected: object,
    ) -> dict[str, str]:
        """Return what is painted once a picture is as expected, newer than seq ``after``."""
        from playwright.sync_api import TimeoutError

        try:
            handle = self.page.wait_for_function(
                """([selector, nth, after, fromStep, expected]) => {
                  const view = document.querySelectorAll(selector)[nth];
                  if (!view || !(Number(view.dataset.seq || -1) > after)) return false;
                  if (Number(view.dataset.step || 0) < fromStep) return false;
                  return Object.entries(expected).every(([name, value]) =>
                    view.dataset[name] === value) && { ...view.dataset };
                }""",
                arg=[
                    f".nbtv-{kind}",
                    nth,
                    after,
                    from_step,
                    {name: str(value) for name, value in expected.items()},
                ],
                timeout=timeout_s * 1000,
            )
        except TimeoutError as error:
            raise AssertionError(f"{error.message}\n{self.account(kind)}") from None
        return handle.json_value()

    def account(self, kind: str = "activation-browser") -> str:
        """Say what a widget shows, what the cells put out and what went wrong."""
        views = self.page.locator(f".nbtv-{kind}").evaluate_all(
            """(views) => views.map((view) => [{ ...view.dataset }, view.innerText])"""
        )
        cells = self.page.evaluate(
            """() => window.jupyterapp.shell.currentWidget.content.model.toJSON().cells
              .map((cell) => JSON.stringify(cell.outputs).slice(0, 500))"""
        )
        return "\n".join(map(str, [*views, *cells, *self.console[-5:]]))

    # delays

    def clear_probe(self) -> None:
        """Forget the moves and paints seen so far."""
        self.page.evaluate("() => { nbtvProbe.moves.length = nbtvProbe.paints.length = 0; }")

    def moves(self) -> list[dict[str, Any]]:
        """Return every move of a control: ``at`` (ms), ``control``, ``value``, ``text``."""
        return self.page.evaluate("() => nbtvProbe.moves")

    def paints(self) -> list[dict[str, Any]]:
        """Return every painted answer: ``at`` (ms), ``target`` and what was painted."""
        return self.page.evaluate("() => nbtvProbe.paints")
