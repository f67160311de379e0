"""Bytes instead of floats: codes worked by hand, the error bound for everything else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nbtorchviz.analysis.quantise import (
    dequantise,
    finite_range,
    pool,
    pool_factor,
    quantise,
    rescale,
)
from tests.examples import MANY

NAN, INF = np.nan, np.inf


def test_codes_worked_by_hand():
    planes = np.array([[[0.0, 1.0], [2.0, 252.0]], [[5.0, 5.0], [5.0, 5.0]]], np.float32)
    codes, lo, hi = quantise(planes)
    assert codes.dtype == np.uint8
    np.testing.assert_array_equal(codes, [[[0, 1], [2, 252]], [[0, 0], [0, 0]]])
    np.testing.assert_array_equal(lo, [0, 5])
    np.testing.assert_array_equal(hi, [252, 5])


def test_values_that_are_not_finite_have_codes_of_their_own():
    codes, lo, hi = quantise(np.array([[1.0, NAN, INF, -INF, 3.0], [NAN] * 5], np.float32))
    np.testing.assert_array_equal(codes, [[0, 255, 254, 253, 252], [255] * 5])
    np.testing.assert_array_equal(lo, [1, 0])
    np.testing.assert_array_equal(hi, [3, 0])
    back = dequantise(codes, lo, hi)
    np.testing.assert_array_equal(back[0], [1, NAN, INF, -INF, 3])


def test_given_scale_clips():
    codes, lo, hi = quantise(
        np.array([[-5.0, 0.0, 1.0, 9.0]], np.float32), np.array([0.0]), np.array([2.0])
    )
    np.testing.assert_array_equal(codes, [[0, 0, 126, 252]])
    assert (lo[0], hi[0]) == (0, 2)


@pytest.mark.parametrize("shape", [(0, 3, 3), (3, 0, 3), (0,)])
def test_nothing_gives_nothing(shape):
    codes, lo, _ = quantise(np.zeros(shape, np.float32))
    assert codes.shape == shape
    assert len(lo) == shape[0]


PLANES = hnp.arrays(
    st.sampled_from([np.float16, np.float32]),
    st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)),
)


@settings(max_examples=MANY, deadline=None)
@given(planes=PLANES)
def test_error_stays_below_the_promised_bound(planes):
    codes, lo, hi = quantise(planes)
    wide = planes.astype(np.float64)
    finite = np.isfinite(wide)
    np.testing.assert_array_equal(codes == 255, np.isnan(wide))
    np.testing.assert_array_equal(codes == 254, wide == INF)
    np.testing.assert_array_equal(codes == 253, wide == -INF)
    assert np.all(codes[finite] <= 252)
    span = hi.astype(np.float64) - lo
    read = (
        lo.astype(np.float64)[:, None, None] + np.minimum(codes, 252) * (span / 252)[:, None, None]
    )
    bound = np.broadcast_to((span / 504 * (1 + 1e-4))[:, None, None], wide.shape)
    slack = np.abs(wide[finite]) * 1e-7
    assert np.all(np.abs(read[finite] - wide[finite]) <= bound[finite] + slack)


@settings(max_examples=500, deadline=None)
@given(planes=PLANES)
def test_finite_range_agrees_with_numpy(planes):
    lo, hi = finite_range(planes)
    for plane, low, high in zip(planes, lo, hi, strict=True):
        values = plane[np.isfinite(plane)]
        expected = (values.min(), values.max()) if values.size else (0, 0)
        assert (low, high) == expected


def test_pooling_worked_by_hand():
    plane = np.array([[[1, 2, 3], [4, 5, 6], [7, 8, NAN]]], np.float32)
    np.testing.assert_allclose(pool(plane, 2), [[[3.0, 4.5], [7.5, NAN]]])
    np.testing.assert_array_equal(pool(plane, 1), plane)


@pytest.mark.parametrize("factor", [2, 3, 5, 9])
def test_pooling_matches_a_plain_loop(factor):
    planes = np.random.default_rng(0).normal(size=(2, 7, 8)).astype(np.float32)
    got = pool(planes, factor)
    for row in range(0, 7, factor):
        for column in range(0, 8, factor):
            block = planes[:, row : row + factor, column : column + factor]
            expected = block.mean(axis=(1, 2))
            np.testing.assert_allclose(got[:, row // factor, column // factor], expected, rtol=1e-5)


def test_pooling_factor_is_the_smallest_that_fits():
    assert pool_factor((64, 56, 56), 250_000) == 1
    assert pool_factor((64, 112, 112), 250_000) == 2
    assert pool_factor((300_000, 4, 4), 250_000) == 4  # one value a plane: pooling can do no more


def test_codes_move_to_another_scale():
    codes = np.array([0, 126, 252, 253, 254, 255], np.uint8)
    np.testing.assert_array_equal(rescale(codes, 0, 2, -2, 2), [126, 189, 252, 253, 254, 255])
    np.testing.assert_array_equal(rescale(codes, 0, 2, 0, 1), [0, 252, 252, 253, 254, 255])
    np.testing.assert_array_equal(rescale(codes, 0, 0, 0, 0), [0, 0, 0, 253, 254, 255])
