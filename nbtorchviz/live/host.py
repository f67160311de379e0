"""The host: which kernel and front end this is, and what has to be done for it.

The only module outside ``widgets`` that looks at IPython, and it looks, never imports: what is
not loaded is not there.
"""

import importlib
import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

SUBSHELL_FEATURE = "kernel subshells"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What can be known without asking the front end."""

    kernel: bool = False
    """A Jupyter kernel carries messages. False: script, plain IPython, pytest."""
    ipykernel: str | None = None
    """Version, when the kernel is ipykernel."""
    subshells: bool = False
    """The kernel can handle comm messages beside a running cell, if the front end asks for it."""
    colab: bool = False
    vscode: bool = False
    server: bool = False
    """Started by a Jupyter server for a notebook (JupyterLab, Notebook 7)."""

    @property
    def front_end(self) -> bool:
        """Whether somebody is likely to look (not: nbclient, papermill, a console)."""
        return self.kernel and (self.colab or self.vscode or self.server)

    @property
    def lab_like(self) -> bool:
        """JupyterLab or Notebook 7: other hosts have other pages around an output."""
        return self.server and not (self.colab or self.vscode)

    @property
    def drops_thread_updates(self) -> bool:
        """Updates sent from threads are reported lost here (google/colabtools#3373)."""
        return self.colab


def detect(environ: Mapping[str, str] = os.environ) -> HostFacts:
    """Look at this process."""
    kernel = _kernel()
    if kernel is None:
        return HostFacts()
    namespace = getattr(_shell(), "user_ns", None) or {}
    server = "JPY_SESSION_NAME" in environ
    vscode = "__vsc_ipynb_file__" in namespace or (
        not server and any(name.startswith("VSCODE_") for name in environ)
    )
    ipykernel = sys.modules.get("ipykernel")
    return HostFacts(
        kernel=True,
        ipykernel=getattr(ipykernel, "__version__", None),
        subshells=_has_subshells(kernel),
        colab="google.colab" in sys.modules,
        vscode=vscode,
        server=server,
    )


def route_over_subshell(comm: Any) -> bool:
    """Let messages to ``comm`` reach the shell that the front end chose.

    ipykernel 7.4.0 remembers on every comm the shell under which Python last published on it, or
    opened it, and sends all messages for that comm there (``BaseComm._reply_subshell_for``, asked
    by ``shell_channel_thread_main``). A widget made in a cell is thus bound to the main shell, and
    while a cell trains not one slider move arrives (0 of 40 measured). JupyterLab and Notebook 7
    name a subshell in every message; answering with it restores what ipykernel 7.0 to 7.3 do
    (40 of 40). The name is private: ``tests/live/test_host.py`` fails when a release changes it.

    Args:
        comm: of every widget that receives messages; None for a closed one.

    Returns:
        True when the comm decides about its route and now leaves that to the front end.
    """
    if not callable(getattr(comm, "_reply_subshell_for", None)):
        return False  # up to 7.3 nothing overrides the front end's choice
    comm._reply_subshell_for = _as_asked
    return True


def in_subshell() -> bool:
    """Whether this code runs on a subshell's thread, beside a running cell."""
    return threading.current_thread().name.startswith("subshell-")


def kernel_loop_call(function: Callable[[], object], delay_s: float = 0.0) -> bool:
    """Run ``function`` on the kernel's main thread when no cell runs. From any thread.

    Returns:
        False when there is no kernel loop to run it.
    """
    loop = getattr(getattr(_kernel(), "io_loop", None), "asyncio_loop", None)
    if loop is None or loop.is_closed():
        return False
    try:
        if delay_s > 0:
            loop.call_soon_threadsafe(loop.call_later, delay_s, function)
        else:
            loop.call_soon_threadsafe(function)
    except RuntimeError:  # closed between the two lines
        return False
    return True


def enable_colab_widgets() -> bool:
    """Switch on Colab's manager for widgets that are not ipywidgets' own.

    Returns:
        True when this is Colab and its manager is on.
    """
    if "google.colab" not in sys.modules:
        return False
    try:
        importlib.import_module("google.colab.output").enable_custom_widget_manager()
    except (ImportError, AttributeError):
        return False
    return True


def _as_asked(data: object, default: str | None) -> str | None:
    """The front end's own choice of shell."""
    return default


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    get_ipython = getattr(ipython, "get_ipython", None)
    return get_ipython() if get_ipython is not None else None


def _kernel() -> Any:
    return getattr(_shell(), "kernel", None)


def _has_subshells(kernel: Any) -> bool:
    info = getattr(kernel, "kernel_info", None)
    if isinstance(info, Mapping):
        return SUBSHELL_FEATURE in info.get("supported_features", ())
    return False
