"""summarise: numbers worked by hand, then numpy as the oracle over everything a hook may meet."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch._subclasses import FakeTensorMode

from nbtorchviz.analysis.statistics import histogram, summarise
from tests.examples import MANY

NAN, INF = math.nan, math.inf


def test_numbers_worked_by_hand():
    got = summarise(torch.tensor([[1.0, NAN, 0.0], [3.0, INF, -INF]]))
    assert (got.count, got.sampled, got.nan, got.posinf, got.neginf) == (6, 6, 1, 1, 1)
    assert (got.minimum, got.maximum) == (0.0, 3.0)
    assert got.mean == pytest.approx(4 / 3)
    assert got.std == pytest.approx(math.sqrt(14 / 9))  # (1/9 + 16/9 + 25/9) / 3
    assert got.zero_share == pytest.approx(1 / 6)
    assert got.exact


def test_spread_far_from_zero_is_not_lost():
    values = torch.full((1000,), 1e4)
    values[::2] += 2.0
    assert summarise(values).std == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize("size", [1e300, 1e-300])
def test_squares_beyond_float64_do_not_overflow(size):
    got = summarise(np.array([-size, size]))
    assert got.mean == 0
    assert got.std == pytest.approx(size)


def _unusual():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with FakeTensorMode():
            fake = torch.zeros(3)
        ragged = [torch.ones(2, 3), torch.ones(4, 3)]
        return {
            "empty": (torch.empty(0, 3), "empty", 0),
            "no axes": (torch.tensor(2.0), "", 1),
            "bool": (torch.tensor([True, False]), "", 2),
            "uint16": (torch.ones(5).to(torch.uint16), "", 5),
            "bfloat16": (torch.ones(3).bfloat16(), "", 3),
            "float16": (torch.full((9,), 65504.0).half(), "", 9),
            "e4m3": (torch.ones(4).to(torch.float8_e4m3fn), "", 4),
            "e5m2": (torch.ones(4).to(torch.float8_e5m2), "", 4),
            "fp4": (
                torch.zeros(4, dtype=torch.uint8).view(torch.float4_e2m1fn_x2),
                "shape only",
                0,
            ),
            "conjugate": (torch.tensor([3 + 4j]).conj(), "|z| of complex", 1),
            "half complex": (torch.tensor([3 + 4j]).to(torch.complex32), "|z| of complex", 1),
            "imaginary": (torch.tensor([3 + 4j]).conj().imag, "", 1),
            "coo": (torch.eye(4).to_sparse(), "stored values", 4),
            "csr": (torch.eye(4).to_sparse_csr(), "stored values", 4),
            "coo, empty": (torch.zeros(4, 4).to_sparse(), "stored values", 0),
            "mkldnn": (torch.ones(2, 2).to_mkldnn(), "", 4),
            "meta": (torch.empty(4, device="meta"), "shape only", 0),
            "fake": (fake, "shape only", 0),
            "nested": (torch.nested.nested_tensor(ragged), "nested", 18),
            "jagged": (torch.nested.nested_tensor(ragged, layout=torch.jagged), "nested", 18),
            "quantised": (torch.quantize_per_tensor(torch.ones(6), 0.1, 0, torch.quint8), "deq", 6),
            "needs grad": (torch.ones(3, requires_grad=True), "", 3),
            "array of text": (np.array(["a"]), "not numbers", 0),
            "text": ("x", "not a tensor: str", 0),
            "None": (None, "not a tensor: NoneType", 0),
        }


@pytest.mark.parametrize("kind", _unusual())
def test_every_kind_of_tensor_gives_statistics_or_a_reason(kind):
    values, note, sampled = _unusual()[kind]
    got = summarise(values)
    assert note in got.note
    assert got.sampled == sampled
    assert (got.mean is None) == (sampled == 0)
    if sampled:
        assert math.isfinite(got.std)


def test_absolute_value_of_complex_and_scale_of_quantised():
    assert summarise(torch.tensor([3 + 4j, 0])).maximum == 5
    quantised = torch.quantize_per_tensor(torch.arange(4000.0), 20.0, 0, torch.quint8)
    assert summarise(quantised, limit=100).maximum > 3500


def test_tensor_that_refuses_is_named_not_raised():
    class Refusing(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            raise RuntimeError("no")

    assert summarise(torch.ones(3).as_subclass(Refusing)).note == "not readable: RuntimeError"


def test_expanded_tensor_is_not_materialised():
    got = summarise(torch.tensor([1.0, NAN]).expand(10**9, 2))
    assert (got.count, got.sampled, got.nan) == (2 * 10**9, 2 * 10**9, 10**9)
    assert summarise(np.broadcast_to(np.ones(1), (10**10,))).mean == 1


@pytest.mark.parametrize(
    "values",
    [
        torch.arange(60_000.0).reshape(10, 20, 300),
        torch.arange(60_000.0).reshape(10, 30, 10, 20).to(memory_format=torch.channels_last),
        torch.arange(120_000.0).reshape(2, 300, 200)[:, ::2],
        torch.arange(60_000.0).reshape(300, 200).T.numpy(),
    ],
    ids=["contiguous", "channels last", "slice with gaps", "numpy, transposed"],
)
def test_sample_is_bounded_and_meets_every_part(values):
    got, exact = summarise(values, limit=2048), summarise(values)
    assert 600 < got.sampled <= 2048
    assert not got.exact
    assert got.mean == pytest.approx(exact.mean, rel=0.02)
    assert got.std == pytest.approx(exact.std, rel=0.02)


def test_stride_does_not_keep_to_one_column():
    stripes = torch.zeros(4096, 64)
    stripes[:, 0] = 1.0
    assert summarise(stripes, limit=4096).mean == pytest.approx(1 / 64, rel=0.1)


SMALLEST = 5e-324
FLOATS = [np.float16, np.float32, np.float64]
INTS = [np.int8, np.uint8, np.int32, np.int64, np.bool_]
ARRAYS = hnp.arrays(
    st.sampled_from(FLOATS + INTS), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
)
SETTINGS = settings(max_examples=MANY, deadline=None, suppress_health_check=list(HealthCheck))


@SETTINGS
@example(array=np.array([5e-324, 0.0]), as_tensor=True, flip=False)
@given(array=ARRAYS, as_tensor=st.booleans(), flip=st.booleans())
def test_agrees_with_numpy_in_float64(array, as_tensor, flip):
    array = np.array(array)
    values = array.T if flip else array
    got = summarise(torch.from_numpy(array).permute(tuple(range(array.ndim))[::-1]))
    if not as_tensor:
        got = summarise(values)
    wide = array.astype(np.float64)
    finite = wide[np.isfinite(wide)]
    assert (got.count, got.sampled) == (array.size, array.size)
    assert got.nan == np.isnan(wide).sum()
    assert (got.posinf, got.neginf) == ((wide == INF).sum(), (wide == -INF).sum())
    if not finite.size:
        assert (got.minimum, got.maximum, got.mean, got.std) == (None,) * 4
        return
    assert (got.minimum, got.maximum) == (finite.min(), finite.max())
    assert got.zero_share == pytest.approx((wide == 0).mean())
    scale = float(np.abs(finite).max()) or 1.0
    shifted = finite / scale if 0 < scale < INF else finite
    ulp = SMALLEST / scale  # the smallest numbers have no fractions
    assert got.mean / scale == pytest.approx(shifted.mean(), rel=1e-9, abs=max(1e-12, ulp))
    assert got.std / scale == pytest.approx(shifted.std(), rel=1e-7, abs=max(1e-9, ulp))
    assert got.minimum <= got.mean <= got.maximum


@SETTINGS
@given(array=ARRAYS, bins=st.integers(1, 40))
def test_histogram_counts_every_value_once(array, bins):
    got = histogram(array, bins=bins)
    wide = np.asarray(array).astype(np.float64)
    finite = wide[np.isfinite(wide)]
    assert got.zeros == (finite == 0).sum()
    assert got.nonfinite == wide.size - finite.size
    assert got.counts.sum() + got.zeros + got.nonfinite == got.count == wide.size
    if got.counts.size:
        assert len(got.edges) == bins + 1
        assert np.all(np.diff(got.edges) >= 0)
        assert got.edges[0] <= finite.min()
        assert got.edges[-1] >= finite.max()


def test_histogram_worked_by_hand():
    got = histogram(torch.tensor([0.0, 0.0, 1.0, 2.0, 2.0, 4.0, NAN]), bins=4)
    np.testing.assert_allclose(got.edges, [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(got.counts, [0, 1, 2, 1])
    assert (got.zeros, got.nonfinite, got.count) == (2, 1, 7)


def test_histogram_matches_numpy_on_ordinary_values():
    values = np.random.default_rng(0).normal(size=5000)
    counts, edges = np.histogram(values, 32)
    got = histogram(values, bins=32)
    np.testing.assert_allclose(got.edges, edges)
    assert np.abs(got.counts - counts).sum() <= 2  # an edge may round either way


def test_histogram_of_what_cannot_be_read_is_empty():
    assert histogram("x").count == 0
