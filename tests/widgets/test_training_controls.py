"""TrainingControls: what a view asks is done at a step, what is refused comes back in words."""

import json
import threading
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.analysis.conditions import parse_condition
from nbtorchviz.live import gate
from nbtorchviz.session.knobs import KnobValue
from nbtorchviz.widgets.controls_state import (
    LAYERS_S,
    LayerKnobs,
    dropout_of,
    layer_tree,
    settings_of,
)
from tests.news import PATIENCE_S, News
from tests.widgets.view import View


class Asking(View):
    """A view that counts its questions, as link.js does."""

    count = 0

    def ask(self, name, value=None):
        """Return what Python answers; ``""`` when it did what was asked."""
        self.count += 1
        self.say({"type": "intent", "name": name, "value": value, "n": self.count})
        (answer,) = [
            each["error"]
            for each in controls_of(self.widget)["answers"]
            if (each["view"], each["n"]) == (self.name, self.count)
        ]
        return answer


def controls_of(widget):
    state = widget._state()
    json.dumps(state, allow_nan=False)
    return state["controls"]


@pytest.fixture
def training():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Sequential(nn.Linear(4, 8), nn.ReLU()), nn.Dropout(0.3), nn.Linear(8, 2)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    session = nbv.watch(model, optimizer, every=1)
    controls = nbv.TrainingControls(session)
    end, news = threading.Event(), News()
    steps = iter(range(10**9))

    session.gate.listen(news.tell)

    def fit():
        while not end.is_set():
            optimizer.zero_grad()
            loss = model(torch.randn(3, 4)).square().mean()
            loss.backward()
            session.log(loss=float(next(steps)))
            optimizer.step()
            end.wait(0.001)
            news.tell()

    yield SimpleNamespace(
        model=model, optimizer=optimizer, session=session, controls=controls,
        view=Asking(controls), start=lambda: session.train_in_background(fit), end=end,
        until=news.until,
    )  # fmt: skip
    end.set()
    session.gate.resume()
    if session.run is not None:
        session.run.join(PATIENCE_S)
        assert not session.running
    controls.close()
    session.close()


def test_before_training_only_what_waits_for_it_can_be_asked(training):
    found = controls_of(training.controls)
    assert found["phase"] == "idle"
    assert found["title"] == "Nothing is training."
    assert found["can"]["pause"] == found["can"]["run_to"] == "nothing is training"
    assert found["can"]["break"] == found["can"]["knob"] == ""
    assert [(row["title"], row["value"], row["target"]) for row in found["settings"]] == [
        ("Learning rate", "0.05", "all"),
        ("Weight decay", "0", "all"),
        ("Momentum", "0.9", "all"),
    ]
    assert [(row["where"], row["value"]) for row in found["dropout"]] == [("1", "0.3")]


def test_pause_step_and_stop_a_background_run(training):
    run, session, view = training.start(), training.session, training.view
    training.until(lambda: session.step > 2)
    assert controls_of(training.controls)["phase"] == "running"
    asked_at = session.step
    assert view.ask("pause") == ""
    training.until(lambda: session.gate.state == "paused")
    held = session.step
    assert held <= asked_at + 2  # the step under way; one may end between the two lines above
    assert controls_of(training.controls)["title"] == f"Paused at step {held}"
    assert view.ask("step", 3) == ""
    training.until(lambda: session.step == held + 3 and session.gate.state == "paused")
    assert "whole number from 1 on" in view.ask("step", "ten")
    assert view.ask("resume") == ""
    training.until(lambda: session.step > held + 5)
    assert view.ask("stop") == ""
    run.join(PATIENCE_S)
    assert not run.running
    assert run.exception is None
    assert "was stopped after step" in controls_of(training.controls)["why"]
    assert session.faults == []


def test_a_breakpoint_from_the_view_holds_the_run_and_resume_goes_on(training):
    session, view = training.session, training.view
    assert view.ask("break", "loss >= 20") == ""
    training.start()
    training.until(lambda: session.gate.state == "paused")
    found = controls_of(training.controls)
    assert found["title"] == f"Paused at step {session.step}"
    assert found["why"] == "loss = 20 >= 20"
    (row,) = found["breakpoints"]
    assert (row["text"], row["hits"], row["true"]) == ("loss >= 20", 1, True)
    assert "paused at step" not in controls_of(training.controls)["why"]
    held = session.step
    view.ask("resume")
    training.until(lambda: session.step > held + 2)
    assert view.ask("unbreak", row["id"]) == ""
    assert controls_of(training.controls)["breakpoints"] == []
    assert session.faults == []


