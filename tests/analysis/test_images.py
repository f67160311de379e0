"""The input as a picture."""

import numpy as np
import pytest

from nbtorchviz.analysis.images import input_image

CHW, HWC = ("C", "H", "W"), ("H", "W", "C")


def test_unit_range_is_shown_as_it_is():
    shown = input_image(np.array([[[0.0, 1.0], [0.5, 0.2]]], np.float32), CHW)
    assert shown.pixels.tolist() == [[0, 255], [128, 51]]
    assert (shown.layout, shown.note, shown.range, shown.image_hw) == ("gray", "", (0, 1), (2, 2))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
def test_bytes_are_shown_as_they_are(dtype):
    photo = np.random.default_rng(0).integers(0, 256, (5, 6, 3)).astype(dtype)
    shown = input_image(photo, HWC)
    assert shown.layout == "rgb"
    np.testing.assert_array_equal(shown.pixels, photo)


@pytest.mark.parametrize(
    ("name", "mean", "std", "channels"),
    [
        ("ImageNet", [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], 3),
        ("CIFAR-10", [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616], 3),
        ("MNIST", [0.1307], [0.3081], 1),
    ],
)
def test_usual_normalisation_is_undone_and_said(name, mean, std, channels):
    levels = np.random.default_rng(1).integers(0, 256, (channels, 16, 16))
    mean, std = np.array(mean)[:, None, None], np.array(std)[:, None, None]
    shown = input_image(((levels / 255 - mean) / std).astype(np.float32), CHW)
    assert shown.note == f"normalisation undone: {name} (guess)"
    expected = levels[0] if channels == 1 else np.moveaxis(levels, 0, -1)
    np.testing.assert_array_equal(shown.pixels, expected)


def test_symmetric_and_other_ranges_say_their_rule():
    random = np.random.default_rng(2).uniform(-0.99, 0.99, (3, 9, 9)).astype(np.float32)
    assert input_image(random, CHW).note == "from [−1, 1]"
    stretched = input_image(random * 5, CHW)
    assert stretched.note == "smallest black, largest white"
    assert (stretched.pixels.min(), stretched.pixels.max()) == (0, 255)
    assert input_image(np.full((1, 3, 3), 7.5, np.float32), CHW).note == "constant"


def test_other_channel_counts_are_said():
    assert input_image(np.zeros((4, 3, 3), np.float32), CHW).layout == "rgb"
    many = input_image(np.zeros((13, 3, 3), np.float32), CHW)
    assert (many.layout, many.note) == ("gray", "mean of 13 channels")


def test_large_pictures_are_shrunk_by_whole_blocks():
    shown = input_image(np.ones((3, 500, 300), np.float32), CHW)
    assert shown.pixels.shape == (167, 100, 3)
    assert (shown.note, shown.image_hw) == ("shown at 1/3", (500, 300))


@pytest.mark.parametrize(
    ("values", "axes", "note"),
    [
        (np.arange(35), ("F",), "35 token ids"),
        (np.linspace(0, 1, 13), ("F",), "13 numbers"),
        (np.float32(1), (), "1 number"),
        (np.zeros((0, 3)), ("T", "D"), "empty"),
        (np.zeros((3, 100)), ("C", "L"), "3×100 numbers"),
        (np.full((1, 2, 2), np.nan), CHW, "no finite value"),
    ],
)
def test_what_is_no_picture_is_named(values, axes, note):
    shown = input_image(values, axes)
    assert (shown.pixels, shown.layout, shown.note, shown.image_hw) == (None, "none", note, None)


def test_flat_digits_and_rows_of_digits_are_shown_but_are_no_image_for_patches():
    flat = input_image(np.linspace(0, 1, 784, dtype=np.float32), ("F",))
    assert (flat.pixels.shape, flat.note) == ((28, 28), "784 values as 28×28 (guess)")
    rows = input_image(np.linspace(0, 1, 784, dtype=np.float32).reshape(28, 28), ("T", "D"))
    assert (rows.note, rows.image_hw) == ("matrix of 28×28", None)


def test_volume_shows_its_middle_slice():
    volume = np.zeros((1, 5, 2, 2), np.float32)
    volume[0, 2] = 1
    shown = input_image(volume, ("C", "D", "H", "W"))
    assert (shown.pixels.min(), shown.note) == (255, "slice 2 of 5")


def test_nan_and_huge_values_are_drawn_and_counted():
    values = np.array([[[np.nan, 3e38], [-3e38, np.inf]]], np.float32)
    shown = input_image(values, CHW)
    assert shown.pixels.tolist() == [[0, 255], [0, 0]]
    assert "2 values not finite" in shown.note
    values[0, 1, 1] = 0
    assert "1 value not finite" in input_image(values, CHW).note
