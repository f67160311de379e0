import math
import threading

import numpy as np
import pytest

from nbtorchviz.analysis.conditions import ConditionError
from nbtorchviz.errors import LayerNotFoundError, RunRefusedError
from nbtorchviz.events import (
    LayerStatisticsCaptured,
    ParameterStatisticsCaptured,
    ScalarLogged,
    Statistics,
)
from nbtorchviz.live.gate import PauseGate
from nbtorchviz.session.breakpoints import Breakpoints, Needs
from nbtorchviz.session.facts import SessionFacts
from nbtorchviz.session.metrics import MetricHistory

LAYERS = ("input", "conv1", "relu", "relu#1", "block", "block.conv")


class Run:
    """A training whose numbers a test sets."""

    def __init__(self, **options):
        self.steps, self.epoch, self.rate, self.faults, self.found = 0, None, None, [], []
        self.metrics = MetricHistory()
        self.facts = SessionFacts(
            self.metrics,
            step=lambda: self.steps,
            epoch=lambda: self.epoch,
            rate=lambda: self.rate,
            layers=lambda: LAYERS,
            find=self.find,
            findings=lambda: self.found,
        )
        fail = lambda where, error: self.faults.append((where, str(error)))  # noqa: E731
        self.breakpoints = Breakpoints(self.facts, fail=fail, **options)
        self.pauses = 0

    def find(self, layer):
        if layer not in LAYERS:
            raise LayerNotFoundError(layer, LAYERS)
        return layer

    def pause(self):
        self.pauses += 1

    def step(self, pause=None, phase="train", **metrics):
        self.steps += 1
        for name, value in metrics.items():
            run = self.metrics.newest_run
            event = ScalarLogged(name=name, value=value, step=self.steps, phase=phase, run=run)
            self.metrics.add(event)
        return [hit.text for hit in self.breakpoints.at_boundary(pause or self.pause)]


def parameters(states=(), **norms):
    """Norms by field; conv1 has two parameters and block.conv one."""
    names = ("conv1.weight", "conv1.bias", "block.conv.weight")
    arrays = {name: np.array(values, np.float32) for name, values in norms.items()}
    arrays.setdefault("gradient_norms", np.full(3, np.nan, np.float32))
    return ParameterStatisticsCaptured(parameters=names, states=states, **arrays)


def test_a_breakpoint_pauses_when_its_condition_becomes_true_and_says_why():
    run = Run()
    point = run.breakpoints.add("loss > 5")
    assert [run.step(loss=value) for value in (1, 7.5, 8, 2, 6)] == [
        [],
        ["paused at step 2: loss = 7.5 > 5"],
        [],
        [],
        ["paused at step 5: loss = 6 > 5"],
    ]
    assert (point.hits, run.pauses, point.last.step) == (2, 2, 5)


def test_a_nan_ends_a_stretch_of_truth_and_an_unknown_fact_does_not():
    run = Run()
    run.breakpoints.add("loss > 5")
    told = [run.step(loss=7.0), run.step(loss=math.nan), run.step(loss=7.0), run.step()]
    assert [bool(each) for each in told] == [True, False, True, False]


def test_what_is_waited_for_is_said():
    run = Run()
    point = run.breakpoints.add("los > 5 and grad_norm(conv*) > 1 and step() > 0")
    assert point.state == "armed"
    run.step(loss=7.0)
    assert point.state == "waiting for los, grad_norm(conv*)"
    assert repr(point) == (
        "<Breakpoint 1: los > 5 and grad_norm(conv*) > 1 and step() > 0, 0 hits, "
        "waiting for los, grad_norm(conv*)>"
    )


def test_states_in_words():
    run = Run()
    point = run.breakpoints.add("loss > 5")
    run.step(loss=7.0)
    assert point.state == "true since step 1"
    run.step(loss=1.0)
    assert point.state == "armed"
    point.remove()
    assert point.state == "removed"


def test_two_that_rise_at_once_pause_once():
    run = Run()
    run.breakpoints.add("loss > 5")
    run.breakpoints.add("step() >= 1", once=True)
    assert run.step(loss=6.0) == [
        "paused at step 1: loss = 6 > 5",
        "paused at step 1: step() = 1 >= 1",
    ]
    assert run.pauses == 1
    assert [point.text for point in run.breakpoints.all] == ["loss > 5"]


