"""What every test shares: one thread for torch, in this process and in kernels that tests start."""

import os
import shutil

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch loads


@pytest.fixture
def node() -> str:
    """Path of node; without it the tests skip, or fail where a browser is required."""
    found = shutil.which("node")
    if found is None:
        missing = "node is not installed, so the views' JavaScript is not tested"
        if os.environ.get("NBTORCHVIZ_REQUIRE_BROWSER") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return found
