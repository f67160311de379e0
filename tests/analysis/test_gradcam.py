"""Map formulas: numbers by hand first, then what must hold for any numbers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nbtorchviz.analysis.gradcam import LINEAR, METHODS, finished, method_note, raw_map

ACTIVATION = torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]])
GRADIENT = torch.tensor([[[[1.0, 3.0]], [[-2.0, 0.0]]]])
"""Two channels of 1x2 pixels."""

BY_HAND = {
    # weights 2 and -1: 2*1 - 1*3, 2*2 - 1*0
    "gradcam": [-1.0, 4.0],
    # 1*1 - 2*3, 3*2 + 0*0
    "hirescam": [-5.0, 6.0],
    # 1*1 + 0*3, 3*2 + 0*0
    "layercam": [1.0, 6.0],
    # weights (1*1 + 3*2) / 3 = 7/3 and (-2*3) / 3 = -2: 7/3 - 6, 14/3
    "xgradcam": [7 / 3 - 6, 14 / 3],
    # channel 0: S = 3, alpha = 1/(2+3) and 1/(2+9), weight 1/5 + 3/11; channel 1: no g > 0
    "gradcam++": [1 / 5 + 3 / 11, 2 * (1 / 5 + 3 / 11)],
}


@pytest.mark.parametrize("method", METHODS)
def test_numbers_by_hand(method):
    raw = raw_map(method, ACTIVATION, GRADIENT)
    assert raw.shape == (1, 1, 2)
    np.testing.assert_allclose(raw[0, 0].numpy(), BY_HAND[method], rtol=1e-6)


def test_the_sign_is_kept_before_the_relu():
    assert raw_map("gradcam", ACTIVATION, GRADIENT).min() == -1
    assert finished(raw_map("gradcam", ACTIVATION, GRADIENT)).tolist() == [[[0.0, 1.0]]]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4)])
def test_any_number_of_spatial_axes(method, shape):
    source = torch.Generator().manual_seed(0)
    a = torch.randn(2, 3, *shape, generator=source).relu()
    g = torch.randn(2, 3, *shape, generator=source)
    raw = raw_map(method, a, g)
    assert raw.shape == (2, *shape)
    flat = raw_map(method, a.flatten(2), g.flatten(2))
    assert torch.equal(raw.flatten(1), flat)


@pytest.mark.parametrize("method", METHODS)
def test_half_precision_is_computed_in_float32(method):
    source = torch.Generator().manual_seed(0)
    a = torch.rand(1, 64, 4, 4, generator=source).bfloat16()
    g = (1e-3 * torch.randn(1, 64, 4, 4, generator=source)).bfloat16()
    raw = raw_map(method, a, g)
    assert raw.dtype == torch.float32
    assert torch.equal(raw, raw_map(method, a.float(), g.float()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(raw, raw_map(method, a, g))


def test_gradcam_pp_needs_no_epsilon():
    """Gradients of 1e-9 have squares of 1e-18: any usual epsilon would rule the result."""
    a, g = ACTIVATION.double(), GRADIENT.double() * 1e-9
    weight = (1e-9 * torch.tensor([1.0, 3.0]) / 2).sum()  # alpha -> 1/2
    raw = raw_map("gradcam++", a, g)
    assert raw[0, 0].tolist() == pytest.approx([float(weight), 2 * float(weight)], rel=1e-6)


def test_a_channel_that_sums_to_zero_weighs_nothing_in_xgradcam():
    a = torch.tensor([[[[1.0, -1.0]], [[0.0, 0.0]]]])
    assert raw_map("xgradcam", a, torch.ones_like(a)).tolist() == [[[0.0, 0.0]]]


def test_signed_activations_are_warned_of_where_the_formula_divides_by_them():
    signed, positive = torch.tensor([-1.0, 2.0]), torch.tensor([0.0, 2.0])
    assert "signed" in method_note("xgradcam", signed)
    assert "signed" in method_note("gradcam++", signed)
    assert method_note("xgradcam", positive) == method_note("gradcam", signed) == ""


@settings(deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(sorted(LINEAR)))
def test_linear_methods_are_linear_in_the_score(seed, method):
    source = torch.Generator().manual_seed(seed)
    a, g1, g2 = torch.randn(3, 1, 4, 3, 3, dtype=torch.float64, generator=source)
    both = raw_map(method, a, g1 - g2)
    torch.testing.assert_close(both, raw_map(method, a, g1) - raw_map(method, a, g2))


@settings(deadline=None)
@given(st.floats(1e-12, 1e12))
def test_heatmaps_do_not_depend_on_the_scale_of_the_score(scale):
    raw = torch.tensor([[[1.0, -2.0], [4.0, 3.0]]], dtype=torch.float64)
    torch.testing.assert_close(finished(raw * scale), finished(raw))


def test_heatmaps_are_resized_with_half_pixel_centres_and_reach_one():
    raw = torch.tensor([[[0.0, 4.0]], [[-1.0, -2.0]]])
    heat = finished(raw, (1, 4))
    # linear at 0.0 0.25 0.75 1.0 of the way, divided by the maximum
    assert heat[0].tolist() == [[0.0, 0.25, 0.75, 1.0]]
    assert heat[1].tolist() == [[0.0] * 4]
    assert finished(torch.rand(2, 5), (9,)).shape == (2, 9)
    assert finished(torch.rand(2, 2, 3, 4), (4, 6, 8)).shape == (2, 4, 6, 8)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"method must be one of gradcam, hirescam.*got 'cam'"):
        raw_map("cam", ACTIVATION, GRADIENT)
    with pytest.raises(ValueError, match=r"one shape \(N, C, ...\), got \(1, 2, 1, 2\) and \(1, 2"):
        raw_map("gradcam", ACTIVATION, GRADIENT[..., :1])
