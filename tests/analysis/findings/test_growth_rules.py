import math
from dataclasses import replace

from nbtorchviz.analysis.findings.finding import HEALTHY, UNSURE, Health
from nbtorchviz.analysis.findings.growth_rules import (
    AT_ONCE,
    MEMORY,
    Growth,
    NormHistory,
    exploding,
    growth_of,
    leapt,
)
from tests.analysis.findings.events import row


def growth(norm, *, usual=1.0, start=2.0, weights=10.0, seen=50):
    return Growth(norm, usual, start, weights, seen, largest="rnn.weight_hh_l0")


def test_a_leap_is_a_hundred_times_the_median():
    assert leapt(growth(100.0))
    assert not leapt(growth(99.0))


def test_a_hard_batch_near_convergence_is_no_leap():
    # 1e-4 is usual by now; the batch brings the norm back to what it was at the start
    assert not leapt(growth(0.5, usual=1e-4, start=2.0, weights=0.1))
    assert leapt(growth(6.0, usual=1e-4, start=2.0, weights=0.1))  # three times the start


def test_leaving_a_plateau_is_no_leap():
    assert not leapt(growth(1.0, usual=1e-6, start=1e-6, weights=10.0))


def test_one_leap_is_noise_and_two_are_an_explosion():
    assert exploding(growth(3_100.0), leaps=1) is UNSURE
    verdict = exploding(growth(3_100.0), leaps=2)
    assert verdict.claim == "Gradients explode: their norm leaps to 3,100 times its usual"
    assert verdict.evidence == (
        "norm 3,100 against a median of 1 before; the largest part is in rnn.weight_hh_l0"
    )
    assert verdict.layer == "rnn"


def test_explosion_is_over_when_no_leap_is_remembered():
    assert exploding(growth(1.0), leaps=1) is UNSURE
    assert exploding(growth(1.0), leaps=0) is HEALTHY
    history = NormHistory()
    history.add(growth(500.0))
    assert sum(history.leaps) == 1
    for _ in range(MEMORY):
        history.add(growth(1.0))
    assert sum(history.leaps) == 0


def test_a_leap_that_ends_in_infinity_is_an_explosion():
    history = NormHistory()
    history.add(leap := growth(490.0))
    history.add(broken := replace(growth(math.inf), finite=False))
    assert history.leap == leap
    verdict = exploding(broken, leaps=1, before=history.leap)
    assert verdict.claim == (
        "Gradients explode: their norm leaps to 490 times its usual, then beyond all numbers"
    )
    for _ in range(AT_ONCE):
        history.add(growth(1.0))
    assert history.leap is None
    assert exploding(broken, leaps=1, before=None) is UNSURE  # nonfinite_gradients tells


def test_growth_by_hand():
    history = NormHistory()
    for norm in (1.0, 2.0, 9.0):
        history.add(growth(norm, seen=0))
    rows = [row("a.weight", gradient=3.0, weight=6.0), row("b.weight", gradient=4.0, weight=8.0)]
    rows.append(row("c.weight", gradient=math.nan, weight=math.nan))
    assert growth_of(history, rows) == Growth(5.0, 2.0, 9.0, 10.0, 3, "b.weight")


def test_without_a_past_or_a_number_there_is_no_explosion():
    assert not leapt(growth(1e9, seen=4))
    assert not leapt(growth(math.nan))
    assert exploding(growth(math.nan), leaps=5) is UNSURE
    assert math.isnan(growth_of(NormHistory(), []).norm)


def test_healthy_twin():
    assert exploding(growth(29.0), leaps=0).health is Health.HEALTHY
