"""Colour maps: known values, even lightness, one source for Python and JavaScript."""

import subprocess
import sys
from importlib.resources import files

import numpy as np
import pytest

from nbtorchviz.analysis.colormaps import NAMES, NONFINITE, apply, code_table, javascript, table


def lightness(rgb):
    linear = np.where(rgb / 255 <= 0.04045, rgb / 255 / 12.92, ((rgb / 255 + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return 116 * np.cbrt(np.maximum(luminance, 216 / 24389)) - 16


def test_published_values():
    assert table("viridis")[[0, 128, 255]].tolist() == [[68, 1, 84], [33, 145, 140], [253, 231, 37]]
    assert table("cividis")[[0, 255]].tolist() == [[0, 34, 78], [254, 232, 56]]
    assert table("magma")[[0, 255]].tolist() == [[0, 0, 4], [252, 253, 191]]
    assert table("gray")[77].tolist() == [77, 77, 77]


@pytest.mark.parametrize("name", ["viridis", "cividis", "magma", "gray"])
def test_brighter_means_more(name):
    steps = np.diff(lightness(table(name).astype(float)))
    assert steps.min() > -0.3
    assert steps.mean() > 0.25


def test_diverging_map_is_white_at_zero_and_equally_dark_at_both_ends():
    light = lightness(table("diverging").astype(float))
    np.testing.assert_allclose(light, light[::-1], atol=1.5)
    assert np.all(np.diff(light[:128]) > 0)
    middle = code_table("diverging")[126].astype(int)
    assert middle.min() > 240
    low, high = table("diverging")[30].astype(int), table("diverging")[-31].astype(int)
    assert low[2] > low[0] + 60  # blue below zero
    assert high[0] > high[2] + 60  # orange above


@pytest.mark.parametrize("name", NAMES)
def test_nonfinite_codes_have_colours_that_no_map_holds(name):
    rows = code_table(name).astype(int)
    assert apply(np.array([[253, 254, 255]], np.uint8), name)[0].tolist() == [
        list(NONFINITE[code]) for code in (253, 254, 255)
    ]
    for rgb in NONFINITE.values():
        assert np.abs(rows[:253] - rgb).sum(axis=1).min() > 40
    np.testing.assert_array_equal(rows[0], table(name)[0])
    np.testing.assert_array_equal(rows[252], table(name)[255])


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="no colour map 'jet'; there are viridis, cividis"):
        table("jet")


def test_javascript_tables_are_the_ones_committed():
    committed = files("nbtorchviz").joinpath("widgets/static/src/colormap_tables.js").read_text()
    assert committed == javascript()
    command = [sys.executable, "-m", "nbtorchviz.analysis.colormaps"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed == committed
