"""One private Jupyter server that serves JupyterLab and Notebook 7, on the loopback address."""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, Self

import psutil

from tests.browser.patience import WAIT_S

KERNEL = "python3"
NEWS_OFF = {"fetchNews": "false", "checkForUpdates": False}
KERNEL_ENV = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}


class Jupyter:
    """A server with its own home, configuration and kernel of this very Python.

    Stopped by its process id, its kernels first. Nothing of the user's Jupyter is read or written.
    """

    def __init__(self, root: Path, *, python: str = sys.executable) -> None:
        self.root = root
        self.files = root / "files"
        self.files.mkdir(parents=True)
        self.token = secrets.token_hex(16)
        self._write_settings(python)
        self._log = (root / "server.log").open("wb")
        self._process = subprocess.Popen(
            [
                *(python, "-m", "jupyter_server", "--no-browser", "--allow-root"),
                *("--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"),
                f"--ServerApp.root_dir={self.files}",
                "--LabApp.expose_app_in_browser=True",
                "--LabApp.extension_manager=readonly",
                "--JupyterNotebookApp.expose_app_in_browser=True",
                "--LanguageServerManager.autodetect=False",
            ],
            cwd=self.files,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self.port = self._wait_until_up()
        self.base = f"http://127.0.0.1:{self.port}"

    def _environment(self) -> dict[str, str]:
        folders = {
            "HOME": "home",
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "IPYTHONDIR": "ipython",
        }
        own = {name: str(self.root / folder) for name, folder in folders.items()}
        return {**os.environ, **own, "JUPYTER_TOKEN": self.token}

    def _write_settings(self, python: str) -> None:
        kernel = self.root / "data" / "kernels" / KERNEL
        kernel.mkdir(parents=True)
        spec = {
            "argv": [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": "Python 3 (ipykernel)",
            "language": "python",
            "env": KERNEL_ENV,
            "metadata": {"debugger": True, "supported_features": ["kernel subshells"]},
        }
        (kernel / "kernel.json").write_text(json.dumps(spec))
        for folder in ("home", "config", "runtime"):
            (self.root / folder).mkdir()
        self.reset_settings()

    def reset_settings(self) -> None:
        """Go back to Jupyter's own settings, theme included, but without the news pop-up."""
        shutil.rmtree(self.root / "settings", ignore_errors=True)
        self.setting("@jupyterlab/apputils-extension", "notification", NEWS_OFF)

    def setting(self, extension: str, plugin: str, values: dict[str, Any]) -> None:
        """Write user settings of one JupyterLab plugin; read by pages opened from now on."""
        folder = self.root / "settings" / extension
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{plugin}.jupyterlab-settings").write_text(json.dumps(values))

    def _wait_until_up(self) -> int:
        info = self.root / "runtime" / f"jpserver-{self._process.pid}.json"
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError, ValueError):
                self.port = int(json.loads(info.read_text())["port"])
                self.base = f"http://127.0.0.1:{self.port}"
                self.request("/api/status")
                return self.port
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.05)
        self.close()
        raise RuntimeError(f"the server did not start:\n{self.log()[-3000:]}")

    def request(self, path: str, method: str = "GET") -> Any:
        """Ask the server's REST interface; returns the decoded JSON, None for an empty answer."""
        request = urllib.request.Request(
            self.base + path, method=method, headers={"Authorization": f"token {self.token}"}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=WAIT_S) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def kernel_of(self, name: str) -> str:
        """Return the id of the kernel that runs this notebook."""
        (kernel,) = [s["kernel"]["id"] for s in self.request("/api/sessions") if s["path"] == name]
        return str(kernel)

    def interrupt(self, name: str) -> None:
        """Interrupt the notebook's kernel, as *Kernel, Interrupt* does."""
        self.request(f"/api/kernels/{self.kernel_of(name)}/interrupt", "POST")

    def end_sessions(self) -> None:
        """Delete every session and its kernel."""
        for session in self.request("/api/sessions"):
            self.request(f"/api/sessions/{session['id']}", "DELETE")

    @property
    def memory_bytes(self) -> int:
        """Resident memory of the server process, kernels not counted."""
        return int(psutil.Process(self._process.pid).memory_info().rss)

    def log(self) -> str:
        """Return what the server has written so far."""
        return (self.root / "server.log").read_text(errors="replace")

    def close(self) -> None:
        """Stop the server by its process id."""
        if self._process.poll() is None:
            with contextlib.suppress(OSError):
                self.end_sessions()
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
