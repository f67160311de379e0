import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbtorchviz.analysis.decimation import BLOCK, Blocks, decimate

numbers = st.one_of(
    st.floats(-1e6, 1e6), st.just(float("nan")), st.just(float("inf")), st.just(float("-inf"))
)


def test_every_column_keeps_its_smallest_and_its_largest_value():
    steps = np.arange(12)
    values = np.array([5, 1, 9, 4, 4, 4, 0, 2, 8, 3, 7, 6], dtype=float)
    # three columns of four steps: extremes 1, 9 | 0, 4 (first of the fours) | 3, 8
    assert decimate(steps, values, columns=3).tolist() == [0, 1, 2, 4, 6, 8, 9, 11]


def test_a_short_curve_is_drawn_as_it_is():
    assert decimate(np.arange(6), np.zeros(6), columns=2).tolist() == [0, 1, 2, 3, 4, 5]


def test_one_spike_in_a_million_survives():
    values = np.zeros(10**6)
    values[654_321] = 7.0
    blocks = Blocks()
    blocks.extend(values)
    chosen = decimate(np.arange(10**6), values, columns=700, blocks=blocks)
    assert 654_321 in chosen
    assert len(chosen) <= 1402


def test_values_that_are_not_finite_are_never_chosen_inside():
    values = np.array([1.0, np.nan, np.inf, 2.0, -np.inf, np.nan, 3.0, 4.0, 5.0])
    chosen = decimate(np.arange(9), values, columns=2)
    assert np.isfinite(values[chosen]).all()


def test_a_window_gives_indices_of_the_whole_curve():
    values = np.sin(np.arange(1000) / 7)
    chosen = decimate(np.arange(1000), values, columns=10, window=(300, 600))
    assert chosen[0] == 300
    assert chosen[-1] == 599
    assert len(chosen) <= 22


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), numbers), min_size=1, max_size=700),
    st.integers(1, 12),
    st.booleans(),
)
def test_extremes_first_and_last_survive_with_and_without_kept_blocks(rows, columns, ragged):
    steps = np.cumsum([gap if ragged else 1 for gap, _ in rows])
    values = np.array([value for _, value in rows])
    blocks = Blocks()
    blocks.extend(values[: len(values) // 2])  # grown in two parts
    blocks.extend(values)
    chosen = decimate(steps, values, columns=columns, blocks=blocks)
    np.testing.assert_array_equal(chosen, decimate(steps, values, columns=columns))
    assert len(chosen) <= 2 * columns + 2
    assert chosen[0] == 0
    assert chosen[-1] == len(values) - 1
    if len(values) <= 2 * columns + 2:
        return
    marks = np.linspace(steps[0], steps[-1], columns + 1)[1:-1]
    for part in np.split(np.arange(len(values)), np.searchsorted(steps, marks)):
        finite = part[np.isfinite(values[part])]
        if len(finite):
            kept = values[np.intersect1d(chosen, part)]
            assert values[finite].min() in kept
            assert values[finite].max() in kept


@pytest.mark.parametrize("count", [0, 1, BLOCK - 1, BLOCK, 5 * BLOCK + 3])
def test_blocks_point_at_the_extremes_of_every_64_values(count):
    values = np.random.default_rng(0).normal(size=count)
    blocks = Blocks()
    blocks.extend(values)
    rows = values[: count // BLOCK * BLOCK].reshape(-1, BLOCK)
    np.testing.assert_array_equal(values[blocks.low_at], rows.min(axis=1))
    np.testing.assert_array_equal(values[blocks.high_at], rows.max(axis=1))
