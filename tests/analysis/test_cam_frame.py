"""Frames of maps: codes keep tiny values, what is too large gets smaller."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nbtorchviz.analysis.cam_frame import NAN, CamFrame, cam_layer, decode, encode


def frame(maps, *, linear=True, classes=((3, 5),), against=((-1, -1),)):
    """One image by default, slots of classes 3 and 5, one layer called relu."""
    classes = np.array(classes, np.int32)
    return CamFrame(
        step=4,
        method="gradcam",
        linear=linear,
        layers=tuple(
            cam_layer(key, np.asarray(values, np.float32), type="ReLU", shape=(8, 2, 2))
            for key, values in maps.items()
        ),
        layer=next(iter(maps)),
        classes=classes,
        against=np.array(against, np.int32),
        p=np.full(classes.shape, 0.5, np.float32),
        explained=tuple(map(int, classes[:, 0])),
        tops=tuple(((3, 0.6), (5, 0.2)) for _ in classes),
        names=tuple(f"image {row}" for row in range(len(classes))),
        labels=(None,) * len(classes),
        classes_known=10,
    )


finite = st.floats(-(2.0**100), 2.0**100, width=32)


@given(arrays(np.float32, (2, 3, 2), elements=finite))
def test_a_value_read_back_is_off_by_a_small_share_of_its_maps_range(maps):
    found = decode(*encode(maps))
    span = (maps.max(axis=(-2, -1)) - maps.min(axis=(-2, -1)))[..., None, None].astype(np.float64)
    most = np.abs(maps).max(axis=(-2, -1))[..., None, None]
    assert (np.abs(found - maps.astype(np.float64)) <= span / 131_000 + most * 3e-7 + 1e-45).all()


def test_gradients_that_half_floats_would_lose_stay_apart():
    maps = np.array([[[1e-10, 3e-10], [0, -2e-10]]], np.float32)
    found = decode(*encode(maps))
    assert found[0, 0, 1] == pytest.approx(3e-10, rel=1e-4)
    assert np.float16(3e-10) == 0  # what a half float would have kept


def test_values_that_are_none_have_a_code_of_their_own():
    codes, ranges = encode(np.array([[[np.nan, 2.0], [np.inf, 4.0]]], np.float32))
    assert (codes == NAN).tolist() == [[[True, False], [True, False]]]
    assert ranges.tolist() == [[2.0, 4.0]]
    assert np.isnan(decode(codes, ranges)).tolist() == [[[True, False], [True, False]]]
    assert encode(np.full((1, 2, 2), np.nan, np.float32))[1].tolist() == [[0.0, 0.0]]


def test_a_contrast_is_the_difference_of_raw_maps_where_that_is_right():
    maps = {"relu": [[[[1, 2]], [[3, 0]]]]}
    assert frame(maps).raw(0, "relu", 3).tolist() == [[1, 2]]
    assert frame(maps).raw(0, "relu", 3, 5) == pytest.approx(np.array([[-2, 2]]), abs=1e-3)
    assert frame(maps, linear=False).raw(0, "relu", 3, 5) is None
    assert frame(maps).raw(0, "relu", 9) is None
    assert frame(maps).raw(0, "fc", 3) is None
    both = frame(maps, linear=False, classes=((3, 3),), against=((-1, 5),))
    assert both.raw(0, "relu", 3, 5) == pytest.approx(np.array([[3, 0]]), abs=1e-3)


def test_what_is_too_large_loses_classes_first_and_then_resolution():
    maps = np.random.default_rng(0).normal(size=(1, 10, 28, 28)).astype(np.float32)
    whole = frame({"a": maps}, classes=(tuple(range(10)),), against=((-1,) * 10,))
    assert whole.within(10**6) is whole
    fewer = whole.within(whole.size_bytes * 6 // 10, first=[8])
    assert sorted(fewer.classes[0].tolist()) == [0, 1, 2, 3, 4, 8]
    assert fewer.layers[0].codes.shape[-2:] == (28, 28)
    smaller = whole.within(whole.size_bytes // 10, first=[8])
    assert sorted(smaller.classes[0].tolist()) == [0, 1, 8]
    assert smaller.layers[0].codes.shape[-2:] == (14, 14)
    assert smaller.layers[0].pooled == 2
    wanted = maps[0, 8].reshape(14, 2, 14, 2).mean(axis=(1, 3))
    assert np.allclose(smaller.raw(0, "a", 8), wanted, atol=1e-3)
    least = whole.within(1, first=[8])
    assert least.classes.tolist() == [[8]]
    assert least.layers[0].codes.shape[-1] == 7


def test_a_large_layer_is_averaged_over_blocks_and_says_so():
    layer = cam_layer("a", np.ones((1, 1, 112, 56), np.float32), type="Conv2d", shape=(8, 112, 56))
    assert (layer.pooled, layer.codes.shape) == (4, (1, 1, 28, 14))
    assert layer.maps.max() == 1
    assert math.isclose(layer.ranges[0, 0, 1], 1)
