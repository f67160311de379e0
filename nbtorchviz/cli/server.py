"""A private JupyterLab on the loopback address, started for the demo and stopped with it."""

import errno
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self
from urllib.parse import quote

HOST = "127.0.0.1"
FIRST_PORT = 8888
PORTS_TRIED = 50
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0


class DemoError(Exception):
    """The demo cannot start; the message says why and what to do."""


def choose_port(wanted: int | None) -> int:
    """Return ``wanted`` if it is free, or without a wish the first free port from 8888.

    Raises:
        DemoError: The wanted port is taken or needs other rights.
    """
    if wanted is not None:
        problem = _port_problem(wanted)
        if problem is not None:
            raise DemoError(
                f"port {wanted} {problem}. Give another one: nbtorchviz demo --port "
                f"{choose_port(None)}"
            )
        return wanted
    for port in range(FIRST_PORT, FIRST_PORT + PORTS_TRIED):
        if _port_problem(port) is None:
            return port
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


def _port_problem(port: int) -> str | None:
    with socket.socket() as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return (
                "is taken"
                if error.errno == errno.EADDRINUSE
                else f"cannot be used ({error.strerror})"
            )
    return None


class LabServer:
    """JupyterLab as a child process, reachable from this machine only.

    The token travels in the environment, not on the command line, where other users could read
    it. The child does not get the terminal's Ctrl-C: leaving the context stops it in order.
    """

    def __init__(self, notebook: Path, port: int) -> None:
        self.token = secrets.token_urlsafe(24)
        self.base = f"http://{HOST}:{port}"
        self.url = f"{self.base}/lab/tree/{quote(notebook.name)}?token={self.token}"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        command = [
            *(sys.executable, "-m", "jupyterlab", "--no-browser"),
            *(f"--ServerApp.ip={HOST}", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
            f"--ServerApp.root_dir={notebook.parent}",
        ]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append(
                "--allow-root"
            )  # usual in containers; the server listens on loopback only
        self._process = subprocess.Popen(
            command,
            cwd=notebook.parent,
            env={**os.environ, "JUPYTER_TOKEN": self.token, "JUPYTER_PREFER_ENV_PATH": "1"},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._process.pid

    def __enter__(self) -> Self:
        try:
            self._wait_until_up()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _wait_until_up(self) -> None:
        request = urllib.request.Request(
            f"{self.base}/api/status", headers={"Authorization": f"token {self.token}"}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback: no proxy
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise DemoError(f"JupyterLab ended at once. Its last lines:\n{self._last_lines()}")
            try:
                with opener.open(request, timeout=2) as answer:
                    json.load(answer)
                return
            except (OSError, ValueError):
                time.sleep(0.1)
        raise DemoError(
            f"JupyterLab did not answer within {START_TIMEOUT_S:.0f} s. "
            f"Its last lines:\n{self._last_lines()}"
        )

    def _last_lines(self, count: int = 12) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-count:]).replace(self.token, "…")

    def wait(self) -> None:
        """Return when the server ends by itself, as after *File, Shut Down*."""
        code = self._process.wait()
        if code:
            raise DemoError(
                f"JupyterLab ended with code {code}. Its last lines:\n{self._last_lines()}"
            )

    def close(self) -> None:
        """Stop the server and its kernels; harmless when it has ended."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()


@contextmanager
def sigterm_like_ctrl_c() -> Iterator[None]:
    """Turn SIGTERM into KeyboardInterrupt, so that a service manager's stop ends in order, too."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
