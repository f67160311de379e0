"""Binder itself cannot run here; what it would build is rendered and read instead."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def dockerfile():
    done = subprocess.run(
        [sys.executable, "-m", "repo2docker", "--no-build", "--debug", str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_builds_from_the_conda_file_with_the_python_it_names(dockerfile):
    assert "src/binder/environment.yml" in dockerfile
    assert '--file "binder/environment.yml"' in dockerfile
    assert "python-3-2e12" in dockerfile.lower() or "py-2d3-2e12" in dockerfile


def test_runs_post_build_after_the_source_is_there(dockerfile):
    assert dockerfile.index("COPY --chown=0:0 src/ ${REPO_DIR}/") < dockerfile.index(
        "RUN ./binder/postBuild"
    )


def test_torch_is_the_cpu_build_and_the_package_is_installed_over_it():
    lines = [
        line.strip(" -")
        for line in (ROOT / "binder" / "environment.yml").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert [line for line in lines if line.startswith("pytorch")] == ["pytorch-cpu>=2.4"]
    assert "conda-forge" in lines
    assert "nodefaults" in lines
    post_build = ROOT / "binder" / "postBuild"
    assert 'pip install --no-cache-dir ".[demo]"' in post_build.read_text()
    assert "torch.version.cuda is None" in post_build.read_text()
    assert os.access(post_build, os.X_OK)


def test_post_build_is_valid_bash():
    subprocess.run(["bash", "-n", str(ROOT / "binder" / "postBuild")], check=True)
