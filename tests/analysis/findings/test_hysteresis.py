"""No rule speaks or falls silent because of one odd sample."""

import math
from dataclasses import replace

import pytest

from nbtorchviz.analysis.findings.catalogue import RULES
from nbtorchviz.events import ModelAttached
from tests.analysis.findings.events import (
    MODEL,
    PARAMETERS,
    forward,
    frame,
    listening,
    logged,
    observe,
    stepped,
)

LEAP = {key: {"gradient": 10000.0} for key in ("conv_weight", "hidden_weight", "fc_weight")}
TWIN = {"weight": 5.0, "gradient": 0.7}
SATURATED = {"mean": 0.0, "std": 0.99}

# rule -> (layer, an observation that shows health, one that shows the illness)
CASES = {
    "exploding_gradients": ("conv", stepped, lambda s: stepped(s, **LEAP)),
    "nonfinite_loss": ("", lambda s: logged(s, 1.0), lambda s: logged(s, math.nan)),
    "nonfinite_gradients": ("fc", stepped, lambda s: stepped(s, fc_bias={"nonfinite": 3})),
    "skipped_steps": ("", stepped, lambda s: stepped(s, event={"skipped": True})),
    "diverging_loss": ("", lambda s: logged(s, 1.0), lambda s: logged(s, 9.0)),
    "dead_relu": ("relu", forward, lambda s: forward(s, relu={"zero_share": 1.0})),
    "constant_output": ("fc", forward, lambda s: forward(s, spreads={"fc": 0.0})),
    "vanishing_gradients": ("conv", stepped, lambda s: stepped(s, conv_weight={"gradient": 1e-6})),
    "eval_mode": ("bn", forward, lambda s: forward(s, off=["bn"])),
    "no_optimizer": ("fc.bias", stepped, lambda s: stepped(s, fc_bias={"state": "no optimizer"})),
    "zero_gradient": ("hidden", stepped, lambda s: stepped(s, hidden_weight={"gradient": 0.0})),
    "no_update": ("hidden", stepped, lambda s: stepped(s, hidden_weight={"update": 0.0})),
    "saturated": ("tanh", forward, lambda s: forward(s, tanh=SATURATED)),
    "almost_dead_relu": ("relu", forward, lambda s: forward(s, relu={"zero_share": 0.985})),
    "saturated_states": ("rnn", forward, lambda s: forward(s, rnn=SATURATED)),
    "update_too_large": ("fc", stepped, lambda s: stepped(s, fc_weight={"update": 9.0})),
    "dead_channels": ("relu", lambda s: frame(s, [0]), lambda s: frame(s, range(7))),
    "duplicated_layer": ("fc", stepped, lambda s: stepped(s, hidden_weight=TWIN, fc_weight=TWIN)),
    "repeated_layer": ("relu2", forward, lambda s: forward(s, relu=ALIKE, relu2=ALIKE)),
}
ALIKE = {"mean": 0.2, "minimum": 0.0, "maximum": 3.0, "std": 0.5, "zero_share": 0.5}


def test_a_loss_that_fell_without_end_and_is_back_has_diverged_instead():
    findings = listening()
    values = [1.0] * 40 + [-1e9] * 20 + [1.0] * 40
    changes = observe(findings, [logged(step, value) for step, value in enumerate(values, 1)])
    assert [(c.rule, c.active) for c in changes] == [
        ("bottomless_loss", True),
        ("bottomless_loss", False),
        ("diverging_loss", True),
    ]


@pytest.mark.parametrize("rule", CASES)
def test_raised_once_when_it_held_and_taken_back_once_when_health_held(rule):
    layer, well, ill = CASES[rule]
    findings = listening()
    steps = iter(range(1, 10_000))

    def see(observation, times):
        return observe(findings, [observation(next(steps)) for _ in range(times)])

    assert see(well, 40) + see(ill, 1) + see(well, 60) == []  # one odd sample raises nothing

    raised = see(ill, 60)
    assert [(c.rule, c.layer, c.active) for c in raised] == [(rule, layer, True)]
    assert [(f.rule, f.layer) for f in findings.active] == [(rule, layer)]

    assert see(well, 1) + see(ill, 10) == []  # one healthy sample takes nothing back
    assert findings.active[0].since_step == raised[0].since_step

    gone = see(well, 120)
    assert [(c.rule, c.layer, c.active) for c in gone] == [(rule, layer, False)]
    assert findings.active == ()


def test_what_is_dead_in_a_vector_is_a_neuron():
    findings = listening()
    dead = [replace(frame(step, range(7)), axes=("F",)) for step in range(60)]
    (raised,) = observe(findings, dead)
    assert raised.title.startswith("Dead neurons: 7 of 8 in relu")


def test_update_too_small_needs_a_layer_that_never_moved():
    findings = listening(called=False)
    names = ("conv_weight", "hidden_weight", "fc_weight", "bn_weight")

    def slow(step):
        return stepped(step, **{name: {"update": 1e-7} for name in names})

    assert observe(findings, map(slow, range(30))) == []
    (raised,) = observe(findings, map(slow, range(30, 60)))
    assert raised.rule == "update_too_small"
    assert raised.severity == "hint"
    one_quick = {"fc_weight": {"update": 0.1}}
    assert observe(findings, [stepped(60, **one_quick), *map(slow, range(61, 70))]) == []
    (gone,) = observe(findings, map(stepped, range(70, 90)))
    assert not gone.active
    assert observe(findings, map(slow, range(90, 190))) == []  # it has moved: this is cooling down


