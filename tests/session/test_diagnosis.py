"""A session says what is wrong, pauses where asked, and changes what it is told to."""

import math
import threading
import time

import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.errors import LayerNotFoundError, StopTraining
from nbtorchviz.events import FindingRaised, ParameterStatisticsCaptured
from tests.capture.desk import hook_count


@pytest.fixture
def sick():
    """Two hidden ReLU layers of which the first is dead."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    with torch.no_grad():
        model[0].bias.fill_(-100.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    session = nbv.watch(model, optimizer, every=1)
    nbv.ActivationBrowser(session, layer="1")
    yield model, optimizer, session
    session.close()


def train(model, optimizer, session, steps, loss=None):
    for _ in range(steps):
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(model(torch.randn(16, 4)), torch.zeros(16).long())
        value.backward()
        optimizer.step()
        session.log(loss=value.item() if loss is None else loss)


def test_an_illness_is_named_flagged_and_published(sick):
    model, optimizer, session = sick
    told = []
    session.bus.subscribe(FindingRaised, told.append, inline=True)
    assert session.findings() == ()
    train(model, optimizer, session, 30)
    found = session.findings()
    assert "1" in {layer for finding in found for layer in (finding.layer, *finding.layers)}
    assert told
    assert told[0].active
    assert any(flag.kind == "finding" for flag in session.metrics.flags)
    assert session.faults == []


def test_a_loss_of_nan_is_found_as_soon_as_anybody_asks(sick):
    model, optimizer, session = sick
    told = []
    session.bus.subscribe(FindingRaised, lambda event: told.append(event.rule), inline=True)
    train(model, optimizer, session, 3)
    train(model, optimizer, session, 2, loss=math.nan)
    assert "nonfinite_loss" not in told  # logged numbers are judged once a second
    assert "nonfinite_loss" in {finding.rule for finding in session.findings()}
    assert told.count("nonfinite_loss") == 1


def test_the_last_numbers_of_a_short_run_are_judged_at_its_end(sick):
    model, optimizer, session = sick
    with session.live():
        train(model, optimizer, session, 3, loss=math.nan)
    assert "nonfinite_loss" in {finding.rule for finding in session.diagnosis.findings}


def test_a_breakpoint_on_the_loss_is_true_at_the_end_of_the_next_step(sick):
    model, optimizer, session = sick
    added = session.pause_when("finding(nonfinite_*)")
    train(model, optimizer, session, 3)
    assert added.hits == 0
    train(model, optimizer, session, 3, loss=math.nan)
    assert added.last.step == 6  # two in a row are an illness, logged after steps 4 and 5
    assert added.last.refused  # nobody here could resume


def test_history_of_the_statistics_is_kept(sick):
    model, optimizer, session = sick
    train(model, optimizer, session, 5)
    history = session.statistics.layers()
    assert history.rows == ("0", "1", "2", "3", "4")
    assert history.steps.tolist() == [1, 2, 3, 4, 5]
    assert session.statistics.parameters().rows[0] == "0.weight"
    steps, found = session.statistics.histograms("2.weight", "parameter")
    assert len(steps) == len(found) == 5


def test_a_breakpoint_pauses_at_its_step(sick):
    model, optimizer, session = sick
    added = session.pause_when("step() >= 4", unattended=True)

    def body():
        train(model, optimizer, session, 10)

    held = threading.Event()
    session.gate.listen(lambda state: held.set() if state == "paused" else None)
    run = session.train_in_background(body)
    assert held.wait(90)
    assert session.step == 4
    assert added.hits == 1
    assert "paused at step 4" in session.diagnosis.last_hit.text
    run.resume()
    run.join()
    assert session.step == 10  # not held again while it stays true


def test_a_breakpoint_alone_makes_the_session_look():
    model = nn.Sequential(nn.Linear(2, 2))
    session = nbv.watch(model)
    session.pause_when("grad_norm(0) > 1e9")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    deadline = time.monotonic() + 90
    while session.statistics.parameters() is None:
        assert time.monotonic() < deadline
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
    session.close()


def test_a_layer_that_does_not_exist_is_refused(sick):
    _, _, session = sick
    with pytest.raises(LayerNotFoundError):
        session.pause_when("grad_norm(conv9) > 1")


def test_knobs_turn_between_two_steps_and_are_marked(sick):
    model, optimizer, session = sick
    train(model, optimizer, session, 2)
    session.knobs.set(lr=0.5)
    assert optimizer.param_groups[0]["lr"] == 0.01
    train(model, optimizer, session, 1)
    assert optimizer.param_groups[0]["lr"] == 0.5
    session.knobs.freeze("2")
    train(model, optimizer, session, 2)
    assert not model[2].weight.requires_grad
    texts = [flag.text for flag in session.metrics.flags]
    assert sum("0.01 → 0.5" in text for text in texts) == 1
    assert any("2" in text and "fr" in text for text in texts)
    states = session.statistics.parameters().states
    assert states[session.statistics.parameters().rows.index("2.weight"), -1] == "frozen"


def test_a_stop_reaches_the_loop_though_a_breakpoint_fails(sick):
    model, optimizer, session = sick

    def broken(facts):
        raise RuntimeError("broken on purpose")

    added = session.pause_when(broken)
    train(model, optimizer, session, 2)
    assert added.fault
    session.line.gate._stopping = True
    with pytest.raises(StopTraining):
        train(model, optimizer, session, 1)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_model_that_was_in_eval_mode_from_the_start_is_named(frozen):
    """A frozen normalisation is left in eval mode on purpose."""
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)).eval()
    model[1].requires_grad_(not frozen)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    session = nbv.watch(model, optimizer, every=1)
    inspector = nbv.GradientInspector(session)
    ticks = []
    session.bus.subscribe(
        ParameterStatisticsCaptured, lambda event: ticks.append(event.phase), inline=True
    )
    deadline = time.monotonic() + 90
    while len(ticks) < 4:
        assert time.monotonic() < deadline
        train(model, optimizer, session, 1)
    assert set(ticks) == {"eval"}
    layers = [finding.layer for finding in session.findings() if finding.rule == "eval_mode"]
    assert layers == ([] if frozen else ["1"])
    assert ("Training in eval mode: 1" in inspector.summary()) is not frozen
    session.close()


def test_a_model_left_in_eval_mode_is_named():
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    session = nbv.watch(model, optimizer)
    browser = nbv.ActivationBrowser(session)
    browser._on_message(None, {"type": "ready", "view": "v", "visible": True}, [])
    train(model, optimizer, session, 3)
    assert not session.recorder.learns_in_eval()
    model.eval()
    deadline = time.monotonic() + 90
    while not any(finding.rule == "eval_mode" for finding in session.findings()):
        assert time.monotonic() < deadline
        train(model, optimizer, session, 1)
    session.close()


def test_a_breakpoint_outlives_the_last_widget_and_leaves_no_hook_behind():
    model = nn.Sequential(nn.Linear(2, 2))
    session = nbv.watch(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    browser = nbv.ActivationBrowser(session)
    added = session.pause_when("grad_norm(0) > 1e9")
    browser.close()

    def step():
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()

    step()
    assert session.statistics.parameters().steps.tolist() == [1]
    added.remove()
    step()
    assert hook_count(model) == 0
    assert session.faults == []
    session.close()


def trained(model, session):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    model(torch.randn(8, 3)).square().mean().backward()
    optimizer.step()
    session.flush()


def test_no_findings_for_want_of_a_widget_are_not_taken_for_health(recwarn):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    session = nbv.watch(model)
    assert session.findings() == ()  # before training: nothing to say
    assert not recwarn.list
    trained(model, session)
    with pytest.warns(UserWarning, match="statistics are taken once a widget is displayed"):
        assert session.findings() == ()
    nbv.watch(model, every=1)
    trained(model, session)
    assert session.findings() == ()
    session.close()
    assert not recwarn.list


def test_every_nth_step_is_read_without_any_widget():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    session = nbv.watch(model, every=2)
    for _ in range(4):
        trained(model, session)
    assert session.statistics.parameters().steps.tolist() == [2, 4]
    assert session.statistics.layers().steps.tolist() == [2, 4]
    inspector = nbv.GradientInspector(session)
    inspector.close()  # the last widget takes nothing with it
    trained(model, session)
    trained(model, session)
    assert session.statistics.parameters().steps.tolist() == [2, 4, 6]
    session.close()
    assert hook_count(model) == 0


class Taught(nn.Module):
    """Learns from a teacher inside it that is in eval mode and gets no gradient."""

    def __init__(self, affine):
        super().__init__()
        self.teacher = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, affine=affine))
        self.student = nn.Linear(3, 4)
        self.head = nn.Linear(4, 1)

    def forward(self, x):
        with torch.no_grad():
            wanted = self.teacher(x)
        return self.head(self.student(x)) + (self.student(x) - wanted).square().mean()


@pytest.mark.parametrize("affine", [True, False])
def test_a_teacher_in_eval_mode_is_no_finding(affine):
    torch.manual_seed(0)
    model = Taught(affine)
    session = nbv.watch(model, every=1)
    optimizer = torch.optim.SGD(model.student.parameters(), lr=0.01)
    for _ in range(20):
        model.train()
        model.teacher.eval()
        optimizer.zero_grad()
        model(torch.randn(8, 3)).square().mean().backward()
        optimizer.step()
    assert "eval_mode" not in {finding.rule for finding in session.findings()}
    session.close()
