"""Tables of statistics: sequences of objects that are made only when they are asked for."""

import math

import numpy as np
import pytest

from nbtorchviz.analysis.many_statistics import summarise_many
from nbtorchviz.measure_tables import enumerate_odd, lines_of

SAMPLES = [np.float32([1, 3]), np.float32([0, math.nan]), np.float32([-2, 2])]


def test_rows_are_chosen_with_what_is_odd_about_them_and_minus_one_is_none():
    statistics, histograms = summarise_many(SAMPLES, [20, 2, 2])
    chosen = statistics.select(np.array([1, -1, 0]))
    assert (chosen[0].nan, chosen[1], chosen[2].mean, chosen[2].count) == (1, None, 2.0, 20)
    assert chosen[0] == statistics[1]
    assert list(statistics.first(2)) == [statistics[0], statistics[1]]
    lines = histograms.select(np.array([1, -1, 0]))
    assert (lines[0].nan, lines[0].zeros, lines[1], lines[2].count) == (1, 1, None, 2)


def test_lines_of_objects_are_those_of_the_table():
    _, histograms = summarise_many(SAMPLES, [20, 2, 2])
    chosen = histograms.select(np.array([2, -1, 1]))
    assert np.array_equal(lines_of(tuple(chosen)), lines_of(chosen))
    assert lines_of(chosen)[1].sum() == 0


@pytest.mark.parametrize("kind", [tuple, lambda table: table])
def test_what_is_not_finite_is_found_in_order(kind):
    samples = [*SAMPLES, np.float32([math.inf])]
    statistics, _ = summarise_many(samples, [20, 2, 2, 1])
    odd = [(at, row.nan) for at, row in enumerate_odd(kind(statistics)) if row.nan or row.posinf]
    assert odd == [(1, 1), (3, 0)]
    assert statistics.nonfinite().tolist() == [0, 1, 0, 1]
