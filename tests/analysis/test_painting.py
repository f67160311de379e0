"""Painting on an input: which pixels, which numbers, and taking it back."""

import itertools

import numpy as np
import pytest
import torch

from nbtorchviz.analysis.painting import (
    MOST_POINTS,
    MOST_STROKES,
    Painting,
    Stroke,
    line_mask,
    rectangle_mask,
)


def drawn(mask):
    return ["".join(".#"[int(on)] for on in row) for row in mask]


def brush(*points, size=1.0, value=9.0):
    return Stroke(kind="brush", points=points, size=size, values=(value,))


def test_a_dot_of_size_one_is_the_pixel_under_it():
    for x, y in [(1, 2), (0.6, 1.6), (1.4, 2.4)]:
        assert drawn(line_mask(4, 3, [(x, y)], 1)) == ["...", "...", ".#.", "..."]


def test_a_dot_is_a_disc_of_its_size():
    assert drawn(line_mask(5, 5, [(2, 2)], 3)) == [".....", ".###.", ".###.", ".###.", "....."]
    assert drawn(line_mask(5, 5, [(2, 2)], 2)) == [".....", "..#..", ".###.", "..#..", "....."]
    even = drawn(line_mask(4, 4, [(1.5, 1.5)], 2))  # between four pixels
    assert even == ["....", ".##.", ".##.", "...."]


def test_a_line_joins_its_points():
    assert drawn(line_mask(3, 5, [(0, 1), (4, 1)], 1)) == [".....", "#####", "....."]
    assert drawn(line_mask(4, 4, [(0, 0), (3, 3)], 1)) == ["#...", ".#..", "..#.", "...#"]
    corner = line_mask(4, 4, [(0, 0), (3, 0), (3, 3)], 1)
    assert drawn(corner) == ["####", "...#", "...#", "...#"]


def test_what_lies_outside_is_left_out():
    assert drawn(line_mask(3, 3, [(-5, 1), (1, 1)], 1)) == ["...", "##.", "..."]
    assert drawn(line_mask(3, 3, [(-0.9, 0)], 1)) == ["...", "...", "..."]
    assert drawn(line_mask(3, 3, [(-1, 0)], 3)) == ["#..", "#..", "..."]
    assert not line_mask(3, 3, [(40, 40), (50, 40)], 8).any()


def test_a_rectangle_has_both_corners_in_any_order():
    wanted = [".....", ".###.", ".###.", "....."]
    for corners in ([(1, 1), (3, 2)], [(3, 2), (1, 1)], [(3.4, 0.6), (0.5, 2.4)]):
        assert drawn(rectangle_mask(4, 5, corners)) == wanted
    assert drawn(rectangle_mask(2, 3, [(1, 1), (1, 1)])) == ["...", ".#."]
    assert drawn(rectangle_mask(2, 3, [(-9, -9), (0, 0)])) == ["#..", "..."]
    assert not rectangle_mask(2, 3, [(-9, -9), (-5, 1)]).any()


