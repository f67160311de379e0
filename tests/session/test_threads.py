import threading

import pytest
import torch
from torch import nn

from nbtorchviz.errors import RunRefusedError
from nbtorchviz.session import watch
from nbtorchviz.session.audience import Audience
from nbtorchviz.session.looks import Look


@pytest.fixture
def net():
    return nn.Sequential(nn.Linear(4, 3))


@pytest.fixture
def session(net):
    session = watch(net, every=1)
    session.recorder.looks.set(1, Look("0", pinned=True))
    session.tap.look()
    yield session
    session.close()


def test_close_ends_a_background_run_at_its_next_boundary(net, session):
    began = threading.Event()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def fit():
        while True:
            net(torch.ones(2, 4)).sum().backward()
            optimizer.step()
            session.log(loss=1.0)
            began.set()

    run = session.train_in_background(fit)
    assert began.wait(90)
    session.close()
    assert run.join(90)
    assert (run.state, run.exception) == ("stopped", None)
    assert not net._forward_hooks


def test_a_probe_keeps_off_a_model_that_another_thread_trains(net, session):
    stepped, go_on = threading.Event(), threading.Event()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def fit():
        net(torch.ones(2, 4)).sum().backward()
        optimizer.step()
        stepped.set()
        go_on.wait(90)

    thread = threading.Thread(target=fit)
    thread.start()
    assert stepped.wait(90)
    with pytest.raises(RunRefusedError, match="Another thread is training"):
        session.probe(torch.ones(1, 4))
    assert session.pin_batch()
    session.probe_when_idle()
    assert session.recorder.kept["pinned"].steps("0") == ()
    go_on.set()
    thread.join()
    session.probe_when_idle()
    assert session.recorder.kept["pinned"].steps("0") == (1,)


def test_two_threads_that_watch_a_model_get_one_session():
    model, found = nn.Linear(2, 2), []
    barrier = threading.Barrier(4)

    def look():
        barrier.wait()
        found.append(watch(model))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    found[0].close()


def test_hooks_are_not_left_by_a_widget_that_closes_while_it_opens():
    log, inside, leave_now = [], threading.Event(), threading.Event()

    def first():
        inside.set()
        leave_now.wait(0.2)  # the other thread would overtake here
        log.append("look")

    audience = Audience(hearing=lambda: True, on_first=first, on_last=lambda: log.append("rest"))
    opener = threading.Thread(target=audience.join, args=(1, None, bool))
    opener.start()
    assert inside.wait(90)
    closer = threading.Thread(target=audience.leave, args=(1,))
    closer.start()
    opener.join()
    closer.join()
    assert log == ["look", "rest"]


def test_nobody_looks_at_a_session_that_was_shut():
    log = []
    audience = Audience(
        hearing=lambda: True, on_first=lambda: log.append("look"), on_last=lambda: None
    )
    audience.shut()
    audience.join(1, None, bool)
    assert log == []


def test_a_run_is_known_to_its_session_before_its_first_line(session, monkeypatch):
    start = threading.Thread.start

    def start_and_finish(thread):
        start(thread)
        if thread.name == "nbtorchviz-run":
            thread.join(30)

    monkeypatch.setattr(threading.Thread, "start", start_and_finish)
    known = []
    session.train_in_background(lambda: known.append(session.run is not None and session.run.here))
    assert known == [True]
