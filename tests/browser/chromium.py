"""Find a browser: the system's Chromium or Chrome by name, else playwright's own."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
)
HINT = "no Chromium or Chrome found: install one, or run `playwright install chromium`"


def required() -> bool:
    """Say whether a missing browser is a failure, as in CI."""
    return os.environ.get("NBTORCHVIZ_REQUIRE_BROWSER", "") not in ("", "0")


def find(playwright: "Playwright") -> str | None:
    """Return the path of a browser, or None."""
    for name in NAMES:
        path = shutil.which(name)
        if path is not None:
            return path
    own = playwright.chromium.executable_path
    return own if own and Path(own).is_file() else None


def launch(playwright: "Playwright", path: str, **options: Any) -> "Browser":
    """Start the browser headless; its traffic stays on this machine."""
    return playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS), **options)