def test_run_to_a_step_stops_there_once(training):
    session, view = training.session, training.view
    training.start()
    training.until(lambda: session.step > 2)
    view.ask("pause")
    training.until(lambda: session.gate.state == "paused")
    goal = session.step + 7
    assert "is behind" in view.ask("run_to", session.step)
    assert view.ask("run_to", goal) == ""
    training.until(lambda: session.step == goal and session.gate.state == "paused")
    assert session.breakpoints == ()
    view.ask("resume")
    training.until(lambda: session.step > goal + 2)


def test_a_knob_is_turned_at_the_next_step_and_marked_on_the_curve(training):
    session, view = training.session, training.view
    group = training.optimizer.param_groups[0]
    assert view.ask("knob", {"knob": "lr", "target": "all", "value": " 0.01 "}) == ""
    assert controls_of(training.controls)["waiting"] == [["lr", "all", "lr 0.01"]]
    assert group["lr"] == 0.05  # nothing trains: it waits
    training.start()
    training.until(lambda: session.knob_changes)
    assert group["lr"] == 0.01
    (change,) = controls_of(training.controls)["changes"]
    assert change["text"] == "lr 0.05 → 0.01"
    assert change["step"] == 1
    mine = [flag for flag in session.metrics.flags if flag.run == session.metrics.newest_run]
    assert [(flag.step, flag.text) for flag in mine] == [(1, "lr 0.05 → 0.01")]
    assert controls_of(training.controls)["settings"][0]["value"] == "0.01"

    assert view.ask("freeze", {"layer": "0", "frozen": True}) == ""
    assert view.ask("knob", {"knob": "dropout", "target": "", "value": "0.5"}) == ""
    training.until(lambda: len(session.knob_changes) == 3)
    found = controls_of(training.controls)
    assert found["frozen"] == ["0.0"]
    assert found["dropout"][0]["value"] == "0.5"
    assert not training.model[0][0].weight.requires_grad
    assert view.ask("freeze", {"layer": "", "frozen": False}) == ""
    training.until(lambda: training.model[0][0].weight.requires_grad)
    assert session.faults == []


def test_the_first_knob_of_all_counts_at_once_if_turned_while_held(training):
    session, view = training.session, training.view
    training.start()
    training.until(lambda: session.step > 2)
    view.ask("pause")
    training.until(lambda: session.gate.state == "paused")
    held = session.step
    view.ask("knob", {"knob": "lr", "target": "all", "value": "0.01"})
    view.ask("step", 1)
    training.until(lambda: session.step == held + 1 and session.gate.state == "paused")
    assert [change.step for change in session.knob_changes] == [held]


def test_what_waits_can_be_cancelled(training):
    training.view.ask("knob", {"knob": "momentum", "target": 0, "value": "0.5"})
    assert controls_of(training.controls)["waiting"]
    assert training.view.ask("cancel") == ""
    assert controls_of(training.controls)["waiting"] == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("break", "", "Type a condition first"),
        ("break", "loss >", "is no condition"),
        ("break", "grad_norm(nobody) > 1", "No layer 'nobody'"),
        ("break", "__import__('os').getcwd() == 1", "is not accepted"),
        ("break", "x" * 1000, "at most"),
        ("knob", {"knob": "lr", "value": "fast"}, "is a number such as 0.001; got 'fast'"),
        ("knob", {"knob": "lr", "value": ""}, "got nothing"),
        ("knob", {"knob": "lr", "value": "nan"}, "is a number"),
        ("knob", {"knob": "lr", "value": "-1"}, "from 0 on"),
        ("knob", {"knob": "lr", "value": "1", "target": 7}, "No parameter group 7"),
        ("knob", {"knob": "momentum", "value": "2"}, "from 0 to 1"),
        ("knob", {"knob": "betas", "value": "0.9"}, "two numbers"),
        ("knob", {"knob": "betas", "value": "0.9, 0.99"}, "SGD has no betas"),
        ("knob", {"knob": "dropout", "value": "1.5"}, "from 0 to 1"),
        ("freeze", {"layer": "", "frozen": True}, "Choose a layer"),
        ("freeze", {"layer": "0.1", "frozen": True}, "no parameters"),
        ("run_to", "soon", "whole number"),
    ],
)
def test_what_is_refused_comes_back_in_words(training, name, value, said):
    assert said in training.view.ask(name, value)
    assert training.session.breakpoints == ()
    assert training.session.knobs_waiting == {}
    assert training.session.faults == []


def test_nonsense_is_a_fault_and_an_answer(training):
    assert "failed inside nbtorchviz" in training.view.ask("knob", {"colour": "red"})
    assert len(training.session.faults) == 1


def test_answers_belong_to_one_view_and_are_few(training):
    other = Asking(training.controls, name="view-2")
    for _ in range(30):
        training.view.ask("break", "loss >")
    assert other.ask("break", "loss > 5") == ""
    assert "already" in other.ask("break", "loss > 5")
    assert len(controls_of(training.controls)["answers"]) == 16


