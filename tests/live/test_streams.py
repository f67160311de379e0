import pytest

from nbtorchviz.live.sender import Sender
from nbtorchviz.live.streams import SHARE, SLOWEST_GAP_S


@pytest.fixture
def stream():
    sender = Sender(on_fault=lambda where, error: pytest.fail(f"{where}: {error}"))
    yield sender.add("curve", lambda limit: None, lambda payload: None, max_hz=10)
    sender.close()


def test_a_dear_stream_slows_down_alone_until_it_takes_its_share(stream):
    for _ in range(20):
        stream.slow_down(0.002)
    assert stream.flow.gap_s == pytest.approx(0.002 / SHARE, rel=0.01)


def test_a_cheap_stream_keeps_its_rate_and_a_very_dear_one_still_comes(stream):
    stream.slow_down(0.00001)
    assert stream.flow.gap_s == pytest.approx(0.1)
    for _ in range(20):
        stream.slow_down(5.0)
    assert stream.flow.gap_s == pytest.approx(SLOWEST_GAP_S, rel=0.01)
