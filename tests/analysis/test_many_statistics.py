import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nbtorchviz.analysis.many_statistics import summarise_many
from nbtorchviz.analysis.statistics import summarise
from nbtorchviz.events import EXPONENTS, LOWEST_EXPONENT


def test_numbers_worked_by_hand():
    (one, two), (first, second) = summarise_many(
        [np.float32([-1.0, 0.0, 3.0, np.nan, np.inf]), np.float32([5.0])], [50, 1]
    )
    assert (one.count, one.sampled, one.minimum, one.maximum) == (50, 5, -1.0, 3.0)
    assert one.mean == pytest.approx(2 / 3)
    assert one.std == pytest.approx(math.sqrt(26) / 3)
    assert (one.zero_share, one.nan, one.posinf, one.neginf) == (0.2, 1, 1, 0)
    assert (two.mean, two.std, two.exact) == (5.0, 0.0, True)
    assert first.counts_negative[0 - LOWEST_EXPONENT] == 1  # 2**0 <= |-1| < 2**1
    assert first.counts_positive[1 - LOWEST_EXPONENT] == 1  # 2**1 <= 3 < 2**2
    assert (first.zeros, first.nan, first.posinf, first.count) == (1, 1, 1, 5)
    assert second.counts_positive[2 - LOWEST_EXPONENT] == 1  # 4 <= 5 < 8


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_out_of_the_bins_go_into_the_outer_ones(dtype):
    _, (histogram,) = summarise_many([np.array([1e-30, -1e30], dtype)], [2])
    assert histogram.counts_positive[0] == 1
    assert histogram.counts_negative[EXPONENTS - 1] == 1


def test_empty_samples_between_others_have_a_note_and_no_numbers():
    statistics, histograms = summarise_many([np.empty(0), np.ones(2), np.empty(0)], [0, 2, 7])
    assert [row.note for row in statistics] == ["empty", "", "empty"]
    assert [row.mean for row in statistics] == [None, 1.0, None]
    assert [row.count for row in histograms] == [0, 2, 0]
    assert summarise_many([], []) == ([], [])


@given(
    samples=st.lists(
        arrays(np.float32, st.integers(0, 30), elements=st.floats(width=32)), max_size=6
    )
)
def test_each_row_is_as_if_it_had_been_summarised_alone(samples):
    statistics, histograms = summarise_many(samples, [sample.size for sample in samples])
    for sample, many, histogram in zip(samples, statistics, histograms, strict=True):
        alone = summarise(torch.from_numpy(sample))
        for name in ("count", "sampled", "minimum", "maximum", "zero_share", "nan", "posinf"):
            assert getattr(many, name) == getattr(alone, name)
        if alone.mean is None:
            assert many.mean is None
        else:
            largest = max(abs(alone.minimum), abs(alone.maximum))
            assert many.mean == pytest.approx(alone.mean, abs=1e-9 * largest)
            assert many.std == pytest.approx(alone.std, rel=1e-6, abs=1e-7 * largest)
        binned = int(histogram.counts_negative.sum() + histogram.counts_positive.sum())
        assert binned + histogram.zeros + many.nan + many.posinf + many.neginf == sample.size
