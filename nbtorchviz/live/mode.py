"""The mode: what a control can do while training runs, told by what was observed.

No table of versions: an ack that arrived during a step proves ``live``, an ack overdue with a
view open proves ``one-way``. Versions only help to say why.
"""

from dataclasses import dataclass

from nbtorchviz.live.host import HostFacts
from nbtorchviz.live.line import LineFacts
from nbtorchviz.live.pacing import PATIENCE_S

NO_VIEW_S = 4.0
"""Displayed for so long without a word from a view: the cell's output says why."""
BACKGROUND = "session.train_in_background(fn)"
_COLAB = "from google.colab import output; output.enable_custom_widget_manager()"


@dataclass(frozen=True, slots=True)
class ModeReport:
    """A mode with its reason."""

    mode: str
    """``"live"``, ``"background"``, ``"one-way"``, ``"waiting"``, ``"idle"`` or ``"script"``."""
    reason: str
    """The first sentence says why; more may say what works and what does not."""
    remedy: str = ""
    """Code that changes it; may be empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeFacts:
    """What the mode depends on."""

    running: bool = False
    """Steps are being made."""
    background: bool = False
    """They are made by a background run."""
    view_open: bool = False
    """A widget is displayed, as far as can be known."""
    acks_during_run: int = 0
    """Acks handled while this run was going on."""
    waiting_for_s: float = 0.0
    """How long the oldest frame has been waiting for an ack."""
    was_live: bool = False
    """An earlier run got acks, and nothing was learnt since."""


def observe(
    line: LineFacts, *, background: bool, view_open: bool, was_live: bool = False
) -> ModeFacts:
    """Read the facts off a sender.

    Args:
        line: a ``Sender``.
        background: a background run is active.
        view_open: a widget is displayed, as far as can be known.
        was_live: an earlier run got acks.
    """
    return ModeFacts(
        running=background or line.running,
        background=background,
        view_open=view_open,
        acks_during_run=line.acks_during_run,
        waiting_for_s=line.waiting_for_s,
        was_live=was_live,
    )


def report(host: HostFacts, facts: ModeFacts) -> ModeReport:
    """Name the mode and say why."""
    if not host.kernel:
        return ModeReport(
            "script",
            "No notebook is attached, so nothing is drawn. "
            "frame, summary() and snapshot() work; every=N captures every N-th step.",
        )
    if facts.background:
        return ModeReport(
            "background",
            "Training runs on a thread of its own; every control works, also after a reload.",
        )
    if facts.running and facts.acks_during_run:
        return ModeReport("live", "The browser answered while a training step was running.")
    if facts.running and facts.view_open and facts.waiting_for_s >= PATIENCE_S:
        if facts.was_live:
            return ModeReport(
                "waiting",
                f"No answer from the browser for {facts.waiting_for_s:.0f} s, "
                "although it answered in an earlier run. Pictures come more rarely until it does.",
            )
        return ModeReport(
            "one-way",
            "This host reads controls only when the cell ends. "
            "Channel, colour map and hover work now; Layer shows kept thumbnails. "
            f"{_why_one_way(host)} To steer while training: {BACKGROUND}",
            BACKGROUND,
        )
    if facts.running:
        return ModeReport("waiting", "Waiting for the browser's first answer during this run.")
    return ModeReport("idle", "No training runs; controls work.")


def no_view_text(host: HostFacts, facts: ModeFacts) -> str:
    """Say why no view has appeared 4 s after display, with the one command that fixes it.

    Empty where no front end is known to exist.
    """
    if not host.front_end:
        return ""
    if facts.running and not facts.background and not facts.acks_during_run:
        return (
            "The widget cannot report back while this cell runs. If it is missing, display it "
            "in a cell of its own, before the cell that trains:\n    display(widget)"
        )
    if host.colab:
        return (
            "Colab has not loaded the widget: its manager for custom widgets is off. Run this, "
            f"then display the widget again:\n    {_COLAB}"
        )
    if host.vscode:
        return (
            "VS Code has not loaded the widget. It takes widget code from the kernel's "
            "environment or, if allowed, from a CDN. Put this into its settings, then reload the "
            'window:\n    "jupyter.widgetScriptSources": ["jsdelivr.com", "unpkg.com"]'
        )
    return (
        "The browser has not loaded the widget. Usually the environment that runs JupyterLab, "
        "which need not be the one of this kernel, lacks its code. This names the environment "
        "and the command to run there; reload the page afterwards:\n    !nbtorchviz doctor"
    )


def _why_one_way(host: HostFacts) -> str:
    if host.colab:
        return "Colab's kernel handles messages only between cells."
    if not host.subshells:
        version = f"ipykernel {host.ipykernel}" if host.ipykernel else "This kernel"
        return f"{version} handles messages only between cells (from 7.0 on also during one)."
    if host.vscode:
        return "VS Code sends controls to the shell that is busy with the cell."
    return (
        "The kernel could read them, but this front end does not send them on a subshell "
        "(JupyterLab from 4.4 and Notebook 7.4 on do)."
    )
