from nbtorchviz.session.metrics import MetricHistory
from nbtorchviz.session.rate_watch import MOST_FLAGS, RateWatch


def test_a_run_is_described_by_the_rate_it_began_with():
    metrics = MetricHistory()
    RateWatch(metrics).look(0.05, 1)
    assert metrics.runs[-1].detail == "lr 0.05"


def test_a_drop_is_flagged_at_its_step_and_a_smooth_schedule_is_not():
    metrics = MetricHistory()
    watch = RateWatch(metrics)
    for step, rate in enumerate([0.05, 0.049, 0.048, 0.005]):
        watch.look(rate, 100 * step)
    assert [(flag.step, flag.text) for flag in metrics.flags] == [(300, "lr 0.05 → 0.005")]


def test_a_wild_schedule_does_not_fill_the_lane():
    metrics = MetricHistory()
    watch = RateWatch(metrics)
    for step in range(100):
        watch.look(0.1 if step % 2 else 0.001, step)
    assert len(metrics.flags) == MOST_FLAGS


def test_unknown_rate_says_nothing():
    metrics = MetricHistory()
    RateWatch(metrics).look(None, 1)
    assert metrics.runs[-1].detail == ""
