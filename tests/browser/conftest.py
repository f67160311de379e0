"""One server and one browser for all browser tests; a notebook and a kernel for each."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.browser import chromium
from tests.browser.jupyter import Jupyter
from tests.browser.loops import Loop
from tests.browser.notebook_page import App, NotebookPage, write_notebook
from tests.browser.patience import WAIT_S
from tests.browser.proxy import StallingProxy
from tests.browser.slow import slow_down

Opener = Callable[..., NotebookPage]


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """A headless Chromium; without one the tests skip, or fail where a browser is required."""
    problem = chromium.HINT
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        problem = "playwright is not installed: pip install -e '.[test]'"
    else:
        with sync_playwright() as playwright:
            path = chromium.find(playwright)
            if path is not None:
                running = chromium.launch(playwright, path)
                yield running
                running.close()
                return
    if chromium.required():
        pytest.fail(problem, pytrace=False)
    pytest.skip(problem)


@pytest.fixture(scope="package")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    """The server behind every browser test."""
    with Jupyter(tmp_path_factory.mktemp("jupyter")) as server:
        yield server


@pytest.fixture
def context(browser: Any) -> Iterator[Any]:
    """A browser profile of the test's own."""
    fresh = browser.new_context(viewport={"width": 1200, "height": 1000})
    fresh.set_default_timeout(WAIT_S * 1000)
    slow_down(fresh)
    yield fresh
    fresh.close()


@pytest.fixture
def open_notebook(
    context: Any, jupyter: Jupyter, request: pytest.FixtureRequest
) -> Iterator[Opener]:
    """Open cells as a notebook: ``open_notebook([...], app="lab")``; its kernel ends with the test.

    Keywords: ``app`` (``"lab"`` or ``"notebook"``), ``name``, ``source`` (a notebook file to
    copy), ``base`` (another address of the server, as a proxy's).
    """
    opened: list[NotebookPage] = []

    def open_(
        cells: list[str] | None = None,
        *,
        app: App = "lab",
        name: str = "",
        source: Any = None,
        base: str = "",
    ) -> NotebookPage:
        stem = re.sub(r"\W+", "-", request.node.name).strip("-")
        name = name or f"{stem}-{len(opened)}.ipynb"
        target = jupyter.files / name
        if source is not None:
            target.write_bytes(source.read_bytes())
        else:
            write_notebook(target, cells or [])
        opened.append(NotebookPage(context, jupyter, name, app=app, base=base))
        return opened[-1]

    yield open_
    for page in opened:
        page.close()
    jupyter.end_sessions()
    jupyter.reset_settings()


@pytest.fixture
def loop(jupyter: Jupyter, request: pytest.FixtureRequest) -> Iterator[Loop]:
    """A training loop that the test can question and end; it ends with the test."""
    running = Loop(jupyter.files, re.sub(r"\W+", "-", request.node.name).strip("-"))
    yield running
    running.end()
    running.close()


@pytest.fixture
def proxy(jupyter: Jupyter) -> Iterator[StallingProxy]:
    """A second address of the server whose connections can be stalled."""
    with StallingProxy(jupyter.port) as stalling:
        yield stalling
