"""The small pictures beside the layers of the tree."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nbtorchviz.widgets.thumbnails import ROW_SIDE, TILE_SIDE, _shrink


@given(width=st.integers(1, 5_000), side=st.sampled_from([ROW_SIDE, TILE_SIDE]))
def test_no_pixel_of_a_strip_is_without_a_value(width, side):
    strip = np.arange(width, dtype=np.float32)[None, None]
    small = _shrink(strip, side)
    assert max(small.shape[1:]) <= side
    assert np.isfinite(small).all()
    flat = small.reshape(-1)
    assert (np.diff(flat) > 0).all()  # in the order of the values
    assert 0 <= flat[0] <= flat[-1] <= width - 1


def test_a_strip_is_averaged_run_by_run():
    small = _shrink(np.arange(1568, dtype=np.float32)[None, None], ROW_SIDE)
    assert small.shape == (1, 20, 20)  # 400 runs of three or four values
    assert small[0, 0, :4].tolist() == [1.0, 4.5, 8.5, 12.5]
    assert small[0, -1, -1] == (1564 + 1565 + 1566 + 1567) / 4


@given(at=st.integers(0, 1567))
def test_what_is_not_finite_stays_visible(at):
    strip = np.zeros((1, 1, 1568), np.float32)
    strip[0, 0, at] = np.nan
    assert np.isnan(_shrink(strip, ROW_SIDE)).sum() == 1
