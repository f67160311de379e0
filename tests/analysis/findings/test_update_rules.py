import math

import pytest

from nbtorchviz.analysis.findings.finding import HEALTHY, UNSURE, Health
from nbtorchviz.analysis.findings.rows import usual_weight
from nbtorchviz.analysis.findings.update_rules import (
    SETTLED_AFTER,
    Ratio,
    RatioHistory,
    ratio_of,
    update_too_large,
    update_too_small,
)
from tests.analysis.findings.events import row


def ratio(usual, *, peak=None, seen=100, **fields):
    return Ratio("fc.weight", usual, usual if peak is None else peak, seen, **fields)


def history_of(ratios, rates=None):
    history = RatioHistory()
    for place, value in enumerate(ratios):
        rate = 0.1 if rates is None else rates[place]
        history.add(row("fc.weight", weight=1.0, update=value, rate=rate))
    return history


def test_too_large_by_hand():
    verdict = update_too_large(ratio(0.25, rate=0.5))
    assert verdict.claim == "Steps are too large in {who}: each changes the weights by 25 %"
    assert verdict.evidence == (
        "fc.weight: update norm / weight norm 0.25 (median of 10; about 0.001 is usual), "
        "learning rate 0.5"
    )
    assert verdict.remedy == "Try a learning rate ten times lower, 0.05."


@pytest.mark.parametrize("usual", [1e-3, 1e-2, 0.049, 1e-5])
def test_the_band_is_wide(usual):
    assert update_too_large(ratio(usual)) is HEALTHY
    assert update_too_small(ratio(usual)) is HEALTHY


def test_too_large_is_not_said_of_the_first_steps():
    assert update_too_large(ratio(0.9, seen=SETTLED_AFTER)) is UNSURE
    assert update_too_large(ratio(0.07)) is UNSURE


def test_a_weight_that_begins_at_zero_has_settled_when_it_is_judged():
    # n equal steps from zero: 1/n, 1/(n+1) ... by step 21 the median of the last ten is 1/15
    history = history_of([1 / n for n in range(1, SETTLED_AFTER + 2)])
    assert update_too_large(ratio_of("fc.weight", history)) is UNSURE
    later = history_of([1 / n for n in range(1, 40)])
    assert update_too_large(ratio_of("fc.weight", later)) is HEALTHY


def test_a_weight_far_below_the_usual_one_is_on_its_way_to_its_size():
    assert update_too_large(ratio(0.2, size=0.02)) is UNSURE
    assert update_too_large(ratio(0.2, size=0.2)).health is Health.SICK
    assert update_too_large(ratio(0.2, size=math.nan)).health is Health.SICK  # not known


def test_the_usual_weight_is_that_of_an_element():
    few, many = row("a.weight", weight=2.0, count=4), row("b.weight", weight=300.0, count=10_000)
    unknown = row("c.weight", weight=math.nan)
    assert usual_weight([few, many, row("d.weight", weight=0.0), unknown]) == 2.0
    assert math.isnan(usual_weight([unknown]))


def test_too_small_by_hand():
    verdict = update_too_small(ratio(2e-7, rate=1e-6))
    assert verdict.claim == (
        "Steps are too small in {who}: each changes the weights 5,000 times less than usual"
    )
    assert verdict.evidence.endswith("never above 2e-7, learning rate 1e-6")
    assert verdict.remedy == "Try a learning rate ten times higher, 1e-5."


def test_a_training_that_has_cooled_down_is_not_too_slow():
    assert update_too_small(ratio(1e-9, peak=1e-3)) is HEALTHY


def test_a_warm_up_is_not_too_slow():
    rising = history_of([1e-8 * n for n in range(1, 40)], rates=[1e-7 * n for n in range(1, 40)])
    assert update_too_small(ratio_of("fc.weight", rising)) is UNSURE
    steady = history_of([1e-8] * 40)
    assert update_too_small(ratio_of("fc.weight", steady)).claim.startswith("Steps are too small")
    unknown = history_of([1e-8] * 40, rates=[math.nan] * 40)
    assert update_too_small(ratio_of("fc.weight", unknown)) is UNSURE


def test_one_noisy_ratio_changes_neither_median_nor_peak():
    noisy = history_of([1e-8] * 20 + [5.0] + [1e-8] * 5)
    assert ratio_of("fc.weight", noisy).usual == ratio_of("fc.weight", noisy).peak == 1e-8
