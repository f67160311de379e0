from dataclasses import replace

import numpy as np
import pytest

from nbtorchviz.events import ActivationCaptured, GradientCaptured, Statistics
from nbtorchviz.session.frame import frame_of
from nbtorchviz.session.kept_frames import (
    AFTER,
    BEFORE,
    FRAMES_PER_LAYER,
    HALF_PRECISION,
    MOST_INCIDENTS,
    RECENT,
    KeptFrames,
)


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


def test_a_frame_of_all_values_has_their_numbers_not_those_of_a_sample():
    values = np.linspace(-2.5, 5.0, 6, dtype=np.float32).reshape(2, 3)
    values[0, 1] = np.nan
    few = Statistics(count=6, sampled=2, minimum=-1.0, maximum=1.0, zero_share=0.5)
    kept = KeptFrames()
    kept.add(replace(captured(values=values), statistics=few))
    frame = frame_of(kept.newest("conv"))
    numbers = frame.statistics
    assert (numbers.minimum, numbers.maximum, numbers.nan, numbers.sampled) == (-2.5, 5.0, 1, 6)
    assert numbers.zero_share == 0.5  # half precision may make zeros
    assert frame.notes == (HALF_PRECISION,)
    pooled = replace(captured(values=values), statistics=replace(few, count=24))
    assert frame_of(pooled).statistics.sampled == 2


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


def test_the_newest_frames_stay_close_together():
    kept = KeptFrames()
    for step in range(1000):
        kept.add(captured(step=step))
    assert kept.steps("conv")[-RECENT:] == tuple(range(1000 - RECENT, 1000))


def test_what_is_around_an_incident_stays_however_long_it_goes_on():
    kept = KeptFrames()
    for step in range(500):
        kept.add(captured(step=step))
    kept.hold(499)
    for step in range(500, 3000):
        kept.add(captured(step=step))
    around = list(range(500 - BEFORE, 500 + AFTER))
    assert kept.held("conv") == {499: around}
    assert set(around) <= set(kept.steps("conv"))
    assert len(kept.steps("conv")) <= FRAMES_PER_LAYER
    assert kept.at(498, "conv").values[0, 0] == 498.0


def test_an_incident_of_long_ago_holds_the_frames_that_are_left_around_it():
    kept = KeptFrames()
    for step in (0, 10, 20, 30, 40, 50, 60, 70, 80):
        kept.add(captured(step=step))
    kept.hold(45)
    assert kept.held("conv") == {45: [10, 20, 30, 40, 50, 60, 70]}
    assert kept.held("other") == {45: []}


def test_only_the_newest_incidents_are_held():
    kept = KeptFrames()
    for step in range(100):
        kept.add(captured(step=step))
        if step % 10 == 0:
            kept.hold(step)
    assert list(kept.held("conv")) == [60, 70, 80, 90][-MOST_INCIDENTS:]


def test_the_weakest_incident_is_let_go_but_not_the_newest():
    kept = KeptFrames()
    weights = {10: 5.0, 20: 1.0, 30: 9.0, 40: 2.0, 50: 3.0, 60: 0.5}
    for step in range(100):
        kept.add(captured(step=step))
        if step in weights:
            kept.hold(step, weights[step])
    assert list(kept.held("conv")) == [10, 30, 50, 60]
    assert kept.held("conv")[30] == [27, 28, 29, 30, 31, 32, 33]


def test_incidents_never_break_the_memory_bound_nor_take_the_newest_frames():
    size = 100 * 100 * 2 + 512
    kept = KeptFrames(limit_bytes=10 * size)
    for step in range(200):
        kept.add(captured(step=step, values=np.ones((100, 100), np.float32)))
        kept.add(captured("other", step=step, values=np.ones((100, 100), np.float32)))
        if step % 7 == 0:
            kept.hold(step)
        assert kept.size_bytes <= 10 * size
        assert (kept.newest("conv").step, kept.newest("other").step) == (step, step)
    held = sum(len(steps) for name in ("conv", "other") for steps in kept.held(name).values())
    assert 0 <= held <= 5


def test_an_incident_is_let_go_when_what_follows_it_is_too_large():
    size = 100 * 100 * 2 + 512
    kept = KeptFrames(limit_bytes=10 * size)
    big = np.ones((100, 100), np.float32)
    for step in range(4):
        kept.add(captured(step=step, values=big))
    kept.hold(3)
    kept.add(captured(step=4, values=big))
    assert kept.held("conv") == {3: [0, 1, 2, 3, 4]}
    kept.add(captured(step=5, values=big))  # more than half of the memory
    assert kept.held("conv") == {}


def test_an_incident_is_let_go_before_a_layer_loses_its_newest_frame():
    size = 100 * 100 * 2 + 512
    kept = KeptFrames(limit_bytes=10 * size)
    big = np.ones((100, 100), np.float32)
    for step in range(4):
        kept.add(captured(step=step, values=big))
    kept.hold(3)
    others = [f"other{at}" for at in range(8)]
    for step, name in enumerate(others):
        kept.add(captured(name, step=0, values=big))
        kept.add(captured(name, step=step + 10, values=big))
    assert kept.size_bytes <= 10 * size
    assert all(kept.newest(name) is not None for name in ("conv", *others))
    assert kept.held("conv") == {}
