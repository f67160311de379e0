"""The Jupyter servers of this user, and the Python environments they run in.

Widget code is served from the server's environment, which need not be the kernel's: the usual
reason for "Error displaying widget: model not found".
"""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

EXTENSIONS = {
    "@jupyter-widgets/jupyterlab-manager": "jupyterlab_widgets",
    "anywidget": "anywidget",
    "bqplot": "bqplot",
    "ipycanvas": "ipycanvas",
}
"""Lab extension folder and the package that brings it."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running Jupyter server."""

    pid: int
    port: int
    prefix: Path | None
    """Root of its Python environment; None when it cannot be told."""

    def version(self, package: str) -> str | None:
        """Version of a package in the server's environment; None when there is none."""
        if self.prefix is None:
            return None
        folders = [
            *self.prefix.glob("lib/python3*/site-packages"),
            self.prefix / "Lib/site-packages",
        ]
        found = distributions(name=package, path=[str(folder) for folder in folders])
        return next((distribution.version for distribution in found), None)


def running_servers(runtime: Path | None = None) -> list[Server]:
    """List the servers that left a note in Jupyter's runtime folder and are still alive.

    Reads the notes itself: ``jupyter_server.serverapp.list_running_servers`` loads the whole
    server and deletes notes of others.
    """
    folder = runtime if runtime is not None else _runtime_folder()
    servers = []
    for note in sorted(folder.glob("jpserver-*.json")) if folder is not None else ():
        try:
            info = json.loads(note.read_text(encoding="utf-8"))
            pid, port = int(info["pid"]), int(info.get("port", 0))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # half-written, or of somebody else's making
        if _alive(pid):
            servers.append(Server(pid, port, environment_of(_command_line(pid))))
    return servers


def environment_of(command_line: list[str]) -> Path | None:
    """Root of the environment of ``[python, script, ...]``; None when it cannot be told.

    A symbolic link is left as it is: the python of a virtual environment links to another one.
    """
    for word in command_line[:2]:
        path = Path(word)
        folder = path.parent
        if path.is_absolute() and folder.name.lower() in ("bin", "scripts") and path.exists():
            prefix = folder.parent
            if _has_packages(prefix):
                return prefix
        elif path.is_absolute() and path.suffix == ".exe" and path.exists():
            return folder
    return None


def extension_folders(prefix: Path) -> list[Path]:
    """Where a server of the environment at ``prefix`` looks for lab extensions."""
    folders = [prefix / "share" / "jupyter" / "labextensions"]
    if (data := _jupyter_folder("jupyter_data_dir")) is not None:
        folders.append(data / "labextensions")
    folders += [Path(p) / "labextensions" for p in _system_folders()]
    extra = os.environ.get("JUPYTER_PATH", "")
    folders += [Path(part) / "labextensions" for part in extra.split(os.pathsep) if part]
    return folders


def missing_extensions(folders: list[Path]) -> tuple[str, ...]:
    """Names of the packages whose lab extension is in none of ``folders``."""
    return tuple(
        package
        for extension, package in EXTENSIONS.items()
        if not any((folder / extension / "package.json").is_file() for folder in folders)
    )


def _has_packages(prefix: Path) -> bool:
    return any(prefix.glob("lib/python3*")) or (prefix / "Lib" / "site-packages").is_dir()


def _runtime_folder() -> Path | None:
    return _jupyter_folder("jupyter_runtime_dir")


def _jupyter_folder(name: str) -> Path | None:
    try:
        from jupyter_core import paths
    except ImportError:
        return None
    return Path(getattr(paths, name)())


def _system_folders() -> list[str]:
    try:
        from jupyter_core.paths import SYSTEM_JUPYTER_PATH
    except ImportError:
        return []
    return list(SYSTEM_JUPYTER_PATH)


def _alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # os.kill(pid, 0) would end the process there
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _on_path(pid: int, name: str) -> str:
    """Where the process found the program that it was started as, such as ``python``."""
    if os.sep in name:
        return name
    words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    path = next((os.fsdecode(word[5:]) for word in words if word.startswith(b"PATH=")), "")
    return shutil.which(name, path=path) or name


def _command_line(pid: int) -> list[str]:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        line = [os.fsdecode(word) for word in words if word]
        return [_on_path(pid, line[0]), *line[1:]] if line else []
    except OSError:
        pass
    try:  # macOS has no /proc; paths with blanks cannot be told apart there
        listed = subprocess.run(
            ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return re.split(r"\s+", listed.stdout.strip())
