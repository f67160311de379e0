import math

import numpy as np
import pytest

from nbtorchviz.analysis.packets import unpack
from nbtorchviz.analysis.smoothing import smooth
from nbtorchviz.events import ScalarLogged
from nbtorchviz.session.curves import LIMIT_BYTES, CurveView, curve_packet
from nbtorchviz.session.metrics import MetricHistory
from nbtorchviz.session.series import KeptSums


def fill(history, values, name="loss", run=1, epoch_steps=1000):
    for step, value in enumerate(values):
        history.add(
            ScalarLogged(
                step=step,
                name=name,
                value=value,
                run=run,
                epoch=step // epoch_steps,
                elapsed_s=step * 0.01,
            )
        )


def noisy(count, seed=0):
    random = np.random.default_rng(seed)
    return (np.exp(-np.arange(count) / (count / 4)) + random.normal(0, 0.05, count)).tolist()


def read(history, limit_bytes=LIMIT_BYTES, sums=None, **view):
    return unpack(curve_packet(history, CurveView(**view), limit_bytes, sums=sums))


def test_a_short_run_is_sent_whole_with_its_words():
    history = MetricHistory()
    fill(history, [3.0, 1.0, float("nan"), float("nan")])
    history.add(ScalarLogged(step=3, name="val_loss", value=2.0))
    header, arrays = read(history)
    loss, val = header["lines"]
    assert loss["complete"]
    assert val["role"] == "val"
    assert loss["latest"] == [3, "NaN"]
    assert loss["best"] == [1, 1.0]
    assert loss["spans"] == [[2, 3, "NaN"]]
    np.testing.assert_array_equal(arrays[loss["x"]], [0, 1, 2, 3])
    np.testing.assert_array_equal(arrays[loss["y"]], np.array([3, 1, np.nan, np.nan], "f4"))


def test_an_empty_history_is_a_packet_without_lines():
    header, arrays = read(MetricHistory())
    assert header["lines"] == []
    assert arrays == {}


def test_one_spike_among_many_points_is_drawn_at_its_own_step():
    history = MetricHistory()
    values = noisy(30_000)
    values[12_345] = 9.0
    fill(history, values)
    header, arrays = read(history, smoothing=0.9)
    line = header["lines"][0]
    spike = np.flatnonzero(arrays[line["y"]] == np.float32(9.0))
    assert arrays[line["x"]][spike].tolist() == [12_345]
    assert not line["complete"]
    assert header["limits"]["linear"][1] < 2


def test_sent_smoothed_values_are_those_of_the_definition():
    history, sums = MetricHistory(), KeptSums()
    values = noisy(40_000)
    fill(history, values)
    history.history("loss")
    for _ in range(2):  # the second time from kept sums
        header, arrays = read(history, smoothing=0.97, sums=sums)
        line = header["lines"][0]
        whole = smooth(np.arange(40_000), np.array(values), 0.97)
        np.testing.assert_allclose(arrays[line["sy"]], whole[arrays[line["sx"]]], rtol=1e-6)
    assert arrays[line["sx"]][-1] == 39_999


@pytest.mark.parametrize("limit", [16_000, 25_000, 40_000])
def test_packets_are_bounded_however_much_was_logged(limit):
    history = MetricHistory()
    for name in ("loss", "val_loss", "acc", "val_acc", *(f"extra{n}" for n in range(60))):
        fill(history, noisy(3000), name)
    history.begin_run()
    for name in ("loss", "val_loss"):
        fill(history, noisy(8000), name, run=2)
    for step in range(100):
        history.flag(step, "x" * 500)
    packet = curve_packet(history, CurveView(smoothing=0.9), limit)
    assert len(packet) <= limit
    header, _ = unpack(packet)
    assert {line["name"] for line in header["lines"]} >= {"loss", "val_loss"}