def test_gradients_that_are_all_zero_are_a_hint_until_one_is_not():
    findings = listening(called=False)
    zero = {name.replace(".", "_"): {"gradient": 0.0, "update": 0.0} for name in PARAMETERS}
    assert observe(findings, [stepped(step, **zero) for step in range(14)]) == []
    (raised,) = observe(findings, [stepped(14, **zero)])
    assert (raised.rule, raised.layer, raised.severity) == ("zero_gradients", "", "hint")
    assert raised.title == "Every gradient is exactly zero (steps 0-14)"
    biases = {name: change for name, change in zero.items() if name.endswith("weight")}
    (gone,) = observe(findings, [stepped(15, **biases)])
    assert (gone.rule, gone.active) == ("zero_gradients", False)
    (weights,) = observe(findings, [stepped(step, **biases) for step in range(16, 40)])
    assert weights.title.startswith("The gradient of the weights is exactly zero in the whole mod")


UNUSED = {"state": "unused", "gradient": math.nan}


def without_gradient(*steps, **rows):
    return [stepped(step, **(rows or {"fc_bias": UNUSED})) for step in range(*steps)]


def test_no_gradient_is_said_of_what_never_had_one():
    findings = listening(called=False)
    (raised,) = observe(findings, without_gradient(30))
    assert (raised.rule, raised.layer, raised.severity) == ("no_gradient", "fc.bias", "problem")
    (gone,) = observe(findings, [stepped(30)])  # one gradient, and it is true no longer
    assert not gone.active
    assert observe(findings, without_gradient(31, 120)) == []


def test_what_had_a_gradient_once_is_a_hint_after_a_hundred_readings_without():
    findings = listening()
    assert observe(findings, [stepped(73), *without_gradient(74, 173)]) == []
    (raised,) = observe(findings, without_gradient(173, 200))
    assert (raised.rule, raised.severity) == ("gradient_stopped", "hint")
    assert raised.title == (
        "No gradient reached fc.bias in the last 100 readings, though one did before (step 173)"
    )
    assert raised.evidence == "Step 173: fc.bias last got a gradient at step 73."
    (gone,) = observe(findings, [stepped(200), *without_gradient(201, 300)])
    assert not gone.active


def test_where_gradients_come_and_go_one_that_never_came_is_waited_for():
    findings = listening(called=False)
    routed = [
        stepped(step, fc_bias=UNUSED, **{f"{'conv' if step % 2 else 'hidden'}_weight": UNUSED})
        for step in range(200)
    ]
    assert observe(findings, routed[:100]) == []
    (raised,) = observe(findings, routed[100:])
    assert (raised.rule, raised.layer) == ("no_gradient", "fc.bias")


def test_no_step_is_told_after_more_forwards_than_are_accumulated_and_ends_with_the_first_step():
    def still(count):
        return replace(forward(0), forward=count, still=True)

    findings = listening(called=False)
    assert observe(findings, map(still, range(2, 67))) == []
    (raised,) = observe(findings, map(still, range(67, 80)))
    assert (raised.rule, raised.layer, raised.last_step) == ("no_step", "", 0)
    (gone,) = observe(findings, [forward(1)])
    assert not gone.active


def test_every_rule_has_its_case():
    alone = {"update_too_small", "no_gradient", "gradient_stopped", "no_step", "zero_gradients"}
    alone.add("bottomless_loss")
    assert {*CASES, *alone} == set(RULES)


def test_samples_between_the_thresholds_neither_raise_nor_clear():
    findings = listening()
    ill = stepped(1, conv_weight={"gradient": 1e-6})
    between = stepped(1, conv_weight={"gradient": 2e-3})  # 500 times less
    assert observe(findings, [between] * 100) == []
    assert len(observe(findings, [ill, between] * 10)) == 1
    assert observe(findings, [between] * 100) == []
    assert len(findings.active) == 1


def test_a_layer_that_is_gone_takes_its_finding_along():
    findings = listening()
    dead = [forward(s, relu={"zero_share": 1.0}) for s in range(10)]
    assert len(observe(findings, dead)) == 1
    renamed = [layer for layer in MODEL.layers if layer.key != "relu"]
    observe(findings, [ModelAttached(model="Net", parameters=1, layers=tuple(renamed))])
    other = forward(99)
    without = type(other)(
        step=99,
        layers=tuple(key for key in other.layers if key != "relu"),
        statistics=tuple(
            s for key, s in zip(other.layers, other.statistics, strict=True) if key != "relu"
        ),
    )
    (gone,) = observe(findings, [without] * 60)
    assert not gone.active


DEAD = {"zero_share": 1.0}


def told_at(steps, well=()):
    """Steps at which a ReLU was seen dead, or well; return when it was told."""
    findings = listening()
    told = []
    for step in sorted({*steps, *well}):
        seen = forward(step, relu=DEAD) if step in steps else forward(step)
        told += [(c.rule, step, c.since_step) for c in observe(findings, [seen]) if c.active]
    return told


def test_a_dead_relu_that_is_seen_seldom_is_told_after_four_looks_far_apart():
    assert told_at(range(500, 5000, 100)) == [("dead_relu", 800, 500)]
    assert told_at(range(500, 5000, 34)) == [("dead_relu", 602, 500)]


def test_looks_at_steps_close_together_need_ten():
    assert told_at(range(500, 520)) == [("dead_relu", 509, 500)]
    assert told_at(range(500, 509)) == []


@pytest.mark.parametrize(
    ("dead", "well"),
    [
        ([500, 530, 560, 590], [620, 650]),  # silent for ninety steps, then back
        ([500, 600, 700], [800]),
        ([500, 600, 700, 900, 1000, 1100], [800, 1200]),  # alive between
    ],
)
def test_a_relu_that_comes_back_is_never_told_dead(dead, well):
    assert told_at(dead, well) == []
