import threading

from nbtorchviz.live.ticker import Ticker


def test_callbacks_are_called_again_and_again_until_cancelled():
    ticker, ticks = Ticker(0.001), threading.Semaphore(0)
    cancel = ticker.add(ticks.release)
    assert all(ticks.acquire(timeout=60) for _ in range(3))
    thread = ticker._thread
    cancel()
    thread.join(60)
    assert not thread.is_alive()


def test_a_failing_callback_does_not_stop_the_others(caplog):
    ticker, ticks = Ticker(0.001), threading.Semaphore(0)
    stop = [ticker.add(lambda: 1 / 0), ticker.add(ticks.release)]
    assert all(ticks.acquire(timeout=60) for _ in range(2))
    for cancel in stop:
        cancel()
    assert "ZeroDivisionError" in caplog.text


def test_adding_after_the_thread_ended_starts_another():
    ticker, ticks = Ticker(0.001), threading.Semaphore(0)
    cancel = ticker.add(ticks.release)
    assert ticks.acquire(timeout=60)
    cancel()
    ticker._thread.join(60)
    cancel = ticker.add(ticks.release)
    assert ticks.acquire(timeout=60)
    cancel()
