import numpy as np

from nbtorchviz.analysis.spikes import NOTED, RISE, SPREADS, WINDOW, spikes


def flat(count, spread=0.0):
    """Values around 2 whose median distance from it is ``spread``."""
    return 2.0 + spread * np.tile([-1.0, 1.0], count // 2)


def test_a_jump_counts_from_both_bounds_on():
    calm, noisy = flat(WINDOW), flat(WINDOW, 0.2)
    assert spikes(np.append(calm, 2.0 * (1 + RISE) + 0.01)) == [WINDOW]
    assert spikes(np.append(calm, 2.0 * (1 + RISE) - 0.01)) == []
    assert spikes(np.append(noisy, 2.0 + SPREADS * 0.2 + 0.01)) == [WINDOW]
    assert spikes(np.append(noisy, 2.0 + SPREADS * 0.2 - 0.01)) == []


def test_near_the_end_of_a_good_training_a_jump_must_reach_back_towards_the_beginning():
    low = np.concatenate([[2.0, 2.0, 2.0], np.full(WINDOW, 0.001)])
    assert spikes(np.append(low, 0.001 + 2.0 * NOTED + 0.01)) == [len(low)]
    assert spikes(np.append(low, 0.001 + 2.0 * NOTED - 0.01)) == []


def test_a_fall_is_none_and_too_few_values_tell_nothing():
    assert spikes(np.append(flat(WINDOW), -50.0)) == []
    assert spikes(np.append(flat(WINDOW - 2), 50.0)) == []


def test_of_a_stretch_the_first_is_told_once_also_when_looked_at_in_parts():
    values = np.concatenate([flat(WINDOW), [50.0, 60.0, 70.0], flat(2 * WINDOW), [90.0]])
    assert spikes(values) == [WINDOW, len(values) - 1]
    assert spikes(values, WINDOW + 1) == [len(values) - 1]


def test_the_first_value_that_is_not_finite_is_one_whatever_came_before():
    assert spikes(np.array([1.0, np.nan, np.nan, np.nan])) == [1]
    assert spikes(np.array([1.0, 2.0, np.inf, 1.0])) == [2]


def test_a_healthy_falling_noisy_loss_has_none():
    rng = np.random.default_rng(0)
    for _ in range(20):
        loss = 2.3 * np.exp(-np.arange(2000) / 400) + 0.05 + np.abs(rng.normal(0, 0.02, 2000))
        assert spikes(loss) == []


def test_nothing_to_look_at_is_no_spike():
    assert spikes(np.array([])) == []
    assert spikes(np.array([5.0])) == []
    assert spikes(np.append(flat(WINDOW), 9.0), WINDOW + 1) == []