def test_reading_adds_no_work_to_a_step_and_asking_does(training):
    session = training.session
    controls_of(training.controls)
    assert session.recorder.hold == session._pause_only
    training.view.ask("knob", {"knob": "lr", "value": "0.01"})
    assert session.recorder.hold == session._hold


def test_traits_are_written_by_the_sender_alone(training):
    writers = set()
    training.controls.observe(lambda _: writers.add(threading.get_ident()), "state")
    training.view.ask("break", "loss > 5")
    training.session.flush()
    assert writers
    assert threading.get_ident() not in writers
    assert training.controls.state["controls"]["breakpoints"][0]["text"] == "loss > 5"


def test_a_process_group_is_a_reason_for_every_control_but_stop(training, monkeypatch):
    training.start()
    training.until(lambda: training.session.step > 2)
    monkeypatch.setattr(gate, "_in_process_group", lambda: True)
    can = controls_of(training.controls)["can"]
    assert can.pop("stop") == ""
    assert can.pop("resume") == "nothing is paused"
    assert all(reason for reason in can.values()), can
    assert "torch.distributed" in can["knob"]
    assert "torch.distributed" in training.view.ask("pause")


def test_a_dead_model_leaves_nothing_to_steer(training, monkeypatch):
    monkeypatch.setattr(type(training.session.tap), "gone", property(lambda _: True))
    found = controls_of(training.controls)
    assert found["phase"] == "gone"
    assert found["can"]["break"] == found["can"]["knob"] == "the model is gone"


def test_suggestions_are_conditions_of_this_session(training):
    training.session.log(**{"loss": 1.0, "val loss": 2.0})
    training.session.flush()
    vocabulary = training.controls.vocabulary
    assert vocabulary["layers"] == [["0", 0, 0], ["0.0", 1, 0], ["2", 0, 0]]
    texts = vocabulary["suggestions"]
    assert "isnan(loss)" in texts
    assert "grad_norm(0.0) > 100" in texts
    assert not any("grad_norm(0) " in text for text in texts)  # a block: its layers are named
    for text in texts:
        parse_condition(text)
        training.session.pause_when(text)


def test_settings_that_differ_have_a_row_each():
    def row(group, value, label=""):
        return KnobValue(knob="lr", target=label or f"group {group}", value=value, group=group)

    (same,) = settings_of([row(0, 0.1), row(1, 0.1)])
    assert (same["target"], same["where"]) == ("all", "all 2 groups")
    two = settings_of([row(0, 0.1, "head"), row(1, 0.2, "head")])
    assert [(each["target"], each["where"]) for each in two] == [(0, "head"), (1, "head")]
    many = settings_of([row(group, float(group)) for group in range(50)])
    assert len(many) == 8
    assert many[-1]["more"].startswith("42 more")
    assert settings_of([row(0, None)])[0]["value"] == ""  # on another device
    assert dropout_of([]) == []


def test_blocks_are_as_frozen_as_what_is_inside():
    rows = [KnobValue(knob="frozen", target=t, value=v) for t, v in
            (("a.x", True), ("a.y", False), ("b.z", True), ("", False))]  # fmt: skip
    assert layer_tree(rows) == [
        ["a", 0, 1], ["a.x", 1, 2], ["a.y", 1, 0], ["b", 0, 2], ["b.z", 1, 2]
    ]  # fmt: skip


def test_the_model_is_walked_rarely(training, monkeypatch):
    now, walks = [0.0], []
    read = training.session._knobs.read_layers
    monkeypatch.setattr(training.session._knobs, "read_layers", lambda: walks.append(1) or read())
    layers = LayerKnobs(training.session, clock=lambda: now[0])
    layers()
    layers()
    assert len(walks) == 1
    now[0] = LAYERS_S
    layers()
    assert len(walks) == 2


def test_summary_and_picture_hold_the_same(training):
    training.view.ask("break", "loss > 5")
    assert training.controls.summary().splitlines() == [
        "TrainingControls of Sequential: Nothing is training",
        "  breakpoint loss > 5: no hits, armed",
        "  Learning rate: 0.05",
        "  Weight decay: 0",
        "  Momentum: 0.9",
        "  Dropout p of 1: 0.3",
    ]
    picture = training.controls.snapshot()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 100_000


def test_bad_arguments_are_refused():
    with pytest.raises(TypeError, match="TrainingControls"):
        nbv.TrainingControls(3)
    model = nn.Linear(2, 2)
    with pytest.raises(TypeError, match="colour"):
        nbv.TrainingControls(model, colour="red")
    nbv.watch(model).close()


def test_closing_twice_leaves_no_listener(training):
    before = len(training.session.gate._listeners)
    other = nbv.TrainingControls(training.session)
    assert len(training.session.gate._listeners) == before + 1
    other.close()
    other.close()
    assert len(training.session.gate._listeners) == before