def test_values_mean_and_background_are_the_channels_own():
    image = torch.tensor([[[1.0, 3.0], [5.0, 7.0]], [[-2.0, 0.0], [0.0, 2.0]]])
    painting = Painting(image)
    assert (painting.mean, painting.background) == ((4.0, 0.0), (1.0, -2.0))
    painting.add(Stroke(kind="erase", points=((1, 0),), values=painting.mean))
    assert painting.image.tolist() == [[[1, 4], [5, 7]], [[-2, 0], [0, 2]]]
    assert painting.difference.tolist() == [[[0, 1], [0, 0]], [[0, 0], [0, 0]]]
    assert painting.changed == 1
    painting.add(Stroke(kind="blank", values=painting.background))
    assert painting.image.tolist() == [[[1, 1], [1, 1]], [[-2, -2], [-2, -2]]]
    assert painting.changed == 3  # the first pixel was that dark before
    assert image[0, 0, 1] == 3  # what was given stays


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.uint8])
def test_taking_back_gives_the_very_same_numbers(dtype):
    torch.manual_seed(0)
    image = (100 * torch.rand(3, 9, 7)).to(dtype)
    painting, seen = Painting(image), [image]
    strokes = [
        Stroke(kind="brush", points=((1, 1), (4, 6)), size=2, values=(7.6, 1, 2)),
        Stroke(kind="rectangle", points=((5, 5), (2, 1)), values=painting.mean),
        Stroke(kind="blank", values=painting.background),
        Stroke(kind="reset"),
        Stroke(kind="erase", points=((3, 3),), size=5, values=painting.mean),
    ]
    for stroke in strokes:
        painting.add(stroke)
        seen.append(painting.image)
    assert painting.image.dtype == dtype
    assert torch.equal(seen[4], image)
    if dtype == torch.uint8:
        assert seen[1][0, 1, 1] == 8  # rounded, not cut off
    for before in reversed(seen[:-1]):
        assert painting.undo()
        assert torch.equal(painting.image, before)
    assert not painting.undo()
    assert torch.equal(painting.image, image)


def test_a_stroke_led_on_is_the_stroke_drawn_at_once():
    points = [(1, 1), (6.2, 2.7), (3, 8), (3, 8), (-4, 3)]
    led = Painting(torch.zeros(1, 10, 8))
    led.add(brush(points[0], size=3))
    assert [led.extend(point) for point in points[1:]] == [True, True, False, True]
    whole = Painting(torch.zeros(1, 10, 8))
    whole.add(brush(*dict.fromkeys(points), size=3))
    assert torch.equal(led.image, whole.image)
    assert led.undo()
    assert led.changed == 0


def test_a_rectangle_led_on_gives_back_what_it_no_longer_covers():
    image = torch.arange(20.0).reshape(1, 4, 5)
    painting = Painting(image)
    painting.add(Stroke(kind="rectangle", points=((1, 1), (1, 1)), values=(50.0,)))
    painting.extend((4, 3))
    assert painting.changed == 12
    painting.extend((2, 1))
    assert painting.changed == 2
    assert painting.image[0, 1].tolist() == [5, 50, 50, 8, 9]
    assert len(painting.strokes) == 1


def test_what_can_be_taken_back_is_bounded():
    painting = Painting(torch.zeros(1, 2, MOST_STROKES + 5))
    for column in range(MOST_STROKES + 5):
        painting.add(brush((column, 0)))
    while painting.undo():
        pass
    assert painting.changed == 5
    long = Painting(torch.zeros(1, 2, 2))
    long.add(brush((0, 0)))
    for at in range(MOST_POINTS + 10):
        long.extend((at % 2, at % 3))
    assert len(long.strokes) == 2
    assert max(len(stroke.points) for stroke in long.strokes) == MOST_POINTS


def test_numbers_that_are_not_finite_are_no_change_and_no_mean():
    painting = Painting(torch.tensor([[[float("nan"), 2.0, 4.0]]]))
    assert (painting.mean, painting.background, painting.changed) == ((3.0,), (2.0,), 0)
    painting.add(brush((0, 0), value=1.0))
    assert (painting.changed, painting.image.tolist()) == (1, [[[1, 2, 4]]])


def test_masks_are_of_the_picture_whatever_is_asked():
    rng = np.random.default_rng(0)
    for _ in range(50):
        height, width = rng.integers(1, 12, 2)
        points = [tuple(point) for point in rng.uniform(-5, 15, (3, 2))]
        size = rng.uniform(1, 9)
        y, x = np.mgrid[:height, :width]
        near = np.zeros((height, width), bool)
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            for t in np.linspace(0, 1, 400):
                near |= np.hypot(x - x0 - t * (x1 - x0), y - y0 - t * (y1 - y0)) <= size / 2
        mask = line_mask(height, width, points, size)
        assert mask.shape == (height, width)
        assert not (near & ~mask).any()
        assert (mask & ~near).sum() <= 3 + 0.1 * mask.sum()