def test_a_range_of_a_long_run_is_sent_finer_and_reaches_over_its_edges():
    history = MetricHistory()
    fill(history, noisy(50_000))
    header, arrays = read(history, range=(20_000.5, 21_000))
    line = header["lines"][0]
    steps = arrays[line["x"]]
    assert (steps[0], steps[-1]) == (20_000, 21_001)
    assert len(steps) == 1002
    assert header["range"] == [20_000.5, 21_000.0]
    assert len(arrays[header["overview"]["x"]]) <= 120


def test_a_range_of_a_short_run_needs_no_other_points():
    history = MetricHistory()
    fill(history, noisy(500))
    header, _ = read(history, range=(100, 200))
    assert header["range"] is None
    assert header["lines"][0]["complete"]


def test_limits_ignore_earlier_runs():
    history = MetricHistory()
    fill(history, [1e9, 2e9, 3e9])
    history.begin_run()
    fill(history, [2.0, 1.0, 0.5], run=2)
    header, _ = read(history)
    assert header["limits"]["linear"] == [0.0, 2.0]
    assert [run["name"] for run in header["runs"]] == ["run 1", "run 2"]


def test_the_clock_table_reads_epochs_and_seconds_off_steps():
    history = MetricHistory()
    fill(history, noisy(4000))
    header, arrays = read(history)
    clock = header["runs"][0]["clock"]
    at = np.searchsorted(arrays[clock + "s"], 1000)
    assert arrays[clock + "s"][at] >= 1000
    np.testing.assert_allclose(arrays[clock + "t"], arrays[clock + "s"] * 0.01, rtol=1e-5)
    np.testing.assert_allclose(arrays[clock + "e"], arrays[clock + "s"] / 1000, atol=2e-3)
    assert [n for _, n in header["epochs"]] == [1, 2, 3]


def test_metrics_beyond_those_that_are_listed_are_counted():
    history = MetricHistory()
    for at in range(50):
        fill(history, [1.0], name=f"m{at}")
    header, _ = read(history)
    assert len(header["metrics"]) == 40
    assert header["metrics_left_out"] == 10
    assert read(history, names=("m3", "m45"))[0]["metrics_left_out"] == 0


def test_another_metric_gets_the_plot_when_asked():
    history = MetricHistory()
    fill(history, [1.0, 2.0])
    fill(history, [0.1, 0.9], "acc")
    assert read(history)[0]["metric"] == "loss"
    header, _ = read(history, metric="acc")
    assert header["metric"] == "acc"
    assert header["metrics"] == ["loss", "acc"]
    assert header["limits"]["linear"] == [0.0, 0.9]
    assert next(line for line in header["lines"] if line["name"] == "acc")["best"] == [
        1,
        pytest.approx(0.9),
    ]


def test_values_beyond_single_precision_stay_above_the_axis():
    history = MetricHistory()
    fill(history, [1.0, 1e300, 0.5])
    header, arrays = read(history)
    drawn = arrays[header["lines"][0]["y"]]
    assert np.isfinite(drawn).all()
    assert drawn[1] > 1e38
    assert header["lines"][0]["maximum"] == 1e300


def test_a_few_validation_values_far_above_the_training_curve_stay_in_view():
    history = MetricHistory()
    for step in range(1000):
        history.add(ScalarLogged(step=step, name="loss", value=1.0 + step % 3, run=1))
    for step in (250, 500, 750):
        history.add(ScalarLogged(step=step, name="val_loss", value=50.0, run=1))
    header, _ = unpack(curve_packet(history, CurveView()))
    assert header["limits"]["linear"][1] >= 50.0


@pytest.mark.parametrize(
    "values",
    [
        [3.0 * 160.0**step for step in range(60)],
        [1e16 + 2.0 * (step % 3) for step in range(60)],
        [(-1.0) ** step * 1e308 for step in range(60)],
    ],
    ids=["diverging", "large offset", "both ends"],
)
@pytest.mark.filterwarnings("error")
def test_values_that_float32_cannot_show_are_sent_as_they_are(values):
    history = MetricHistory()
    fill(history, values)
    header, arrays = read(history)
    np.testing.assert_array_equal(arrays[header["lines"][0]["y"]], values)
    low, high = header["limits"]["linear"]
    assert math.isfinite(high - low)
    assert high > low
