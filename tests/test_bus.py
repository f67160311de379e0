import threading
import timeit

import pytest

from nbtorchviz.bus import MOST_FAILURES, QUEUE_LENGTH, EventBus
from nbtorchviz.events import Event, FaultRaised, ScalarLogged


def loss(step: int = 0) -> ScalarLogged:
    return ScalarLogged(step=step, name="loss", value=1.0)


def test_handlers_hear_their_type_in_order_of_subscription():
    bus, heard = EventBus(strict=True), []
    bus.subscribe(ScalarLogged, lambda event: heard.append(("first", event.step)))
    bus.subscribe(ScalarLogged, lambda event: heard.append(("second", event.step)))
    bus.publish(loss(3))
    bus.publish(FaultRaised(where="x", message="y"))
    assert heard == [("first", 3), ("second", 3)]


def test_subscribing_to_the_base_class_hears_every_event():
    bus, heard = EventBus(strict=True), []
    bus.subscribe(Event, heard.append)
    bus.publish(loss())
    bus.publish(FaultRaised(where="x", message="y"))
    assert [type(event) for event in heard] == [ScalarLogged, FaultRaised]


def test_cancelled_handler_hears_no_more_and_cancelling_twice_is_fine():
    bus, heard = EventBus(strict=True), []
    with bus.subscribe(ScalarLogged, heard.append) as subscription:
        bus.publish(loss())
    subscription.cancel()
    bus.publish(loss())
    assert len(heard) == 1
    assert not subscription.active
    assert not bus.wants(ScalarLogged)


def test_wants_follows_every_subscription_whatever_it_answered_before():
    bus = EventBus(strict=True)
    assert not bus.wants(ScalarLogged)
    with bus.subscribe(Event, lambda event: None):
        assert bus.wants(ScalarLogged)
    assert not bus.wants(ScalarLogged)
    first = bus.subscribe(ScalarLogged, lambda event: None)
    second = bus.subscribe(ScalarLogged, lambda event: None)
    first.cancel()
    assert bus.wants(ScalarLogged)
    second.cancel()
    assert not bus.wants(ScalarLogged)
    bus.subscribe(ScalarLogged, lambda event: None)
    assert bus.wants(ScalarLogged)
    bus.close()
    assert not bus.wants(ScalarLogged)


def test_handler_may_cancel_itself_while_others_still_hear():
    bus, heard = EventBus(strict=True), []
    first = bus.subscribe(ScalarLogged, lambda event: first.cancel())
    bus.subscribe(ScalarLogged, heard.append)
    bus.publish(loss(1))
    bus.publish(loss(2))
    assert [event.step for event in heard] == [1, 2]


def test_failing_handler_is_reported_counted_and_dropped_after_five_while_others_hear():
    faults, heard = [], []
    bus = EventBus(on_fault=lambda where, error, count: faults.append((where, count)))
    broken = bus.subscribe(ScalarLogged, lambda event: event.no_such_field)
    bus.subscribe(ScalarLogged, heard.append)
    for step in range(MOST_FAILURES + 3):
        bus.publish(loss(step))
    assert [count for _, count in faults] == [1, 2, 3, 4, 5]
    assert "ScalarLogged handler" in faults[0][0]
    assert not broken.active
    assert len(heard) == MOST_FAILURES + 3


def test_failure_is_logged_once(caplog):
    bus = EventBus()
    bus.subscribe(ScalarLogged, lambda event: 1 / 0)
    bus.publish(loss())
    bus.publish(loss())
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "ZeroDivisionError" in caplog.text


def test_strict_bus_lets_the_exception_through():
    bus = EventBus(strict=True)
    bus.subscribe(ScalarLogged, lambda event: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        bus.publish(loss())


def test_keyboard_interrupt_in_a_handler_always_passes():
    bus = EventBus()

    def interrupt(event):
        raise KeyboardInterrupt

    bus.subscribe(ScalarLogged, interrupt)
    with pytest.raises(KeyboardInterrupt):
        bus.publish(loss())


@pytest.mark.parametrize("arguments", [(print, ScalarLogged), (ScalarLogged, None)])
def test_swapped_or_missing_arguments_are_refused_in_words(arguments):
    with pytest.raises(TypeError, match=r"subscribe\(\) needs"):
        EventBus().subscribe(*arguments)


def test_threaded_bus_runs_user_handlers_elsewhere_and_inline_ones_here():
    bus, threads = EventBus(threaded=True), {}
    bus.subscribe(ScalarLogged, lambda e: threads.setdefault("user", threading.current_thread()))
    bus.subscribe(
        ScalarLogged,
        lambda e: threads.setdefault("widget", threading.current_thread()),
        inline=True,
    )
    bus.publish(loss())
    assert bus.flush()
    assert threads["widget"] is threading.current_thread()
    assert threads["user"] is not threading.current_thread()
    bus.close()
    assert not threads["user"].is_alive()


def test_slow_handler_loses_the_oldest_events_and_the_count_is_kept():
    bus, seen, gate, entered = EventBus(threaded=True), [], threading.Event(), threading.Event()

    def slow(event):
        entered.set()
        gate.wait(60)
        seen.append(event.step)

    bus.subscribe(ScalarLogged, slow)
    bus.publish(loss(0))
    assert entered.wait(60)  # the first event has left the queue
    for step in range(1, QUEUE_LENGTH + 11):
        bus.publish(loss(step))
    gate.set()
    assert bus.flush(10)
    assert bus.dropped == 10
    assert seen == [0, *range(11, QUEUE_LENGTH + 11)]
    bus.close()


def test_eight_threads_publish_and_subscribe_without_losing_an_event():
    bus, total, lock = EventBus(strict=True), [0], threading.Lock()

    def count(event):
        with lock:
            total[0] += 1

    bus.subscribe(ScalarLogged, count)

    def work():
        for step in range(500):
            with bus.subscribe(FaultRaised, count):
                bus.publish(loss(step))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert total[0] == 8 * 500


def test_publishing_without_subscribers_does_no_work():
    bus, event = EventBus(), loss()
    per_call_s = min(timeit.repeat(lambda: bus.publish(event), number=1000, repeat=5)) / 1000
    assert per_call_s < 20e-6  # the bar, 1 us, is printed by the benchmark; this catches a blunder


def test_a_subscription_that_the_garbage_collector_cancels_while_another_is_made_stays_cancelled():
    bus, heard = EventBus(), []
    first = bus.subscribe(ScalarLogged, heard.append)

    class Handlers(dict):
        def get(self, *args):
            found = super().get(*args)
            if bus.collect:
                bus.collect = False
                first.cancel()
            return found

    bus.collect, bus._handlers = True, Handlers(bus._handlers)
    second = bus.subscribe(ScalarLogged, lambda event: None)
    assert (first.active, second.active) == (False, True)
    second.cancel()
    assert not bus.wants(ScalarLogged)
