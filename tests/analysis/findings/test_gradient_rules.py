import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbtorchviz.analysis.findings.finding import HEALTHY, UNSURE, Health
from nbtorchviz.analysis.findings.gradient_rules import (
    Depth,
    first_third,
    nonfinite_gradients,
    skipped_steps,
    vanishing,
)
from tests.analysis.findings.events import row


def test_vanishing_compares_the_first_with_the_last_by_hand():
    # 0.01 / 2e-6 = 5,000
    verdict = vanishing(Depth(["conv1", "conv2", "fc"], [2e-6, 1e-4, 0.01]))
    assert verdict.claim == "Gradients vanish: conv1 gets 5,000 times less than fc"
    assert verdict.evidence == (
        "root mean square of the weight gradient per element: 2e-6 in conv1, 0.01 in fc, "
        "over 3 layers"
    )
    assert verdict.layer == "conv1"


def test_a_fall_that_healthy_models_have_is_none():
    assert vanishing(Depth(["conv1", "conv2", "fc"], [5e-5, 1e-4, 0.01])) is HEALTHY  # 200 times
    assert vanishing(Depth(["conv1", "conv2", "fc"], [2e-5, 1e-4, 0.01])) is UNSURE  # 500 times


def test_vanishing_takes_one_odd_layer_for_what_it_is():
    # thirds of six: medians of (1e-9, 0.02) and (0.01, 0.03) are 0.01 and 0.02
    layers = list("abcdef")
    assert vanishing(Depth(layers, [1e-9, 0.02, 0.02, 0.02, 0.01, 0.03])) is HEALTHY


def test_vanishing_does_not_depend_on_how_many_elements_a_layer_has():
    few, many = (
        row("a.weight", gradient=1.0, count=4),
        row("b.weight", gradient=100.0, count=40_000),
    )
    assert few.gradient_rms == pytest.approx(many.gradient_rms) == 0.5


def test_gradients_that_grow_towards_the_input_do_not_vanish():
    assert vanishing(Depth(["conv1", "conv2", "fc"], [10.0, 0.1, 1e-4])) is HEALTHY


@pytest.mark.parametrize("rms", [[1e-9, 1.0], [0.0, 0.0, 1.0], [math.nan] * 3, [math.inf] * 3, []])
def test_vanishing_says_nothing_without_a_depth(rms):
    assert vanishing(Depth([str(place) for place in range(len(rms))], rms)) is UNSURE


def with_a_head(size, ratio, fall=4_000.0):
    """Three layers; of the last one weight (against the others) and update ratio are given."""
    sizes, ratios = [1.0, 1.0, size], [1e-3, 1e-3, ratio]
    return vanishing(Depth(["0", "2", "4"], [1 / fall, 0.01, 1.0], sizes=sizes, ratios=ratios))


def test_a_head_that_grows_from_zero_passes_little_on_and_heals_by_itself():
    assert with_a_head(size=0.01, ratio=0.1) is UNSURE  # 4,000 / 100 = 40


def test_a_small_head_excuses_no_more_than_it_makes():
    assert with_a_head(size=0.02, ratio=0.01, fall=1e6).health is Health.SICK  # 1e6 / 50
    assert with_a_head(size=0.2, ratio=0.01).health is Health.SICK  # it has begun
    assert with_a_head(size=0.01, ratio=1e-5).health is Health.SICK  # it does not grow
    assert with_a_head(size=0.01, ratio=math.nan).health is Health.SICK  # not known


def test_a_small_first_layer_excuses_nothing():
    rms, sizes, ratios = [1e-5, 0.01, 1.0], [0.01, 1.0, 1.0], [0.1, 1e-3, 1e-3]
    depth = Depth(["0", "2", "4"], rms, sizes=sizes, ratios=ratios)
    assert vanishing(depth).health is Health.SICK


def fallen(first, last, faintest):
    return vanishing(Depth(["1", "2", "3"], [first, first, last]), faintest=faintest)


def test_a_head_that_has_learnt_all_it_can_is_no_recovery_of_the_first_layers():
    assert fallen(1e-5, 1e-3, faintest=1e-5) is UNSURE  # the fall is 100, by the last layer alone
    assert fallen(2.9e-5, 1e-3, faintest=1e-5) is UNSURE
    assert fallen(3.1e-5, 1e-3, faintest=1e-5) is HEALTHY
    assert fallen(1e-5, 1e-3, faintest=math.inf) is HEALTHY  # they never vanished


def test_the_first_third_is_judged_by_its_median():
    assert first_third(Depth(list("abcdefghi"), [3.0, 1.0, 2.0, *[9.0] * 6])) == 2.0
    assert first_third(Depth(list("abc"), [0.0, 4.0, 8.0])) == 4.0  # zeros are not known
    assert math.isnan(first_third(Depth([], [])))


def test_vanishing_names_the_remedy_for_squashing_layers():
    depth = Depth(["1", "2", "3"], [1e-8, 1e-4, 1.0], saturating=True)
    assert "nn.ReLU" in vanishing(depth).remedy


@given(st.lists(st.floats(1e-12, 1e3), min_size=3, max_size=30), st.integers(-20, 20))
def test_vanishing_is_the_same_for_a_scaled_loss(rms, power):
    layers = [str(place) for place in range(len(rms))]
    scaled = [value * 2.0**power for value in rms]
    assert vanishing(Depth(layers, rms)).claim == vanishing(Depth(layers, scaled)).claim


def test_nonfinite_gradients_name_the_parameter_nearest_to_the_loss():
    rows = [row("conv.weight"), row("fc1.weight", nonfinite=3), row("fc2.weight", nonfinite=1)]
    verdict = nonfinite_gradients(rows)
    assert verdict.claim == "Gradients are NaN or infinite in 2 parameters of 3"
    assert verdict.evidence == "fc1.weight and fc2.weight; nearest to the loss is fc2.weight"
    assert verdict.layer == "fc2"


def test_an_infinite_norm_is_a_nonfinite_gradient_and_a_missing_one_is_not():
    assert nonfinite_gradients([row("a.weight", gradient=math.inf)]).health is Health.SICK
    missing = row("a.weight", gradient=math.nan)
    assert nonfinite_gradients([missing]) is UNSURE
    assert nonfinite_gradients([missing, row("b.weight")]) is HEALTHY


def test_a_skipped_step_speaks_for_a_scaler_that_never_gets_through():
    assert skipped_steps(skipped=True).health is Health.SICK
    assert skipped_steps(skipped=False) is HEALTHY
