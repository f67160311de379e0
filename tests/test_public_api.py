"""What `import nbtorchviz` promises: sorted names, each importable, nothing heavy loaded."""

import subprocess
import sys
from pathlib import Path

import pytest

import nbtorchviz

ROOT = Path(__file__).parents[1]
NAMES = [name for name in nbtorchviz.__all__ if not name.startswith("__")]


def test_all_is_sorted_and_complete():
    assert list(nbtorchviz.__all__) == sorted(nbtorchviz.__all__)
    assert set(nbtorchviz.__all__) == set(nbtorchviz._HOMES)
    assert set(nbtorchviz.__all__) <= set(dir(nbtorchviz))


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_imports_and_says_what_it_is(name):
    value = getattr(nbtorchviz, name)
    assert value.__doc__, f"{name} has no docstring"
    assert getattr(value, "__name__", name) == name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'nbtorchviz' has no attribute 'ActivationBrowsr'"):
        nbtorchviz.ActivationBrowsr  # noqa: B018


def test_importing_loads_neither_torch_nor_a_notebook_library():
    code = (
        "import sys, nbtorchviz, nbtorchviz.errors\n"
        "heavy = {'torch', 'numpy', 'ipywidgets', 'anywidget', 'bqplot', 'ipycanvas', 'IPython'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_version_is_the_packages():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert nbtorchviz.__version__ == project["version"]
    assert f"[{project['version']}]" in (ROOT / "CHANGELOG.md").read_text()
    assert f"version: {project['version']}" in (ROOT / "CITATION.cff").read_text()