def test_a_removed_breakpoint_is_silent_and_costs_nothing():
    run = Run()
    first, second = run.breakpoints.add("step() > 0"), run.breakpoints.add("step() > 1")
    assert (first.id, second.id) == (1, 2)
    assert run.breakpoints.remove(1)
    assert not run.breakpoints.remove(1)
    assert run.step() == []
    run.breakpoints.clear()
    assert len(run.breakpoints) == 0
    assert run.step() == []


def test_a_pause_that_is_refused_is_said_and_training_goes_on():
    run = Run()
    point = run.breakpoints.add("step() == 1")

    def refuse():
        raise RunRefusedError("This host is one-way.")

    assert run.step(refuse) == [
        "not paused at step 1 although step() = 1 == 1. This host is one-way."
    ]
    assert point.last.refused == "This host is one-way."


def test_the_gate_holds_after_a_hit():
    run, gate = Run(), PauseGate()
    run.breakpoints.add("step() == 2")
    run.step(gate.pause)
    assert gate.state == "running"
    run.step(gate.pause)
    assert gate.state == "pausing"


def test_a_condition_that_raises_is_disabled_and_the_others_go_on():
    run = Run()
    bad = run.breakpoints.add(lambda facts: 1 / 0)
    run.breakpoints.add("step() == 1")
    assert len(run.step()) == 1
    assert bad.state == "disabled: ZeroDivisionError: division by zero"
    assert run.faults == [("breakpoint 'your function', disabled now", "division by zero")]
    run.step()
    assert len(run.faults) == 1


def test_an_interrupt_in_a_condition_reaches_the_loop():
    run = Run()

    def interrupted(facts):
        raise KeyboardInterrupt

    run.breakpoints.add(interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.step()


def test_a_function_of_the_facts_pauses_too():
    run = Run()

    def too_high(facts):
        return facts.metric("loss") > 5 and facts.step > 1 and facts.layers == LAYERS

    point = run.breakpoints.add(too_high)
    assert [run.step(), run.step(loss=4.0), run.step(loss=6.0)] == [
        [],
        [],
        ["paused at step 3: too_high() is true (loss = 6)"],
    ]
    assert point.needs == Needs(metrics=frozenset({"loss"}))


def test_a_text_that_a_function_returns_is_the_reason():
    run = Run()
    run.breakpoints.add(lambda facts: "it is Tuesday" if facts.step == 2 else "")
    assert [run.step(), run.step()] == [[], ["paused at step 2: it is Tuesday"]]


def test_what_a_function_asks_for_is_needed_from_then_on():
    run = Run()
    run.breakpoints.add(
        lambda facts: facts.grad_norm("conv1") > 1 or facts.finding("dead_relu") or math.nan
    )
    assert run.breakpoints.needs == Needs()
    assert run.step() == []
    needs = run.breakpoints.needs
    assert needs.statistics == {("grad_norm", "conv1")}
    assert needs.rules == {"dead_relu"}


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda facts: facts.layer("mean", "conv*"), "takes one layer, got the pattern 'conv"),
        (lambda facts: facts.grad_norm(0) > 1, 'write "0", got 0'),
        (lambda facts: facts.finding("dead_relu", 0), 'write "0", got 0'),
        (lambda facts: facts.layer("median", "conv1"), "no statistic 'median'. Accepted: grad"),
        (lambda facts: facts.grad_norm("conv9"), "No layer 'conv9'. Nearest: 'conv1'"),
    ],
)
def test_a_function_that_asks_for_what_does_not_exist_is_told_so(ask, message):
    run = Run()
    run.step()
    run.breakpoints.add(ask)
    run.facts.observe(parameters(gradient_norms=[1, 1, 1]))
    run.step()
    assert message in run.faults[0][1]


@pytest.mark.parametrize(
    ("condition", "error", "message"),
    [
        ("grad_norm(convv1) > 1", LayerNotFoundError, "No layer 'convv1'. Nearest: 'conv1'"),
        ("grad_norm(onv*) > 1", ConditionError, r"No layer matches 'onv\*'. '\*onv\*' matches 2"),
        ("grad_norm(q*) > 1", ConditionError, "None is alike. .6 layers"),
        ("finding(dead_relu, conv9)", LayerNotFoundError, "No layer 'conv9'"),
        ("not finding(dead_relu, conv9.weight)", LayerNotFoundError, "conv9"),
        ("max(input) > 5", ConditionError, "no statistics are taken of the model's input"),
        ("finding(dead_rel)", ConditionError, "no finding 'dead_rel'. Nearest: 'dead_relu'"),
        ("loss >", ConditionError, "no condition"),
        (5, TypeError, "got int"),
        (lambda: True, TypeError, "takes one argument, the facts"),
    ],
)
def test_a_wrong_condition_is_refused_at_once(condition, error, message):
    run = Run(rules=("dead_relu", "no_gradient"))
    with pytest.raises(error, match=message):
        run.breakpoints.add(condition)
    assert len(run.breakpoints) == 0


