"""Parameters arranged for showing: sign kept, every kernel in its place."""

import numpy as np
import pytest

from nbtorchviz.analysis.weight_maps import describe_weight, inputs_of, kernel_maps

KERNELS = np.arange(2 * 3 * 2 * 2, dtype=np.float32).reshape(2, 3, 2, 2) - 10  # out, in, rows, cols
CONV = ("C", "D", "H", "W")


def test_one_input_channel_of_all_kernels():
    shown, axes = kernel_maps(KERNELS, CONV, 1)
    assert axes == ("C", "H", "W")
    assert shown.tolist() == [[[-6, -5], [-4, -3]], [[6, 7], [8, 9]]]
    assert kernel_maps(KERNELS, CONV, 99)[0].tolist() == KERNELS[:, 2].tolist()


def test_the_mean_over_inputs_keeps_its_sign():
    shown, _ = kernel_maps(KERNELS, CONV, None)
    assert shown.tolist() == [[[-6, -5], [-4, -3]], [[6, 7], [8, 9]]]  # the middle of each three
    assert shown.dtype == np.float32
    opposite = np.array([1.0, -1.0], np.float32).reshape(1, 2, 1, 1)
    assert kernel_maps(opposite, CONV, None)[0].tolist() == [[[0.0]]]


def test_a_choice_is_offered_where_there_is_one():
    assert inputs_of(KERNELS, CONV) == 3
    assert inputs_of(KERNELS[:, :1], CONV) == 0  # depthwise
    assert inputs_of(np.zeros((4, 4)), ("T", "D")) == 0


@pytest.mark.parametrize(
    ("shape", "axes", "module", "view", "words"),
    [
        ((2, 3, 2, 2), CONV, "Conv2d", "maps", ("row", "col")),
        ((4, 3, 5), ("C", "H", "W"), "Conv1d", "maps", ("input", "tap")),
        ((4, 6), ("T", "D"), "Linear", "matrix", ("output", "input")),
        ((9, 4), ("T", "D"), "Embedding", "matrix", ("entry", "feature")),
        ((7,), ("F",), "BatchNorm2d", "strip", ("row", "feature")),
        ((), (), "", "scalar", ("row", "feature")),
    ],
)
def test_each_shape_has_its_view(shape, axes, module, view, words):
    values = np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    display = describe_weight(values, axes, module_type=module)
    assert display.view == view
    assert (display.rows, display.columns) == words
    if view != "maps":
        assert display.planes.reshape(shape).tolist() == values.tolist()


def test_a_large_matrix_is_pooled_and_says_so():
    values = np.tile(np.array([[1.0, -3.0]], np.float32), (100, 50))
    display = describe_weight(values, ("T", "D"), limit=2_500)
    assert display.pooled == 2
    assert (display.planes == -1).all()  # the signed mean
    assert display.notes == ("each pixel shows the mean of 2×2",)
