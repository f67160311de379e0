"""The views' own tests in node, and the committed bundle against its sources."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from nbtorchviz.analysis.findings.layer_watch import LayerWatch
from nbtorchviz.analysis.findings.loss_watch import LOSS_RULES
from nbtorchviz.widgets.static import build

ROOT = Path(__file__).parents[1]
STATIC = ROOT / "nbtorchviz" / "widgets" / "static"


def test_views_pass_their_own_tests(node):
    files = sorted((ROOT / "tests" / "js").glob("*.test.js"))
    assert files
    done = subprocess.run(
        [node, "--test", *map(str, files)], capture_output=True, text=True, timeout=300, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.parametrize("name", build.ENTRIES)
def test_bundle_is_what_the_sources_make(node, tmp_path, name):
    fresh = tmp_path / name
    try:
        build.build(fresh)
    except RuntimeError as error:
        # esbuild comes from npm's registry, which need not be reachable where users run this.
        if os.environ.get("NBTORCHVIZ_REQUIRE_BROWSER") == "1":
            raise
        pytest.skip(f"the bundle cannot be built here: {str(error).splitlines()[0]}")
    same = fresh.read_bytes() == (STATIC / name).read_bytes()
    assert same, f"run `python -m nbtorchviz.widgets.static.build` and commit {name}"


@pytest.mark.parametrize("name", build.ENTRIES)
def test_bundle_is_small_and_loads_nothing_from_elsewhere(name):
    text = (STATIC / name).read_text(encoding="utf-8")
    assert len(text.encode()) <= build.LIMITS_BYTES[name]
    addresses = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", text))
    assert addresses <= {"http://www.w3.org"}  # the name of SVG, which nobody fetches
    assert not re.search(r"\b(?:eval|importScripts|XMLHttpRequest|fetch)\s*\(", text)


def test_names_of_users_reach_the_page_as_text_only():
    for source in sorted((STATIC / "src").glob("*.js")):
        text = source.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", text), (
            source
        )


def test_findings_about_layers_and_losses_lead_to_the_view_that_shows_them():
    """``gradient_findings.js`` knows the rules by name; one that it lacks would lead to norms."""
    source = (STATIC / "src" / "gradient_findings.js").read_text()
    for rule in {*LayerWatch.rules, "dead_channels"} - {"repeated_layer"}:
        assert f'{rule}: "histograms"' in source
    for rule in LOSS_RULES:
        assert f'{rule}: "time"' in source
    maps = (STATIC / "src" / "findings_view.js").read_text()
    for rule in {*LayerWatch.rules, "dead_channels"}:
        assert f'"{rule}"' in maps
