"""Axis marks and short numbers."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbtorchviz.analysis.ticks import (
    bar_labels,
    log_ticks,
    nice_ticks,
    percent,
    short,
    tick_labels,
)


def test_marks_worked_by_hand():
    assert nice_ticks(0, 2.3) == [0, 0.5, 1, 1.5, 2]
    assert nice_ticks(0, 468) == [0, 100, 200, 300, 400]
    assert nice_ticks(3, 3) == [3]
    assert log_ticks(1, 1000) == [1, 10, 100, 1000]
    assert log_ticks(1, 3) == [1, 2]
    assert log_ticks(0, 3) == []
    assert len(log_ticks(1e-8, 1e8)) <= 6


def test_one_axis_has_one_format():
    assert tick_labels([0.5, 1.0, 1.5]) == ["0.5", "1.0", "1.5"]
    assert tick_labels([0, 100, 200]) == ["0", "100", "200"]
    assert tick_labels([-0.5, 0.0, 0.5]) == ["−0.5", "0.0", "0.5"]
    assert tick_labels([0, 1e6, 2e6]) == ["0", "1e6", "2e6"]
    assert tick_labels([0.9, 0.925, 0.95]) == ["0.900", "0.925", "0.950"]


def test_colour_bar_has_five_marks_from_end_to_end():
    marks, labels = bar_labels(0, 2.22)
    assert marks == pytest.approx([0, 0.555, 1.11, 1.665, 2.22])
    assert labels == ["0.00", "0.56", "1.11", "1.67", "2.22"]
    assert bar_labels(3, 3) == ([3], ["3.00"])


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.224, "2.22"), (0, "0"), (123.4, "123"), (1.2e5, "1.2e5"), (-5.2, "−5.20"), (0.06, "0.06"),
     (3.3e-4, "3.3e−4"), (math.nan, "NaN"), (math.inf, "+Inf"), (-math.inf, "−Inf"), (None, "–")],
)  # fmt: skip
def test_numbers_are_short(value, text):
    assert short(value) == text


FINITE = st.floats(-1e300, 1e300)


@settings(max_examples=1000, deadline=None)
@given(a=FINITE, b=FINITE, count=st.integers(1, 12))
def test_marks_lie_inside_and_are_few_and_rising(a, b, count):
    lo, hi = min(a, b), max(a, b)
    marks = nice_ticks(lo, hi, count)
    slack = (hi - lo) * 1e-6
    assert all(lo - slack <= mark <= hi + slack for mark in marks)
    assert len(marks) <= 2 * count + 2
    assert marks == sorted(marks)
    assert len(tick_labels(marks)) == len(marks)
    assert len(bar_labels(lo, hi)[1]) in (1, 5)


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [
        (0.8546, 0, "85 %"),
        (1.0, 0, "100 %"),
        (0.0, 1, "0.0 %"),
        (782 / 784, 0, "99.7 %"),
        (0.9996, 0, "> 99.9 %"),
        (0.004, 0, "0.4 %"),
        (0.0004, 1, "< 0.1 %"),
        (0.9996, 1, "> 99.9 %"),
        (0.956, 1, "95.6 %"),
        (math.nan, 1, "–"),
    ],
)
def test_a_share_is_never_rounded_to_a_lie(share, digits, text):
    assert percent(share, digits) == text
