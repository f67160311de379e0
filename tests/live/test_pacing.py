import pytest

from nbtorchviz.live.pacing import (
    LEAST_LIMIT_BYTES,
    MAX_FRAME_BYTES,
    TokenBucket,
    adapted_limit_bytes,
    blind_gap_s,
    lost_gap_s,
    sparse_limit_bytes,
)


def test_bucket_allows_a_burst_then_its_rate():
    bucket = TokenBucket(rate=10, capacity=5, debt=100)
    assert bucket.wait_s(0.0) == 0
    bucket.draw(0.0, 5)
    assert bucket.wait_s(0.0) == 0  # empty, no debt
    bucket.draw(0.0, 10)
    assert bucket.wait_s(0.0) == pytest.approx(1.0)
    assert bucket.wait_s(0.5) == pytest.approx(0.5)
    assert bucket.wait_s(100.0, amount=5) == 0
    assert bucket.wait_s(100.0, amount=6) == pytest.approx(0.1)


def test_bucket_forgives_what_lies_beyond_its_debt():
    bucket = TokenBucket(rate=10, capacity=5, debt=10)
    for _ in range(100):
        bucket.draw(0.0, 50)
    assert bucket.wait_s(0.0) == pytest.approx(1.0)


def test_bucket_ignores_a_clock_that_goes_back():
    bucket = TokenBucket(rate=1, capacity=5)
    bucket.draw(10.0, 5)
    assert bucket.wait_s(9.0, amount=1) == pytest.approx(1.0)


def test_lost_gap_doubles_up_to_a_minute():
    gaps = [lost_gap_s(t) for t in (0, 0.9, 1, 2.9, 3, 7, 15, 31, 62, 63, 1e6)]
    assert gaps == [1, 1, 2, 2, 4, 8, 16, 32, 32, 60, 60]


def test_blind_gap_stays_at_a_second_then_grows_to_a_minute():
    assert [blind_gap_s(t) for t in (0, 120, 660, 3660, 1e6)] == [1, 1, 10, 60, 60]


def test_sparse_frames_shrink_from_64_to_16_kilobytes():
    assert [sparse_limit_bytes(g) for g in (1.0, 10.0, 60.0)] == [64_000, 16_000, 16_000]
    assert 16_000 < sparse_limit_bytes(4.0) < 64_000


@pytest.mark.parametrize(
    ("limit", "size", "took_s", "expected"),
    [
        (260_000, 260_000, 1.04, 62_500),  # 2 Mbit/s
        (260_000, 260_000, 0.25, 260_000),
        (260_000, 100_000, 0.4, 62_500),
        (260_000, 100_000, 1.0, LEAST_LIMIT_BYTES),  # a busy machine, not a slower link
        (64_000, 60_000, 0.05, 80_000),
        (64_000, 10_000, 0.05, 64_000),  # a small frame proves nothing about large ones
        (64_000, 60_000, 0.22, 64_000),
        (61_000, 260_000, 1.0, 61_000),  # an old, larger frame must not raise the limit
        (260_000, 60_000, 9.0, 130_000),
        (64_000, 60_000, 9.0, LEAST_LIMIT_BYTES),
        (MAX_FRAME_BYTES, MAX_FRAME_BYTES, 0.01, MAX_FRAME_BYTES),
    ],
)
def test_limit_adapts_to_the_time_of_an_ack(limit, size, took_s, expected):
    assert adapted_limit_bytes(limit, size, took_s) == expected


@pytest.mark.parametrize("delay_s", [0.0, 0.15])
def test_on_a_slow_link_frames_settle_where_one_takes_a_quarter_second_beside_its_delay(delay_s):
    limit = MAX_FRAME_BYTES
    for _ in range(50):
        took_s = delay_s + limit / 250_000  # 2 Mbit/s
        limit = adapted_limit_bytes(limit, limit, took_s)
    assert LEAST_LIMIT_BYTES <= limit <= 64_000
    assert limit / 250_000 <= 0.27
