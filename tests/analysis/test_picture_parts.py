"""Numbers behind the parts of a static picture, worked by hand."""

import numpy as np
import pytest

from nbtorchviz.analysis.drawing import Picture
from nbtorchviz.analysis.picture_parts import Painting, _count, draw_input, fit_factor, shrink


def test_scale_of_signed_values_reaches_equally_far_to_both_sides():
    assert Painting("diverging", True, None).limits(-1, 3) == (-3, 3)
    assert Painting("viridis", False, None).limits(1, 3) == (1, 3)
    assert Painting("viridis", False, (0, 9)).limits(1, 3) == (0, 9)
    codes = np.array([0, 126, 252], np.uint8)
    moved = Painting("diverging", True, None).codes(codes, 0, 3)
    np.testing.assert_array_equal(moved, [126, 189, 252])


def test_zeros_leave_the_bin_they_were_rounded_into():
    codes = np.array([[0, 0, 0, 252], [126, 255, 254, 0]], np.uint8)
    counts, zeros = _count(codes, 0.0, 2.0, 3)
    assert zeros == 3
    assert counts[0] == 1  # a small value that shares code 0
    assert (counts[16], counts[31], counts.sum()) == (1, 1, 3)


def test_zeros_outside_the_range_are_not_counted():
    counts, zeros = _count(np.array([0, 252], np.uint8), 1.0, 2.0, 5)
    assert (zeros, counts.sum()) == (0, 2)


@pytest.mark.parametrize(
    ("size", "target", "factor"),
    [(28, 112, (4, 1)), (30, 112, (3, 1)), (224, 112, (1, 2)), (225, 112, (1, 3))],
)
def test_pixels_are_whole_or_whole_blocks(size, target, factor):
    assert fit_factor(size, target) == factor


def test_shrinking_averages_each_way_on_its_own():
    codes = np.array([[0, 252, 0, 252], [0, 252, 0, 252]], np.uint8)
    np.testing.assert_array_equal(shrink(codes, 0, 1, 1, 2), [[126, 126], [126, 126]])
    np.testing.assert_array_equal(shrink(codes, 0, 1, 2, 1), [[0, 252, 0, 252]])
    np.testing.assert_array_equal(shrink(codes, 0, 1, 2, 2), [[126, 126]])


@pytest.mark.parametrize(
    ("before", "after"),
    [("", ""), ("", "; shown at 1/4"), ("mean of 5 channels; ", "; shown at 1/4")],
)
def test_the_caption_of_the_input_never_ends_within_a_clause(monkeypatch, before, after):
    said, draw = [], Picture.text

    def heard(self, at, text, **how):
        said.append(text)
        return draw(self, at, text, **how)

    monkeypatch.setattr(Picture, "text", heard)
    kept = f"{before}2 values not finite, drawn as the smallest"
    note = f"{kept}; smallest black, largest white{after}"
    pixels = np.zeros((8, 8), np.uint8)
    draw_input(Picture(300, 200), (0, 0), 240, {"note": note}, pixels, None)
    caption = " ".join(said[1:])  # below the heading
    assert caption.startswith(kept)
    assert f"{note}; ".startswith(f"{caption}; ")
