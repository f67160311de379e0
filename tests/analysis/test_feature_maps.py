"""What a captured sample looks like in the browser."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nbtorchviz.analysis.feature_maps import (
    ChannelStatistics,
    channel_order,
    channel_statistics,
    describe,
)
from nbtorchviz.analysis.packets import pack, unpack
from tests.examples import MANY

NAN = np.nan
CHW, HWC, TD = ("C", "H", "W"), ("H", "W", "C"), ("T", "D")


def ramp(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_channels_keep_their_pixels_in_either_order():
    planes = ramp(3, 4, 5)
    first = describe(planes, CHW)
    last = describe(np.moveaxis(planes, 0, -1), HWC)
    np.testing.assert_array_equal(first.planes, planes)
    np.testing.assert_array_equal(last.planes, planes)
    assert (first.view, first.total, first.range, first.signed) == ("maps", 3, (0, 59), False)


def test_tokens_become_maps_on_the_patch_grid():
    tokens = ramp(197, 2)
    shown = describe(tokens, TD, image_hw=(224, 224))
    assert shown.planes.shape == (2, 14, 14)
    assert shown.planes[1, 0, 1] == tokens[2, 1]  # class token first, then row by row
    assert shown.grid == (14, 14)
    assert shown.notes == ("196 tokens as a 14×14 patch grid; 1 class token left out",)


def test_tokens_without_an_image_stay_a_matrix():
    shown = describe(ramp(196, 8), TD)
    assert (shown.view, shown.planes.shape) == ("matrix", (1, 196, 8))
    assert (shown.rows, shown.columns) == ("token", "feature")


def test_states_are_no_tokens_of_an_image():
    shown = describe(ramp(4, 8), TD, image_hw=(28, 28), words=("state", "feature"))
    assert (shown.view, shown.rows, shown.grid) == ("matrix", "state", None)


def test_signal_of_channels_is_a_matrix():
    shown = describe(ramp(32, 100), ("C", "L"))
    assert (shown.view, shown.planes.shape, shown.rows) == ("matrix", (1, 32, 100), "channel")


def test_volume_shows_one_slice_and_the_range_of_all():
    shown = describe(ramp(2, 3, 4, 5), ("C", "D", "H", "W"), slice_index=9)
    assert shown.slice == (2, 3, "depth")
    np.testing.assert_array_equal(shown.planes, ramp(2, 3, 4, 5)[:, 2])
    assert shown.range == (0, 119)


def test_features_are_a_strip_and_a_number_is_a_scalar():
    strip = describe(ramp(10), ("F",))
    assert (strip.view, strip.total, strip.planes.shape) == ("strip", 10, (1, 1, 10))
    np.testing.assert_array_equal(strip.arrays()["values"], np.arange(10))
    scalar = describe(np.float32(3.5), ())
    assert (scalar.view, scalar.arrays()["values"].tolist()) == ("scalar", [3.5])


def test_more_axes_than_can_be_named_are_flattened():
    assert describe(ramp(2, 2, 2, 2, 2), ("F",)).total == 32


def test_empty_output_is_said():
    shown = describe(np.zeros((0, 3), np.float32), TD)
    assert (shown.view, shown.notes, shown.range) == ("none", ("empty (0, 3)",), None)
    unpack(pack(shown.header(), shown.arrays()))


def test_wrong_axes_are_refused():
    with pytest.raises(ValueError, match="do not have the axes"):
        describe(ramp(2, 3), CHW)


def test_page_holds_the_chosen_channel_within_the_limit():
    shown = describe(ramp(10, 4, 5), CHW, channel=7, limit=60)
    assert (shown.first, len(shown.planes), shown.total) == (6, 3, 10)
    np.testing.assert_array_equal(shown.planes, ramp(10, 4, 5)[6:9])
    assert shown.range == (0, 199)
    assert shown.notes == ("channels 6 to 8 of 10",)


def test_one_plane_above_the_limit_is_pooled_and_says_so():
    shown = describe(np.ones((2, 10, 10), np.float32), CHW, limit=30)
    assert shown.planes.shape == (1, 5, 5)
    assert (shown.pooled, shown.total) == (2, 2)
    assert "each pixel shows the mean of 2×2" in shown.notes


def test_long_strip_is_paged():
    shown = describe(ramp(120_000), ("F",), channel=60_000)
    assert (shown.first, shown.planes.size, shown.total) == (50_000, 50_000, 120_000)


def test_half_precision_is_accepted():
    shown = describe(np.array([[[1, 2], [3, 65504]]], np.float16), CHW)
    assert shown.planes.dtype == np.float32
    assert shown.range == (1, 65504)


def test_channel_numbers_worked_by_hand():
    got = channel_statistics(np.array([[[0, 2], [4, 6]], [[NAN, np.inf], [0, 3]]], np.float32))
    np.testing.assert_allclose(got.mean, [3, 1.5])
    np.testing.assert_allclose(got.std, [np.sqrt(5), 1.5], rtol=1e-6)
    np.testing.assert_allclose(got.zero, [0.25, 0.25])
    np.testing.assert_array_equal(got.nonfinite, [0, 2])


@settings(max_examples=MANY, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)),
        elements=st.floats(-1e6, 1e6, width=32) | st.sampled_from([NAN, np.inf, -np.inf, 0.0]),
    )
)
def test_channel_numbers_agree_with_numpy(planes):
    got = channel_statistics(planes)
    for index, plane in enumerate(planes.astype(np.float64)):
        finite = plane[np.isfinite(plane)]
        assert got.nonfinite[index] == plane.size - finite.size
        assert got.zero[index] == pytest.approx((plane == 0).mean())
        if finite.size:
            scale = max(1e-30, np.abs(finite).max())
            assert got.mean[index] / scale == pytest.approx(finite.mean() / scale, abs=1e-6)
            assert got.std[index] / scale == pytest.approx(finite.std() / scale, abs=1e-6)
        else:
            assert np.isnan(got.mean[index])


def test_orders_are_stable_and_put_missing_means_last():
    zeros = np.zeros(4, np.float32)
    numbers = ChannelStatistics(
        np.array([1, NAN, 3, 1], np.float32), zeros, np.array([0, 0.5, 0, 1], np.float32), zeros
    )
    assert channel_order(numbers).tolist() == [0, 1, 2, 3]
    assert channel_order(numbers, "mean").tolist() == [2, 0, 3, 1]
    assert channel_order(numbers, "zero").tolist() == [3, 1, 0, 2]
    with pytest.raises(ValueError, match="order must be one of"):
        channel_order(numbers, "name")


def test_packet_survives_nan_and_names_quiet_channels():
    planes = ramp(3, 2, 2)
    planes[0], planes[1] = 0, NAN
    shown = describe(planes, CHW)
    assert shown.quiet() == [0]
    header, arrays = unpack(pack(shown.header(), shown.arrays()))
    assert header["range"] == [0, 11]
    assert arrays["planes"][1].tolist() == [[255, 255], [255, 255]]
    nothing = describe(np.full((2, 2, 2), NAN, np.float32), CHW)
    assert nothing.header()["range"] is None
    assert nothing.quiet() == []


def test_channels_are_pooled_before_they_are_paged():
    values = np.arange(8 * 56 * 56, dtype=np.float32).reshape(8, 56, 56)
    together = describe(values, ("C", "H", "W"), limit=8 * 28 * 28)
    assert together.planes.shape == (8, 28, 28)
    assert together.notes == ("each pixel shows the mean of 2×2",)
    paged = describe(values[:, :16, :16], ("C", "H", "W"), limit=4 * 16 * 16)
    assert paged.planes.shape == (4, 16, 16)  # coarser than 14 pixels says too little
