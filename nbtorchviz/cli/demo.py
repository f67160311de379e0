"""The quickstart notebook: copied beside yours, opened in JupyterLab, or run as a check."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import webbrowser
from importlib import resources
from pathlib import Path

from nbtorchviz.cli.server import DemoError, LabServer, choose_port, sigterm_like_ctrl_c

NAME = "quickstart.ipynb"
CELL_TIMEOUT_S = 600


def demo(folder: str | os.PathLike[str] = ".") -> Path:
    """Copy the quickstart notebook beside yours and say where it is.

    A copy that is already there is kept as it is.

    Args:
        folder: Where to put it; the notebook's own folder by default.

    Returns:
        The path of the copy.
    """
    path, kept = copy_quickstart(Path(folder))
    print(f"Kept your copy: {path}" if kept else f"Copied: {path}. Open it and run all cells.")
    return path


def quickstart() -> Path:
    """Return the quickstart's path: in the installed package, or in the clone it runs from."""
    shipped = Path(str(resources.files("nbtorchviz"))) / "notebooks" / NAME
    cloned = Path(__file__).parents[2] / "notebooks" / NAME
    for path in (shipped, cloned):
        if path.is_file():
            return path
    raise DemoError(
        f"the quickstart notebook is missing from this installation ({shipped}). "
        "Reinstall: python -m pip install --force-reinstall --no-deps nbtorchviz"
    )


def copy_quickstart(folder: Path) -> tuple[Path, bool]:
    """Copy the quickstart into ``folder``; return its path and whether an earlier copy was kept."""
    source = quickstart()
    target = folder.expanduser().absolute() / NAME
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            return target, True
        shutil.copyfile(source, target)
    except OSError as error:
        raise DemoError(
            f"cannot write to {target.parent} ({error.strerror}). "
            "Choose another folder: nbtorchviz demo --dir FOLDER, in Python nbv.demo(FOLDER)"
        ) from None
    return target, False


def serve(folder: Path, *, port: int | None = None, open_browser: bool = True) -> int:
    """Open JupyterLab on a copy of the quickstart; return when the user stops it.

    Args:
        folder: Where the copy lies and the server's root.
        port: A port on this machine; None takes the first free one from 8888.
        open_browser: Open the address in the default browser, too.

    Raises:
        DemoError: Something is missing or in the way; the message says what to do.
    """
    _require("jupyterlab", "ipykernel", "mlxtend")
    path, kept = copy_quickstart(folder)
    if kept:
        print(f"Keeping your copy of the notebook: {path}", flush=True)
    try:
        with sigterm_like_ctrl_c(), LabServer(path, choose_port(port)) as server:
            print(f"\nThe quickstart is at\n\n    {server.url}\n\nCtrl-C stops it.", flush=True)
            if open_browser:
                webbrowser.open(server.url)
            server.wait()
    except KeyboardInterrupt:
        print()
    print(f"Stopped. Your notebook: {path}", flush=True)
    return 0


def check() -> int:
    """Run the quickstart without a browser, print one line, return 0 if every cell ran, else 1."""
    _require("nbclient", "ipykernel", "mlxtend")
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    os.environ.setdefault(
        "JUPYTER_PREFER_ENV_PATH", "1"
    )  # this Python's kernel, not a user-wide one
    text = quickstart().read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
    count = sum(cell.cell_type == "code" for cell in notebook.cells)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="nbtorchviz-check-") as folder:
        client = NotebookClient(
            notebook,
            timeout=CELL_TIMEOUT_S,
            kernel_name="python3",
            store_widget_state=False,
            resources={"metadata": {"path": folder}},
        )
        try:
            client.execute(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except CellExecutionError as error:
            print(f"FAILED: {NAME}: {error.ename}: {error.evalue}".strip())
            return 1
        except Exception as error:
            print(f"FAILED: {NAME} did not finish: {type(error).__name__}: {error}".strip())
            return 1
    print(f"ok: {count} cells of {NAME} ran in {time.monotonic() - began:.0f} s")
    return 0


def _require(*modules: str) -> None:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise DemoError(
            f"{' and '.join(missing)} not installed in {sys.executable}. "
            "Install the demo's needs, in the folder of nbtorchviz: "
            'python -m pip install -e ".[demo]"'
        )
