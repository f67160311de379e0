"""Run the notebooks and store their new outputs: ``python docs/refresh_notebooks.py [PATH ...]``.

Widget state is left out: with it a saved page would ask a CDN for code instead of showing pictures.
Look at the difference before committing it: it is what the test suite compares from then on.
"""

import subprocess
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
KEPT = ("kernelspec", "language_info")


def refresh(path: Path) -> None:
    """Execute one notebook in this environment and write it back."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        store_widget_state=False,
        record_timing=False,
        resources={"metadata": {"path": str(FOLDER)}},
    )
    client.execute(stderr=subprocess.DEVNULL)
    notebook.metadata = {key: notebook.metadata[key] for key in KEPT}
    notebook.metadata["language_info"] = {"name": "python"}  # its version would differ everywhere
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(str(path) for path in FOLDER.glob("*.ipynb")):
        print(f"running {name}", flush=True)
        refresh(Path(name))
