"""A slow browser on purpose: ``NBTORCHVIZ_SLOW_BROWSER=1`` shows races each time, not by chance."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

SLOW = os.environ.get("NBTORCHVIZ_SLOW_BROWSER", "") not in ("", "0")
SCRIPT = (Path(__file__).parent / "slow.js").read_text(encoding="utf-8")
CPU_RATE = 4
"""The browser computes at this part of the machine's speed."""

quick_browser = pytest.mark.skipif(SLOW, reason="measures how fast an answer is painted")


def slow_down(context: "BrowserContext") -> None:
    """Let every page of this profile paint late and compute slowly, if it was asked for."""
    if not SLOW:
        return
    context.add_init_script(SCRIPT)
    context.on("page", _throttle)


def _throttle(page: "Page") -> None:
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": CPU_RATE})
