import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbtorchviz.analysis.smoothing import BLOCK, Smoother, smooth


def by_definition(steps, values, weight):
    """The sum of the module docstring, O(N^2)."""
    real = np.isfinite(values)
    weights = weight ** np.abs(steps[:, None] - steps[None, real]).astype(float)
    with np.errstate(invalid="ignore"):
        average = (weights @ values[real]) / weights.sum(axis=1)
    return np.where(real, average, np.nan)


def test_three_points_worked_by_hand():
    # s(0) = (4 + .5*2 + .25*0) / 1.75; s(1) = (2 + 2 + 0) / 2; s(2) = (1 + 1 + 0) / 1.75
    result = smooth(np.array([0, 1, 2]), np.array([4.0, 2.0, 0.0]), 0.5)
    np.testing.assert_allclose(result, [5 / 1.75, 2.0, 2 / 1.75])


def test_distance_counts_in_steps_not_in_points():
    # 3 steps apart: weight 1/8
    result = smooth(np.array([0, 3]), np.array([8.0, 0.0]), 0.5)
    np.testing.assert_allclose(result, [8 / 1.125, 1 / 1.125])


def test_a_straight_line_has_no_lag():
    steps = np.arange(201)
    middle = smooth(steps, steps.astype(float), 0.8)[100]
    assert middle == pytest.approx(100.0, abs=1e-6)


def test_nan_is_skipped_and_stays_nan():
    result = smooth(np.arange(3), np.array([2.0, np.nan, 4.0]), 0.5)
    np.testing.assert_allclose(result, [(2 + 1) / 1.25, np.nan, (4 + 0.5) / 1.25])


def test_weight_zero_changes_nothing():
    values = np.array([1.0, np.inf, 3.0])
    np.testing.assert_array_equal(smooth(np.arange(3), values, 0.0), [1.0, np.nan, 3.0])


@pytest.mark.parametrize(
    ("weight", "error"),
    [
        (1.0, ValueError),
        (-0.1, ValueError),
        (float("nan"), ValueError),
        (True, ValueError),
        ("0.9", TypeError),
    ],
)
def test_a_weight_out_of_range_is_refused(weight, error):
    with pytest.raises(error, match="smoothing must be a number from 0"):
        smooth(np.arange(3), np.zeros(3), weight)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.one_of(st.floats(-100, 100), st.just(float("nan")))),
        max_size=400,
    ),
    st.sampled_from([0.3, 0.9, 0.99]),
)
def test_equals_the_definition(rows, weight):
    steps = np.cumsum([gap for gap, _ in rows]).astype(np.int64)
    values = np.array([value for _, value in rows], dtype=float)
    expected = by_definition(steps, values, weight)
    np.testing.assert_allclose(smooth(steps, values, weight), expected, rtol=1e-8, atol=1e-9)


def test_equals_the_definition_over_many_blocks():
    random = np.random.default_rng(1)
    steps = np.cumsum(random.integers(0, 4, BLOCK * BLOCK + 100))
    values = random.normal(size=len(steps))
    expected = by_definition(steps, values, 0.95)
    np.testing.assert_allclose(smooth(steps, values, 0.95), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("weight", [0.5, 0.9, 0.999])
def test_kept_sums_give_the_same_numbers_while_the_curve_grows(weight):
    random = np.random.default_rng(2)
    steps = np.cumsum(random.integers(1, 3, 3000))
    values = random.normal(size=3000)
    values[random.random(3000) < 0.05] = np.nan
    smoother = Smoother(weight)
    for count in (BLOCK, BLOCK + 1, 500, 501, 1024, 2999, 3000):
        indices, sampled = smoother.sample(steps[:count], values[:count], 1000)
        whole = smooth(steps[:count], values[:count], weight)
        assert indices[-1] == count - 1
        np.testing.assert_allclose(sampled, whole[indices], rtol=1e-9, atol=1e-12)


def test_a_sample_is_bounded_and_within_its_window():
    smoother = Smoother(0.9)
    steps = np.arange(10_000)
    indices, _ = smoother.sample(steps, np.ones(10_000), 20, window=(2_000, 9_000))
    assert len(indices) == 20
    assert indices[0] >= 2_000
    assert indices[-1] < 9_000
