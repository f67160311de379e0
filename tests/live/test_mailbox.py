import threading

from nbtorchviz.live.mailbox import Mailbox


def test_the_last_value_of_each_name_wins():
    box = Mailbox()
    for value in range(30):
        box.post("channel", value)
    box.post("layer", "fc")
    assert box.take() == {"channel": 29, "layer": "fc"}
    assert box.take() == {}


def test_version_tells_that_something_came():
    box = Mailbox()
    before = box.version
    box.post("layer", "fc")
    box.take()
    assert box.version == before + 1


def test_wake_is_called_after_the_value_is_there_and_may_take():
    box, seen = Mailbox(), []
    cancel = box.wake(lambda: seen.append(box.take()))
    box.post("layer", "fc")
    cancel()
    box.post("layer", "conv")
    assert seen == [{"layer": "fc"}]


def test_a_wake_that_fails_loses_no_value():
    box = Mailbox()
    box.wake(lambda: 1 / 0)
    try:
        box.post("layer", "fc")
    except ZeroDivisionError:
        assert box.take() == {"layer": "fc"}


def test_nothing_is_lost_between_threads_that_post_and_one_that_takes():
    box, last = Mailbox(), {}

    def post(name):
        for value in range(2000):
            box.post(name, value)

    threads = [threading.Thread(target=post, args=(f"t{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        last.update(box.take())
    last.update(box.take())
    assert last == {f"t{i}": 1999 for i in range(8)}
    assert box.version == 16_000
