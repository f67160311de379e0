"""``nbtorchviz doctor``: what is installed, which mode to expect, what to fix.

Reports and never raises: every examination that fails becomes a finding of its own.
"""

import importlib
import inspect
import platform
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from nbtorchviz import __version__
from nbtorchviz.cli.servers import Server, extension_folders, missing_extensions, running_servers

REQUIRED = {
    "torch": "torch>=2.4",
    "numpy": "numpy",
    "ipykernel": "ipykernel>=7.0",
    "ipywidgets": "ipywidgets>=8.1,<9",
    "anywidget": "anywidget>=0.9.13",
    "bqplot": "bqplot>=0.13,<0.14",
    "ipycanvas": "ipycanvas>=0.14,<0.15",
    "comm": "comm",
}
OPTIONAL = ("jupyterlab", "notebook", "jupyter_server")
SUBSHELL_LAB = (4, 4)
_MARKS = {"ok": "ok  ", "note": "note", "unknown": "?   ", "fix": "FIX "}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    level: str
    """``"ok"``, ``"note"``, ``"unknown"`` or ``"fix"``."""
    subject: str
    text: str
    command: str = ""
    """What to run; empty where nothing has to be done."""


def examine() -> list[Finding]:
    """Look at this environment and at the Jupyter servers that run for this user."""
    findings = [
        Finding("ok", "nbtorchviz", __version__),
        Finding("ok", "python", f"{platform.python_version()} at {sys.executable}"),
    ]
    examinations: tuple[tuple[str, Callable[[], Iterable[Finding]]], ...] = (
        ("packages", _packages),
        ("torch", _torch),
        ("widget code", _own_widget_code),
        ("kernel", _kernel_mode),
        ("servers", _servers),
    )
    for subject, look in examinations:
        try:
            findings.extend(look())
        except Exception as error:
            findings.append(Finding("unknown", subject, f"could not be examined: {error!r}"))
    return findings


