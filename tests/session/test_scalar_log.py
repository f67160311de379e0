"""Numbers queue up and are kept in batches: the result is as if each had been kept at once."""

from collections import deque

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from nbtorchviz.bus import EventBus
from nbtorchviz.capture.steps import Tally
from nbtorchviz.events import ScalarLogged
from nbtorchviz.session.metrics import MetricHistory
from nbtorchviz.session.scalar_log import COST_EVERY, LONGEST_QUEUE, ScalarLog


def tally_at(step):
    tally = Tally()
    tally.count = step
    return tally


CALLS = st.lists(
    st.tuples(
        st.integers(0, 20),
        st.sampled_from(["train", "eval"]),
        st.dictionaries(
            st.sampled_from(["loss", "val_loss", "acc"]),
            st.one_of(st.floats(-5, 5), st.sampled_from([float("nan"), float("inf")])),
            min_size=1,
        ),
        st.booleans(),
    ),
    max_size=40,
)


def kept(metrics):
    return {
        key: (
            view.steps.tolist(),
            np.nan_to_num(view.values, nan=99.0).tolist(),
            view.spans,
            view.smallest,
            view.largest,
            view.not_positive,
            view.logged,
        )
        for key, view in metrics.views().items()
    }


@given(calls=CALLS, sort=st.booleans())
@example(  # two names of one metric in a batch
    calls=[
        (0, "train", {"val_loss": 0.0}, True),
        (1, "eval", {"val_loss": 0.0}, False),
        (0, "train", {"val_loss": 0.0}, False),
    ],
    sort=False,
)
def test_a_batch_is_kept_as_if_each_value_had_been_kept_at_once(calls, sort):
    if sort:  # as in a training loop
        calls = sorted(calls, key=lambda call: call[0])
    at_once, batched = MetricHistory(limit=16), MetricHistory(limit=16)
    one = ScalarLog(at_once, EventBus(), Tally(), lambda: (0, 0))
    many = ScalarLog(batched, EventBus(), Tally(), lambda: (0, 0))
    for step, phase, values, settle in calls:
        for log, now in ((one, True), (many, settle)):
            log.log(step, phase, None, values)
            if now:
                log.settle()
    assert kept(at_once) == kept(batched)


def test_nothing_is_recorded_when_one_value_is_bad():
    metrics = MetricHistory()
    log = ScalarLog(metrics, EventBus(), Tally(), lambda: (0, 0))
    with pytest.raises(TypeError, match="acc"):
        log.log(None, None, 3.0, {"loss": 1.0, "acc": "x"})
    assert metrics.names() == ()
    assert log.epoch is None


@pytest.mark.parametrize("step", [None, 3.0])
def test_a_call_without_numbers_is_told_and_does_no_harm(step):
    metrics = MetricHistory()
    log = ScalarLog(metrics, EventBus(), Tally(), lambda: (0, 0))
    log.log(None, None, 1.0, {"loss": 1.0})
    with pytest.warns(UserWarning, match=r"recorded nothing.*log\(loss=loss\)"):
        log.log(step, None, None, {})
    log.log(None, None, 2.0, {})  # the epoch of what is logged next
    assert (metrics.names(), log.epoch) == (("loss",), 2.0)


def test_subscribers_hear_each_value_at_once():
    heard, bus = [], EventBus()
    bus.subscribe(ScalarLogged, heard.append)
    log = ScalarLog(MetricHistory(), bus, tally_at(7), lambda: (9, 1))
    log.log(None, "eval", 0.5, {"loss": torch.tensor(2.0, requires_grad=True)})
    (event,) = heard
    assert (event.name, event.value, event.step) == ("loss", 2.0, 7)
    assert (event.forward, event.micro, event.phase, event.epoch) == (9, 1, "eval", 0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int64])
def test_tensors_of_any_real_type_are_numbers(dtype):
    metrics = MetricHistory()
    log = ScalarLog(metrics, EventBus(), tally_at(1), lambda: (1, 0))
    log.log(None, None, None, {"loss": torch.tensor(2, dtype=dtype), "one": torch.ones(1, 1)})
    assert metrics.latest("loss").value == 2.0
    assert metrics.latest("one").value == 1.0


class OnDevice(torch.Tensor):
    """Stands for a tensor whose step may still be running."""

    is_cpu = property(lambda self: False)
    waited = 0

    def __float__(self):
        OnDevice.waited += 1
        return 1.0


@pytest.mark.parametrize("heard", [True, False])
def test_a_tensor_on_a_device_is_never_waited_for_where_it_is_logged(heard):
    OnDevice.waited, bus = 0, EventBus()
    if heard:
        bus.subscribe(ScalarLogged, lambda event: None)
    log = ScalarLog(MetricHistory(), bus, Tally(), lambda: (0, 0))
    for _ in range(LONGEST_QUEUE + 6):
        log.log(None, None, None, {"loss": torch.ones(()).as_subclass(OnDevice)})
    assert OnDevice.waited == 0
    log.settle()
    assert OnDevice.waited >= LONGEST_QUEUE + 6


def test_whoever_reads_while_a_number_is_queued_is_told_of_the_next():
    metrics, told = MetricHistory(), []
    log = ScalarLog(metrics, EventBus(), Tally(), lambda: (0, 0))

    class Queue(deque):
        read = False

        def extend(self, entries):
            if self.read:
                metrics.views()
                told.clear()
            super().extend(entries)

    metrics.listen(lambda: told.append(1))
    log._queue = Queue()
    log.log(None, None, None, {"loss": 1.0})
    Queue.read = True
    log.log(None, None, None, {"loss": 2.0})
    assert told


def test_what_logging_costs_is_booked_once_whatever_the_step():
    now = [0.0]

    def clock():
        now[0] += 1.0
        return now[0]

    log = ScalarLog(MetricHistory(), EventBus(), Tally(), lambda: (0, 0), clock)
    for _ in range(10 * COST_EVERY):
        log.log(None, None, None, {"loss": 1.0})
    assert log.take_cost_s() == 10 * COST_EVERY
