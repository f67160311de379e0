import numpy as np
import pytest

from nbtorchviz.events import ActivationCaptured, GradientCaptured, Statistics
from nbtorchviz.session.kept_frames import FRAMES_PER_LAYER, KeptFrames


def captured(layer="conv", step=0, values=None, kind=ActivationCaptured):
    values = np.full((2, 3), float(step), np.float32) if values is None else values
    return kind(
        layer=layer,
        step=step,
        values=values,
        statistics=Statistics(count=6, sampled=6),
        captured_at_s=float(step),
    )


def test_newest_frame_of_a_layer_comes_back_with_its_step():
    kept = KeptFrames()
    kept.add(captured(step=1))
    kept.add(captured(step=2))
    frame = kept.newest("conv")
    assert frame.step == 2
    np.testing.assert_array_equal(frame.values, np.full((2, 3), 2.0, np.float32))
    assert kept.newest("other") is None


def test_gradients_are_kept_apart_from_activations():
    kept = KeptFrames()
    kept.add(captured(step=1))
    kept.add(captured(step=2, kind=GradientCaptured))
    assert kept.newest("conv").step == 1
    assert kept.newest("conv", gradient=True).step == 2


@pytest.mark.parametrize("magnitude", [1e-12, 1.0, 1e30])
def test_tiny_and_huge_values_survive_half_precision(magnitude):
    values = np.array([1.0, -0.5, 0.001, 0.0], np.float32) * np.float32(magnitude)
    kept = KeptFrames()
    kept.add(captured(values=values))
    np.testing.assert_allclose(kept.newest("conv").values, values, rtol=1e-3)


def test_nan_and_infinity_stay_what_they_are():
    values = np.array([np.nan, np.inf, -np.inf, 2.0], np.float32)
    kept = KeptFrames()
    kept.add(captured(values=values))
    np.testing.assert_array_equal(kept.newest("conv").values, values)


def test_old_steps_are_thinned_but_still_span_the_run():
    kept = KeptFrames()
    for step in range(1000):
        kept.add(captured(step=step))
    steps = kept.steps("conv")
    assert len(steps) <= FRAMES_PER_LAYER
    assert steps[0] == 0
    assert steps[-1] == 999
    assert max(np.diff(steps)) <= 100


def test_frame_nearest_to_a_step_is_found():
    kept = KeptFrames()
    for step in (0, 10, 20):
        kept.add(captured(step=step))
    assert kept.at(13, "conv").step == 10
    assert kept.at(99, "conv").step == 20
    assert kept.at(5, "nothing") is None


def test_memory_is_bounded_and_the_newest_frame_of_each_layer_goes_last():
    kept = KeptFrames(limit_bytes=40_000)
    for step in range(30):
        for layer in ("a", "b", "c"):
            kept.add(captured(layer, step, np.ones(2000, np.float32)))
    assert kept.size_bytes <= 40_000
    assert {kept.newest(layer).step for layer in "abc"} == {29}


def test_a_frame_larger_than_the_bound_is_kept_alone():
    kept = KeptFrames(limit_bytes=1000)
    kept.add(captured("a", 1, np.ones(5000, np.float32)))
    kept.add(captured("b", 2, np.ones(5000, np.float32)))
    assert kept.newest("b").step == 2
    assert kept.newest("a") is None


def test_kept_values_do_not_share_memory_with_the_event():
    values = np.ones(4, np.float32)
    kept = KeptFrames()
    kept.add(captured(values=values))
    values[:] = 7
    assert kept.newest("conv").values.max() == 1
