"""Outputs, twins, modes and losses."""

import math
import random
from dataclasses import replace

import pytest

from nbtorchviz.analysis.findings.finding import HEALTHY, UNSURE, Health
from nbtorchviz.analysis.findings.loss_rules import (
    LossHistory,
    bottomless_loss,
    diverging_loss,
    is_loss,
    may_rise,
    nonfinite_loss,
)
from nbtorchviz.analysis.findings.mode_rules import Mode, eval_mode
from nbtorchviz.analysis.findings.output_rules import Spread, constant_output
from nbtorchviz.analysis.findings.twin_rules import Call, twin_calls, twin_weights
from nbtorchviz.events import Statistics
from tests.analysis.findings.events import row


def test_constant_output_names_where_it_begins():
    spreads = [Spread("input", 0.4, 1.0), Spread("conv", 0.2, 1.0), Spread("fc1", 0.0, 0.3)]
    spreads.append(Spread("fc2", 1e-8, 0.5))
    verdict = constant_output(spreads)
    assert verdict.claim == (
        "The output does not depend on the input: fc2 is the same for every sample"
    )
    assert verdict.evidence == (
        "largest standard deviation over the batch 1e-8 at values up to 0.5; "
        "fc1 is the first layer that is constant"
    )
    assert verdict.layer == "fc1"


def test_an_output_of_zeros_is_constant():
    spreads = [Spread("input", 0.4, 1.0), Spread("fc", 0.0, 0.0)]
    assert constant_output(spreads).layer == "fc"


def test_outputs_that_differ_are_healthy_also_where_a_layer_inside_is_constant():
    position = Spread("position", 0.0, 1.0)  # a table of positions is the same for every sample
    assert constant_output([Spread("input", 1.0, 1.0), position, Spread("fc", 0.1, 1.0)]) is HEALTHY
    assert constant_output([Spread("input", 1.0, 1.0), Spread("fc", 1e-5, 1.0)]) is UNSURE


def test_a_batch_of_equal_samples_says_nothing():
    assert constant_output([Spread("input", 0.0, 1.0), Spread("fc", 0.0, 1.0)]) is UNSURE


@pytest.mark.parametrize("spread", [math.nan, math.inf])
def test_an_unknown_spread_says_nothing_of_constancy(spread):
    spreads = [Spread("input", 1.0, 1.0), Spread("fc", spread, 1.0)]
    assert constant_output(spreads).health is not Health.SICK
    assert constant_output([]) is UNSURE


def test_twin_weights_need_equal_weights_and_equal_gradients():
    first = row("a.weight", weight=2.0, gradient=0.5)
    twin = replace(first, name="b.weight")
    verdict = twin_weights([first, twin, row("c.weight")])["b"]
    assert verdict.claim == "Equal weights and equal gradients: {who} stays a copy of a"
    assert verdict.evidence == "a.weight and b.weight both have norm 2 and gradient norm 0.5"
    assert twin_weights([first, replace(twin, gradient=0.50001)]) == {}
    assert twin_weights([first, replace(twin, weight=2.00001)]) == {}


@pytest.mark.parametrize(
    "change", [{"gradient": 0.0}, {"gradient": math.nan}, {"weight": 0.0}, {"count": 4}]
)
def test_empty_numbers_make_no_twins(change):
    first = row("a.weight", **{"weight": 2.0} | change)
    assert twin_weights([first, replace(first, name="b.weight")]) == {}


NUMBERS = Statistics(
    count=640, sampled=640, minimum=0.0, maximum=3.0, mean=0.4, std=0.6, zero_share=0.5
)


def test_a_relu_after_a_relu_changes_nothing():
    found = twin_calls([Call("relu", "ReLU", NUMBERS), Call("again", "ReLU", NUMBERS)])
    assert found["again"].claim == "{who} changes nothing: relu right before it has done the same"
    assert found["again"].remedy == "Leave again out."


@pytest.mark.parametrize("kind", ["Dropout", "Identity", "Flatten", "MaxPool2d", "Linear", "Tanh"])
def test_equal_numbers_of_other_layers_are_usual(kind):
    assert twin_calls([Call("a", kind, NUMBERS), Call("b", kind, NUMBERS)]) == {}


def test_relus_with_something_between_or_other_numbers_are_no_twins():
    first, other = Call("a", "ReLU", NUMBERS), Call("b", "ReLU", replace(NUMBERS, mean=0.41))
    assert twin_calls([first, other]) == {}
    assert twin_calls([first, Call("conv", "Conv2d", NUMBERS), Call("b", "ReLU", NUMBERS)]) == {}
    zeros = replace(NUMBERS, std=0.0, maximum=0.0, mean=0.0, zero_share=1.0)
    assert twin_calls([Call("a", "ReLU", zeros), Call("b", "ReLU", zeros)]) == {}


