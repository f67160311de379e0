"""Sort the suite by folder: fast tests first, then trainings, notebooks, the browser.

Tests carry no marks of their own for this: where a file lies says what it needs.
"""

from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parent
NOTEBOOKS = ROOT / "notebooks"
BROWSER = ROOT / "tests" / "browser"
TRAININGS = ROOT / "tests" / "trainings"
ARCHITECTURES = ROOT / "tests" / "architectures"
MARKS = ("fast", "training", "notebook", "browser")

# How long an example takes is the machine's affair; under CI examples are the same each time.
settings.register_profile("nbtorchviz", parent=settings.default, deadline=None)
settings.load_profile("nbtorchviz")


def pytest_configure(config: pytest.Config) -> None:
    """Run every notebook strictly, in this very environment."""
    config.option.nbval = True
    config.option.nbval_current_env = True
    config.option.nbval_sanitize_with = str(NOTEBOOKS / "sanitize.cfg")
    config.option.nbval_cell_timeout = 300.0


def _mark(path: Path) -> str:
    if path.suffix == ".ipynb":
        return "notebook"
    folders = {BROWSER: "browser", TRAININGS: "training", ARCHITECTURES: "training"}
    return next((mark for folder, mark in folders.items() if folder in path.parents), "fast")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by its folder and run the fast ones first."""
    marks = {item: _mark(item.path) for item in items}
    for item, mark in marks.items():
        item.add_marker(getattr(pytest.mark, mark))
    items.sort(key=lambda item: MARKS.index(marks[item]))  # stable: order within a folder stays
