"""Contours: where a line goes, and that lines are closed."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nbtorchviz.analysis.contours import contour


def test_a_diamond_around_one_high_value():
    found = contour(np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], np.float32), 0.5)
    points = {tuple(point) for segment in found.tolist() for point in segment}
    assert points == {(1, 1.5), (1.5, 1), (1.5, 2), (2, 1.5)}
    assert len(found) == 4


def test_a_line_lies_where_the_value_between_two_centres_is_the_level():
    found = contour(np.array([[0, 4], [0, 4]], np.float32), 1.0)
    assert {point[0] for segment in found.tolist() for point in segment if point[0] < 1} == {0.75}


@given(arrays(np.float32, (4, 5), elements=st.integers(0, 3).map(float)))
def test_lines_are_closed(field):
    ends = Counter(
        tuple(np.round(point, 6)) for segment in contour(field, 1.5) for point in segment.tolist()
    )
    assert all(count % 2 == 0 for count in ends.values())


def test_nan_and_a_level_above_everything_have_no_line():
    assert len(contour(np.array([[np.nan, 0]], np.float32), 0.5)) == 0
    assert len(contour(np.ones((3, 3), np.float32), 2.0)) == 0