def test_eval_mode_is_an_illness_only_where_something_is_learned():
    assert eval_mode(Mode(training=False, learning=True)).health is Health.SICK
    assert eval_mode(Mode(training=False, learning=False)) is UNSURE
    assert eval_mode(Mode(training=True, learning=True)) is HEALTHY
    assert eval_mode(Mode(training=False, learning=True, frozen=True)) is HEALTHY


def losses(*values):
    history = LossHistory()
    for value in values:
        history.add(value)
    return history


def test_a_loss_that_is_no_number():
    assert nonfinite_loss("loss", math.nan).claim == "The loss is NaN"
    assert nonfinite_loss("train/nll", -math.inf).claim == "The train/nll (a loss) is infinite"
    assert nonfinite_loss("loss", 1e30) is HEALTHY


def test_diverging_by_hand():
    verdict = diverging_loss("loss", losses(2.0, 2.0, 2.0, *[7.0] * 10))
    assert verdict.claim == "The loss diverges: it is 3.5 times what it was at first"
    assert verdict.evidence == "medians of 10 values: 2 at first, 2 at best, 7 now"


def test_a_loss_that_falls_back_by_hand():
    verdict = diverging_loss("loss", losses(*[2.3] * 3, *[0.3] * 10, *[2.2] * 10))
    assert verdict.claim == "The loss has fallen back to where it began"


def test_a_loss_that_rises_a_little_from_a_low_level_is_healthy():
    # 0.01 to 0.5 is fifty times, and still most of what was gained
    assert diverging_loss("loss", losses(*[2.3] * 3, *[0.01] * 10, *[0.5] * 10)) is HEALTHY
    assert diverging_loss("loss", losses(*[2.3] * 10)) is HEALTHY
    assert diverging_loss("loss", losses(2.3, 9.0)) is UNSURE


def test_a_loss_below_zero_diverges_by_what_it_lost():
    falling = losses(*[-1.0] * 3, *[-5.0] * 10)
    assert diverging_loss("loss", falling) is HEALTHY
    assert diverging_loss("loss", losses(*[-1.0] * 3, *[9.0] * 10)).health is Health.SICK


@pytest.mark.parametrize("seed", range(20))
def test_a_loss_of_both_signs_that_only_scatters_is_no_divergence(seed):
    source = random.Random(seed)
    history = losses()
    for step in range(600):  # as that of a policy with a baseline
        history.add(source.gauss(0.05, 1.0 if step < 300 else 0.6))
        assert diverging_loss("loss", history).health is not Health.SICK


def test_a_loss_of_both_signs_that_fell_far_and_came_back_is_told():
    source = random.Random(0)
    levels = [1.4] * 10 + [-3.0] * 20 + [1.4] * 20
    history = losses(*(level + source.gauss(0, 0.1) for level in levels))
    assert "fallen back" in diverging_loss("loss", history).claim


def test_a_loss_without_least_value_by_hand():
    verdict = bottomless_loss("loss", losses(*[2.3] * 3, *[-40_000.0] * 10))
    assert verdict.claim == "The loss falls without end: it is -40,000"
    assert verdict.evidence == "medians of 10 values: 2.3 at first, -40,000 now"
    assert bottomless_loss("loss", losses(*[2.3] * 3, *[-5_000.0] * 10)) is UNSURE
    assert bottomless_loss("loss", losses(*[2.3] * 3, *[-900.0] * 10)) is HEALTHY
    assert bottomless_loss("loss", losses(2.3, -1e9)) is UNSURE


def test_a_likelihood_of_many_pixels_may_be_far_below_zero():
    assert bottomless_loss("nll", losses(*[4e3] * 3, *[-9e3] * 10)) is HEALTHY
    assert bottomless_loss("loss", losses(*[0.0, 600.0] * 5, *[-9e3] * 10)) is HEALTHY  # scatters


@pytest.mark.parametrize("name", ["loss", "loss/train", "val_loss", "box_loss", "NLL", "Loss"])
def test_names_of_losses(name):
    assert is_loss(name)


@pytest.mark.parametrize(
    "name",
    [
        *("accuracy", "lr", "reward", "glossary", "bleu"),
        "loss_scale",
        "loss_weight",
        "cost_per_hour",
    ],
)
def test_names_of_other_metrics(name):
    assert not is_loss(name)


@pytest.mark.parametrize(
    "name",
    [*("val_loss", "loss/test", "g_loss", "loss_D", "policy_loss"), "dev_loss", "reg_loss"],
)
def test_losses_that_may_rise(name):
    assert may_rise(name, "train")
    assert not may_rise("loss", "train")
    assert may_rise("loss", "eval")
