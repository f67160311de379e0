import threading

import numpy as np
import pytest

from nbtorchviz.events import ScalarLogged
from nbtorchviz.session.metrics import MOST_RUNS, MetricHistory


def log(history, step, value, name="loss", **fields):
    history.add(ScalarLogged(step=step, name=name, value=value, **fields))


def test_values_come_back_as_logged_nan_and_infinity_included():
    history = MetricHistory()
    for step, value in enumerate([2.5, float("nan"), float("inf"), 0.125]):
        log(history, step, value)
    steps, values = history.history("loss")
    assert steps.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(values, [2.5, np.nan, np.inf, 0.125])
    assert history.history("loss").note == ""


def test_latest_is_the_last_logged_and_best_the_smallest_finite():
    history = MetricHistory()
    for step, value in enumerate([3.0, 1.0, float("-inf"), 2.0, float("nan")], start=1):
        log(history, step, value)
    assert history.latest("loss").step == 5
    assert np.isnan(history.latest("loss").value)
    assert history.best("loss") == (2, 1.0)
    assert history.best("loss", largest=True) == (1, 3.0)


def test_an_unknown_metric_names_those_that_were_logged():
    history = MetricHistory()
    log(history, 1, 1.0)
    with pytest.raises(KeyError, match=r"No metric 'los' was logged. Logged: 'loss'"):
        history.history("los")


def test_beyond_the_limit_every_four_keep_their_smallest_and_largest_and_history_says_so():
    history = MetricHistory(limit=16)
    values = [9.0, 1, 5, 7, 2, 2, 8, 3, 0, 4, 4, 6, 1, 1, 1, 1, 5]
    for step, value in enumerate(values):
        log(history, step, value)
    steps, kept = history.history("loss")
    # groups (9 1 5 7) (2 2 8 3) (0 4 4 6) (1 1 1 1), then the 17th value as it is
    assert steps.tolist() == [0, 1, 4, 6, 8, 11, 12, 13, 16]
    assert kept.tolist() == [values[step] for step in steps]
    assert "17 values were logged, 9 are kept" in history.history("loss").note
    assert "17 values" in repr(history.history("loss"))


def test_nan_and_the_extremes_outlive_many_thinnings():
    history = MetricHistory(limit=100)
    random = np.random.default_rng(0)
    for step, value in enumerate(random.normal(size=5000)):
        log(history, step, float("nan") if step == 1234 else 50.0 if step == 3210 else value)
    _, values = history.history("loss")
    assert len(values) <= 100
    assert np.isnan(values).sum() == 1
    assert values[np.isfinite(values)].max() == 50.0
    assert history.views()[1, "loss"].spans == ((1234, 1234, "NaN"),)


def test_a_step_that_goes_back_begins_a_new_run():
    history = MetricHistory()
    for step in (1, 2, 3):
        log(history, step, 3.0)
    log(history, 1, 1.0)
    log(history, 2, 0.5, run=history.current_run)
    assert [info.name for info in history.runs] == ["run 1", "run 2"]
    assert history.history("loss").values.tolist() == [1.0, 0.5]
    assert history.history("loss", run=1).steps.tolist() == [1, 2, 3]


def test_a_late_value_of_an_earlier_run_is_put_in_its_place():
    history = MetricHistory()
    for step in (1, 2, 9):
        log(history, step, float(step))
    history.begin_run("second", "lr 0.4")
    log(history, 1, 0.0, run=2)
    log(history, 5, 5.0, run=1)
    assert history.history("loss", run=1).steps.tolist() == [1, 2, 5, 9]
    assert history.runs[-1].detail == "lr 0.4"


def test_a_run_without_values_is_not_counted_twice():
    history = MetricHistory()
    assert history.begin_run() == 1
    log(history, 1, 1.0)
    assert history.begin_run() == 2
    assert history.begin_run() == 2


def test_eval_metrics_are_kept_beside_the_training_ones():
    history = MetricHistory()
    log(history, 1, 2.0)
    log(history, 1, 3.0, phase="eval")
    assert history.names() == ("loss", "loss/eval")
    assert history.history("loss/eval").values.tolist() == [3.0]


def test_a_view_does_not_change_when_more_is_logged():
    history = MetricHistory(limit=64)
    for step in range(60):
        log(history, step, float(step))
    view = history.views()[1, "loss"]
    before = view.values.copy()
    for step in range(60, 400):
        log(history, step, -1.0)
    np.testing.assert_array_equal(view.values, before)


def test_runs_flags_and_gaps_are_bounded():
    history = MetricHistory()
    for _ in range(MOST_RUNS + 5):
        log(history, 2, 1.0, run=history.current_run)
        log(history, 1, 1.0, run=history.current_run)
    for step in range(500):
        history.flag(step, "x")
        history.gap(step, step)
    assert len(history.runs) == MOST_RUNS
    assert len(history.flags) == len(history.gaps) == 200
    assert history.flags[-1].step == 499


def test_spans_of_nan_stay_bounded():
    history = MetricHistory()
    for step in range(400):
        log(history, step, float("nan") if step % 2 else 1.0)
    view = history.views()[1, "loss"]
    assert len(view.spans) <= 32
    assert view.not_finite == 200
    assert view.spans[0].first == 1
    assert view.spans[-1].last == 399


def test_threads_lose_nothing():
    history = MetricHistory()

    def work(name):
        for step in range(2000):
            log(history, step, 1.0, name=name)
            history.views()

    threads = [threading.Thread(target=work, args=(f"m{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(history.history(f"m{n}").steps) for n in range(3)] == [2000] * 3


def test_listeners_hear_of_changes_until_they_stop():
    history, heard = MetricHistory(), []
    stop = history.listen(lambda: heard.append(history.version))
    log(history, 1, 1.0)
    stop()
    log(history, 2, 1.0)
    assert heard == [1]
