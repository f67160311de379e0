import math

import numpy as np
import pytest

from nbtorchviz.analysis import curves


@pytest.mark.parametrize(
    ("name", "metric", "role"),
    [
        ("loss", "loss", ""),
        ("val_loss", "loss", "val"),
        ("loss/val", "loss", "val"),
        ("loss/eval", "loss", "val"),
        ("train/loss", "loss", "train"),
        ("top5_acc", "top5_acc", ""),
        ("val_top5_acc", "top5_acc", "val"),
        ("interval", "interval", ""),
        ("val", "val", ""),
    ],
)
def test_names_pair_train_with_val(name, metric, role):
    assert curves.split_name(name) == (metric, role)


def test_a_metric_logged_in_eval_is_kept_beside_the_training_one():
    assert curves.eval_name("loss", "eval") == "loss/eval"
    assert curves.eval_name("val_loss", "eval") == "val_loss"
    assert curves.eval_name("loss", "train") == "loss"


@pytest.mark.parametrize(
    ("names", "looks"),
    [
        (["loss"], [("loss", ())]),
        (["loss", "val_loss"], [("train", ()), ("val", (6, 3))]),
        (
            ["loss", "train_loss", "val_loss"],
            [("loss", ()), ("train_loss", (12, 3, 2, 3)), ("val", (6, 3))],
        ),
        (
            ["train_loss", "val_loss", "test_loss", "loss/eval"],
            [
                ("train", ()),
                ("val_loss", (6, 3)),
                ("test_loss", (6, 3, 2, 3)),
                ("loss/eval", (6, 3, 2, 3, 2, 3)),
            ],
        ),
    ],
)
def test_no_two_lines_of_a_run_look_alike(names, looks):  # as in loss_scene.test.js
    lines = [{"run": 1, "name": name, "role": curves.split_name(name)[1]} for name in names]
    assert curves.line_looks(lines) == looks
    other_run = [{**line, "run": 2} for line in lines]
    assert curves.line_looks([*lines, *other_run]) == 2 * looks


def test_best_is_the_largest_where_more_is_better():
    assert curves.rising_is_better("accuracy")
    assert curves.rising_is_better("top5_acc")
    assert not curves.rising_is_better("loss")


def test_one_spike_does_not_scale_the_axis():
    values = np.append(np.linspace(0.1, 2.3, 400), 1e9)
    low, high = curves.y_limits(values, log=False)
    assert low == 0.0
    assert 2.2 < high <= 2.3


def test_a_few_benign_values_are_all_in_view():
    assert curves.y_limits(np.array([2.3, 1.0, 0.5, 0.3]), log=False) == (0.0, 2.3)


def test_far_from_zero_the_axis_does_not_begin_at_zero():
    low, high = curves.y_limits(np.array([5.0, 5.5, 6.0]), log=False)
    assert (low, high) == (5.0, 6.0)


def test_a_constant_and_an_empty_curve_have_limits_or_none():
    assert curves.y_limits(np.array([2.0, 2.0]), log=False) == (1.9, 2.1)
    assert curves.y_limits(np.array([np.nan]), log=False) is None
    assert curves.y_limits(np.array([-1.0, 0.0]), log=True) is None


def test_log_limits_hold_every_positive_value():
    low, high = curves.y_limits(np.array([1e-4, 1e-2, 1.0, -5.0]), log=True)
    assert low < 1e-4 < 1.0 < high


def test_whole_epochs_are_spread_over_their_steps():
    steps = np.arange(1, 7)
    epochs = np.array([0.0, 0, 0, 1, 1, 1])
    expected = [0, 1 / 3, 2 / 3, 1, 4 / 3, 5 / 3]
    np.testing.assert_allclose(curves.fractional_epochs(steps, epochs), expected)
    assert curves.epoch_marks(steps, curves.fractional_epochs(steps, epochs)) == [(4.0, 1)]


@pytest.mark.parametrize("last", [5, 7, 9])
def test_the_first_epoch_has_a_mark_where_epochs_are_logged_at_their_ends(last):
    steps = np.arange(1, last)
    epochs = np.array([math.nan, math.nan, math.nan, 1, 1, 1, 2, 2])[: last - 1]
    spread = curves.fractional_epochs(steps, epochs)
    expected = [0, 1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2, 7 / 3]
    np.testing.assert_allclose(spread, expected[: last - 1])
    marks = [(4.0, 1), (7.0, 2)][: 2 if last == 9 else 1]
    assert curves.epoch_marks(steps, spread) == marks


def test_steps_before_epoch_zero_have_no_epoch():
    epochs = np.array([math.nan, 0, 0, 1, 1])
    spread = curves.fractional_epochs(np.arange(5), epochs)
    np.testing.assert_allclose(spread, [math.nan, 0, 0.5, 1, 1.5])


def test_fractions_of_epochs_are_taken_as_they_are():
    epochs = np.array([0.5, 1.0, 1.5])
    np.testing.assert_array_equal(curves.fractional_epochs(np.arange(3), epochs), epochs)


def test_knots_follow_a_pause_on_the_clock():
    steps = np.arange(1000)
    seconds = steps * 0.1
    seconds[500:] += 10_000  # a night
    chosen = curves.knots(steps, seconds, 64)
    assert len(chosen) <= 64
    assert {0, 499, 500, 999} <= set(chosen.tolist())
    np.testing.assert_allclose(
        np.interp(steps, steps[chosen], seconds[chosen])[:490], seconds[:490]
    )


def test_points_are_shared_small_lines_first():
    assert curves.share_points([10, 1000, 1000], 1010) == [10, 500, 500]
    assert curves.share_points([10, 20], 1000) == [10, 20]
    assert curves.share_points([100, 100], 0) == [0, 0]
