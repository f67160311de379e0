from types import SimpleNamespace

import pytest

from nbtorchviz.live.flow import Flow
from nbtorchviz.live.host import HostFacts
from nbtorchviz.live.line import LineFacts
from nbtorchviz.live.mode import BACKGROUND, ModeFacts, no_view_text, observe, report

LAB = HostFacts(kernel=True, ipykernel="7.4.0", subshells=True, server=True)
OLD = HostFacts(kernel=True, ipykernel="6.31.0", server=True)
COLAB = HostFacts(kernel=True, ipykernel="6.17.1", colab=True)
VSCODE = HostFacts(kernel=True, ipykernel="7.4.0", subshells=True, vscode=True)
OVERDUE = ModeFacts(running=True, view_open=True, waiting_for_s=2.0)


@pytest.mark.parametrize(
    ("host", "facts", "mode"),
    [
        (HostFacts(), ModeFacts(running=True, background=True), "script"),
        (LAB, ModeFacts(), "idle"),
        (LAB, ModeFacts(running=True, view_open=True, waiting_for_s=1.9), "waiting"),
        (LAB, ModeFacts(running=True, view_open=True, acks_during_run=1), "live"),
        (LAB, ModeFacts(running=True, acks_during_run=1, waiting_for_s=60), "live"),
        (LAB, ModeFacts(acks_during_run=1), "idle"),
        (LAB, OVERDUE, "one-way"),
        (LAB, ModeFacts(running=True, view_open=False, waiting_for_s=60), "waiting"),
        (LAB, ModeFacts(running=False, view_open=True, waiting_for_s=60), "idle"),
        (OLD, OVERDUE, "one-way"),
        (OLD, ModeFacts(running=True, background=True), "background"),
        (OLD, ModeFacts(running=True, acks_during_run=3), "live"),  # observed beats versions
    ],
)
def test_the_mode_follows_what_was_observed(host, facts, mode):
    answer = report(host, facts)
    assert answer.mode == mode
    assert answer.reason.endswith((".", answer.remedy or "."))


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (OLD, "ipykernel 6.31.0 handles messages only between cells"),
        (COLAB, "Colab's kernel"),
        (VSCODE, "VS Code sends"),
        (LAB, "does not send them on a subshell"),
    ],
)
def test_one_way_says_why_and_what_to_do(host, words):
    answer = report(host, OVERDUE)
    assert answer.reason.startswith("This host reads controls only when the cell ends. Channel")
    assert words in answer.reason
    assert answer.remedy == BACKGROUND == "session.train_in_background(fn)"


def test_a_browser_that_answered_before_is_not_called_one_way():
    overdue = ModeFacts(running=True, view_open=True, waiting_for_s=31.0, was_live=True)
    answer = report(LAB, overdue)
    assert (answer.mode, answer.remedy) == ("waiting", "")
    assert "31 s" in answer.reason


def test_facts_are_read_off_the_line():
    time = SimpleNamespace(now=5.0)
    flow = Flow()
    line = LineFacts(flow, lambda: time.now)
    assert observe(line, background=False, view_open=True) == ModeFacts(view_open=True)
    flow.boundary(5.0)
    assert observe(line, background=False, view_open=True).running
    time.now = 60.0
    assert not observe(line, background=False, view_open=True).running
    assert observe(line, background=True, view_open=True).running


@pytest.mark.parametrize(
    ("host", "facts", "command"),
    [
        (LAB, ModeFacts(), "!nbtorchviz doctor"),
        (LAB, ModeFacts(running=True), "display(widget)"),
        (LAB, ModeFacts(running=True, background=True), "!nbtorchviz doctor"),
        (COLAB, ModeFacts(), "enable_custom_widget_manager()"),
        (VSCODE, ModeFacts(), '"jupyter.widgetScriptSources": ["jsdelivr.com", "unpkg.com"]'),
    ],
)
def test_a_missing_view_is_explained_with_one_command(host, facts, command):
    *_, last = no_view_text(host, facts).splitlines()
    assert last.endswith(command)


def test_without_a_known_front_end_there_is_nothing_to_explain():
    assert no_view_text(HostFacts(), ModeFacts()) == ""
    assert no_view_text(HostFacts(kernel=True), ModeFacts()) == ""