def test_needs_tell_what_has_to_be_recorded():
    run = Run()
    run.breakpoints.add("loss > 2 * best(val_loss)")
    assert run.breakpoints.needs.metrics == {"loss", "val_loss"}
    assert not run.breakpoints.needs.activations
    assert not run.breakpoints.needs.parameters
    mean = run.breakpoints.add("mean(conv*) > 3 and step() > 3")
    assert (mean.needs.activations, mean.needs.parameters) == (True, False)
    weights = run.breakpoints.add("weight_norm() > 3")
    assert (weights.needs.activations, weights.needs.parameters) == (False, True)
    ratio = run.breakpoints.add("update_ratio(conv1) > 3")
    assert (ratio.needs.updates, ratio.needs.gradients) == (True, False)
    gradient = run.breakpoints.add("grad_norm(conv1) > 3")
    assert (gradient.needs.gradients, gradient.needs.parameters) == (True, True)
    finding = run.breakpoints.add("finding(dead_relu)")
    assert finding.needs.findings
    together = run.breakpoints.needs
    assert together.updates
    assert together.rules == {"dead_relu"}
    run.breakpoints.clear()
    assert run.breakpoints.needs == Needs()


def test_breakpoints_are_added_and_removed_by_any_thread():
    run = Run()
    threads = [
        threading.Thread(target=lambda: [run.breakpoints.add("loss > 5") for _ in range(10)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        run.step(loss=1.0)
    assert sorted(point.id for point in run.breakpoints.all) == list(range(1, 81))
    for _ in range(20):
        run.breakpoints.add("loss > 5")
    with pytest.raises(ConditionError, match="There are 100 breakpoints already"):
        run.breakpoints.add("loss > 5")


def test_statistics_are_read_again_only_when_they_are_new(monkeypatch):
    run, asked = Run(), []
    run.breakpoints.add("grad_norm(*) > 100")
    run.breakpoints.add("grad_norm(conv1) > 1 and step() > 2")
    whole = run.facts.layer_statistic
    note = lambda name, layer: asked.append(layer) or whole(name, layer)  # noqa: E731
    monkeypatch.setattr(run.facts, "layer_statistic", note)
    run.facts.observe(parameters(gradient_norms=[3, 4, 12]))
    run.step()
    assert asked == list(LAYERS)
    del asked[:]
    assert [run.step(), len(run.step())] == [[], 1]  # the step is new each time
    assert asked == ["conv1", "conv1"]
    run.facts.observe(parameters(gradient_norms=[300, 400, 12]))
    assert run.step() == ["paused at step 4: grad_norm(conv1) = 500 > 100"]


def test_previous_is_right_however_seldom_it_is_asked():
    run = Run()
    for value in (5.0, 4.0, 3.0):
        run.step(loss=value)
    assert run.facts.previous("loss") == 4.0
    run.step(loss=2.0)
    assert [run.facts.previous("loss"), run.facts.previous("loss")] == [3.0, 3.0]
    run.step()
    assert run.facts.previous("loss") == 3.0
    run.step(loss=1.0)
    run.step(loss=0.5)
    assert run.facts.previous("loss") == 1.0
    run.steps = 0  # the loop is started again
    run.step(loss=9.0)
    assert run.facts.previous("loss") is None
    run.step(loss=8.0)
    assert run.facts.previous("loss") == 9.0


def test_best_and_previous_are_those_of_the_metric():
    run = Run()
    run.step(loss=3.0, accuracy=0.5)
    assert run.facts.previous("loss") is None
    run.step(loss=2.0, accuracy=0.75)
    run.step(loss=4.0, accuracy=0.25)
    facts = run.facts
    assert [facts.metric("loss"), facts.best("loss"), facts.previous("loss")] == [4, 2, 2]
    assert (facts.best("accuracy"), facts.best("gone"), facts.metric("gone")) == (0.75, None, None)


def test_an_evaluated_metric_is_found_by_its_usual_name():
    run = Run()
    run.step(loss=3.0, phase="eval")
    assert run.facts.metric("val_loss") == 3.0
    assert run.facts.metric("loss") is None


def test_norms_of_a_layer_are_joined_from_its_parameters():
    run = Run()
    assert run.facts.layer_statistic("grad_norm", "conv1") is None
    run.facts.observe(
        parameters(
            gradient_norms=[3, 4, 12],
            norms=[6, 8, 24],
            update_norms=[0.6, 0.8, np.nan],
            states=("", "", ""),
        )
    )
    statistic = run.facts.layer_statistic
    assert [statistic("grad_norm", layer) for layer in ("conv1", "block", "")] == [5, 12, 13]
    assert [statistic("weight_norm", layer) for layer in ("conv1", "block.conv", "")] == [
        10,
        24,
        26,
    ]
    assert statistic("update_ratio", "conv1") == pytest.approx(0.1)
    assert statistic("update_ratio", "block") is None


def test_an_update_that_was_not_measured_again_stays_known():
    run = Run()
    run.facts.observe(parameters(norms=[1, 1, 1], update_norms=[0.5, 0, 0]))
    run.facts.observe(parameters(norms=[1, 1, 1], update_norms=[np.nan] * 3))
    run.facts.observe(parameters(norms=[1, 1, 1]))
    assert run.facts.layer_statistic("update_ratio", "block") == 0
    assert run.facts.layer_statistic("update_ratio", "conv1") == pytest.approx(0.5 / 2**0.5)


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({"states": ("", "unused", "frozen")}, 3),
        ({"nonfinite": [0, 0, 0]}, 3),
        ({}, 3),
    ],
)
def test_a_missing_gradient_is_no_nan(extra, expected):
    run = Run()
    run.facts.observe(parameters(gradient_norms=[3, np.nan, np.nan], **extra))
    assert run.facts.layer_statistic("grad_norm", "conv1") == expected
    assert run.facts.layer_statistic("grad_norm", "block") is None


@pytest.mark.parametrize("extra", [{"states": ("", "", "")}, {"nonfinite": [0, 7, 0]}])
def test_a_gradient_that_is_nan_is_nan(extra):
    run = Run()
    run.facts.observe(parameters(gradient_norms=[3, np.nan, 1], **extra))
    assert math.isnan(run.facts.layer_statistic("grad_norm", "conv1"))
    assert run.facts.layer_statistic("grad_norm", "block") == 1


def test_activations_are_those_of_the_call():
    run = Run()
    first = Statistics(count=4, sampled=4, mean=1.0, std=2.0, minimum=-3.0, maximum=4.0)
    second = Statistics(count=4, sampled=4, zero_share=0.5, nan=2)
    run.facts.observe(
        LayerStatisticsCaptured(
            layers=("relu", "relu#1"),
            statistics=(first, second),
            gradient_norms=np.array([0.25, np.nan], np.float32),
        )
    )
    statistic = run.facts.layer_statistic
    names = ("mean", "std", "min", "max", "zero_share", "nan_count")
    assert [statistic(name, "relu") for name in names] == [1, 2, -3, 4, None, 0]
    assert [statistic(name, "relu#1") for name in names] == [None] * 4 + [0.5, 2]
    assert statistic("grad_norm", "relu") == 0.25  # has no parameters
    assert statistic("grad_norm", "relu#1") is None


def test_a_finding_that_is_taken_back_is_gone():
    run = Run()
    run.breakpoints.add("finding(dead_relu, relu)")
    told = []
    for run.found in ([("dead_relu", "relu")], [], [("dead_relu", "relu")]):
        run.facts.observe(parameters())
        told.append(run.step())
    why = "finding dead_relu at relu"
    assert told == [[f"paused at step 1: {why}"], [], [f"paused at step 3: {why}"]]


def test_a_model_that_is_one_layer_has_its_parameters_under_output():
    run = Run()
    run.facts._find = lambda layer: layer
    event = ParameterStatisticsCaptured(
        parameters=("weight", "bias"), gradient_norms=np.array([3, 4], np.float32)
    )
    run.facts.observe(event)
    assert run.facts.layer_statistic("grad_norm", "output") == 5