def report(findings: Iterable[Finding]) -> str:
    """Write the findings as text, what to do last."""
    findings = list(findings)
    width = max((len(finding.subject) for finding in findings), default=0)
    lines = [f"{_MARKS[f.level]}  {f.subject:<{width}}  {f.text}" for f in findings]
    commands = list(dict.fromkeys(f.command for f in findings if f.command))
    to_fix = sum(f.level == "fix" for f in findings)
    if commands:
        lines += ["", "To do:" if to_fix else "If you like:"]
        lines += [f"    {command}" for command in commands]
    lines += ["", f"{to_fix} to fix." if to_fix else "Nothing to fix."]
    return "\n".join(lines)


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 1 when something has to be fixed, else 0."""
    return int(any(finding.level == "fix" for finding in findings))


def _packages() -> Iterable[Finding]:
    for name, wanted in REQUIRED.items():
        yield check_package(name, wanted, _version(name))
    for name in OPTIONAL:
        found = _version(name)
        text = found or "not in this environment; the server may run in another one"
        yield Finding("ok" if found else "note", name, text)


def check_package(name: str, wanted: str, found: str | None) -> Finding:
    """Compare an installed version with what is wanted, such as ``"bqplot>=0.13,<0.14"``."""
    command = f'{sys.executable} -m pip install "{wanted}"'
    if found is None:
        return Finding("fix", name, "not installed", command)
    for sign, bound in re.findall(r"(>=|<)([\d.]+)", wanted):
        low_enough = _numbers(found) < _numbers(bound)
        if low_enough == (sign == ">="):
            if name == "ipykernel":
                text = f"{found}: handles controls only between cells (from 7.0 on during one too)"
                return Finding("note", name, text, command)
            return Finding("fix", name, f"{found}, but {wanted} is needed", command)
    return Finding("ok", name, found)


def _torch() -> Iterable[Finding]:
    if _version("torch") is None:
        return
    torch = importlib.import_module("torch")
    if not torch.cuda.is_available():
        built = torch.version.cuda
        why = f"built for CUDA {built}, but no GPU can be used" if built else "built for the CPU"
        yield Finding("ok", "torch device", why)
        return
    name = torch.cuda.get_device_name(0)
    yield Finding("ok", "torch device", f"{name}, CUDA {torch.version.cuda}")


def _own_widget_code() -> Iterable[Finding]:
    package = Path(__file__).parent.parent
    if not (package / "widgets" / "static" / "nbtv.js").is_file():
        command = f"{sys.executable} -m pip install --force-reinstall --no-deps nbtorchviz"
        yield Finding("fix", "widget code", "nbtorchviz's own file nbtv.js is missing", command)


def _kernel_mode() -> Iterable[Finding]:
    found = _version("ipykernel")
    if found is None:
        return
    background = "use session.train_in_background(fn)"
    if _numbers(found) < (7, 0):
        yield Finding("note", "mode", f"one-way in a plain loop; {background} to steer")
        return
    how = comm_route()
    if how == "unknown":
        text = (
            f"ipykernel {found} decides the way of controls by means unknown to this release: "
            f"a plain loop may be one-way; {background}, and please report it"
        )
        yield Finding("note", "mode", text)
        return
    means = "with the route override" if how == "override" else "as the front end asks"
    text = f"live in a plain loop ({means}) in JupyterLab >= 4.4 and Notebook >= 7.4"
    yield Finding("ok", "mode", text)


def comm_route() -> str:
    """How the installed ipykernel routes comm messages.

    Returns:
        ``"front end"``: as it asks; ``"override"``: as this package restores it (see
        ``live.host.route_over_subshell``); ``"unknown"`` otherwise.
    """
    kernel = importlib.import_module("ipykernel.kernelbase").Kernel
    source = inspect.getsource(kernel.shell_channel_thread_main)
    if "comm" not in source:
        return "front end"
    base = importlib.import_module("ipykernel.comm.comm").BaseComm
    known = hasattr(base, "_reply_subshell_for") and "_reply_subshell_for" in source
    return "override" if known else "unknown"


def _servers() -> Iterable[Finding]:
    own = missing_extensions(extension_folders(Path(sys.prefix)))
    servers = running_servers()
    if not servers:
        if _version("jupyterlab") or _version("notebook"):
            yield from _widget_code("this environment", own, sys.executable)
        yield Finding("note", "servers", "no Jupyter server of this user is running")
    for server in servers:
        yield from check_server(server)


def check_server(server: Server) -> list[Finding]:
    """Say whether a running server can give widget code to browsers, and over subshells."""
    subject = f"server {server.port}"
    if server.prefix is None:
        text = (
            f"process {server.pid}: its Python environment cannot be told. If widgets do not "
            "appear, run this command in that environment"
        )
        return [Finding("unknown", subject, text, _install("python", ()))]
    python = server.prefix / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    missing = missing_extensions(extension_folders(server.prefix))
    findings = list(_widget_code(f"{subject} ({server.prefix})", missing, str(python)))
    lab = server.version("jupyterlab")
    if lab is not None and _numbers(lab) < SUBSHELL_LAB:
        text = f"JupyterLab {lab} sends controls only between cells (from 4.4 on during one too)"
        findings.append(
            Finding("note", subject, text, f'{python} -m pip install "jupyterlab>=4.4"')
        )
    return findings


def _widget_code(where: str, missing: tuple[str, ...], python: str) -> Iterable[Finding]:
    if not missing:
        yield Finding("ok", where, "has the widget code")
        return
    text = f"lacks the widget code of {', '.join(missing)}: widgets will not appear"
    yield Finding("fix", where, text, _install(python, missing) + "   # then reload the page")


def _install(python: str, missing: tuple[str, ...]) -> str:
    packages = missing or ("jupyterlab_widgets", "anywidget", "bqplot", "ipycanvas")
    wanted = [REQUIRED.get(package, package) for package in packages]
    return f"{python} -m pip install " + " ".join(f'"{name}"' for name in wanted)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _numbers(text: str) -> tuple[int, ...]:
    match = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in match[0].split(".")) if match else ()
