import math
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nbtorchviz.analysis.statistics import summarise
from nbtorchviz.capture.leaves import leaves, pick
from nbtorchviz.capture.plans import Want
from nbtorchviz.capture.reductions import pool, spread, zero_channels
from nbtorchviz.capture.tensors import cut, develop

LAYOUT = SimpleNamespace(batch_axis=0, axes=("C", "H", "W"), note="", sample_word="sample")


def catch(tensor, want=None, layout=LAYOUT):
    return develop(cut(tensor, want or Want("x"), layout, key="x", call=0, path=""), summarise)


def test_leaves_are_named_by_where_they_lie():
    pair = namedtuple("pair", "y state")
    one = torch.ones(1)
    output = {"out": pair(one, [one, None, "text"]), "n": 3, 5: (one,)}
    assert [path for path, _ in leaves(output)] == ["out.y", "out.state.0", "5.0"]
    assert leaves("nothing") == []


def test_the_first_floating_leaf_is_the_default():
    found = leaves((torch.arange(2), torch.ones(2)))
    assert pick(found, "")[0] == "1"
    assert pick(leaves((torch.arange(2),)), "")[0] == "0"
    assert pick(found, "7") is None


def test_walks_are_bounded():
    deep = [[[[[torch.ones(1)]]]]]
    assert leaves(deep) == []
    assert len(leaves([torch.ones(1)] * 100)) == 64


@pytest.mark.parametrize(
    "dtype",
    [torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.uint8, torch.bool]
    + [getattr(torch, n) for n in ("uint16", "float8_e4m3fn", "float8_e5m2") if hasattr(torch, n)],
)
def test_every_readable_dtype_is_shown(dtype):
    values = torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]]]).to(dtype)
    caught = catch(values)
    assert caught.values.tolist() == [[[0.0, 1.0], [1.0, 0.0]]]
    assert caught.dtype == str(dtype).removeprefix("torch.")


def test_meta_tensors_are_a_shape_and_words():
    caught = catch(torch.empty(2, 3, 4, 4, device="meta"))
    assert (caught.shape, caught.values.size) == ((2, 3, 4, 4), 0)
    assert caught.notes == ("meta tensor: it has a shape and no values",)


def test_fake_tensors_are_words():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        fake = torch.ones(2, 3, 4, 4)
    assert "fake tensor" in catch(fake).notes[0]


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")
def test_sparse_tensors_are_dense_pictures_with_a_word():
    values = torch.zeros(2, 4)
    values[1, 2] = 5.0
    row = SimpleNamespace(batch_axis=0, axes=("F",), note="", sample_word="sample")
    for tensor in (values.to_sparse(), values.to_sparse_csr()):
        caught = catch(tensor, Want("x", sample=1), row)
        assert caught.values.tolist() == [0.0, 0.0, 5.0, 0.0]
        assert "sparse, 12 % stored" in caught.notes


@pytest.mark.parametrize(
    ("zeros", "share"), [(0, "100 %"), (1, "90 %"), (9, "10 %")], ids=["none", "one", "most"]
)
def test_what_a_sparse_tensor_stores_is_a_plain_share(zeros, share):
    values = torch.ones(1, 10)
    values[0, :zeros] = 0
    row = SimpleNamespace(batch_axis=0, axes=("F",), note="", sample_word="sample")
    assert f"sparse, {share} stored" in catch(values.to_sparse(), None, row).notes


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_quantised_tensors_are_dequantised():
    tensor = torch.quantize_per_tensor(torch.ones(2, 1, 2, 2), 0.1, 0, torch.qint8)
    caught = catch(tensor)
    np.testing.assert_allclose(caught.values, np.ones((1, 2, 2)), atol=0.1)
    assert "dequantised" in caught.notes


def test_what_only_float64_can_hold_is_not_drawn_as_infinite():
    tensor = torch.tensor([1e39, -1e300, math.inf, -math.inf, math.nan, 2.0], dtype=torch.float64)
    caught = catch(tensor.reshape(1, 1, 2, 3))
    largest = np.finfo(np.float32).max
    expected = np.array([largest, -largest, np.inf, -np.inf, np.nan, 2.0], np.float32)
    np.testing.assert_array_equal(caught.values.ravel(), expected)
    assert "values beyond 3.4e38 are drawn as 3.4e38" in caught.notes
    assert (caught.statistics.posinf, caught.statistics.neginf, caught.statistics.nan) == (1, 1, 1)
    assert not catch(tensor[2:].reshape(1, 1, 2, 2)).notes


def test_expanded_tensors_are_not_materialised():
    caught = catch(torch.zeros(1, 1, 1, 1).expand(1_000_000, 1, 2, 2))
    assert caught.batch_size == 1_000_000
    assert caught.values.shape == (1, 2, 2)


def test_the_sample_is_clipped_to_the_batch():
    tensor = torch.arange(3.0).reshape(3, 1, 1, 1)
    assert catch(tensor, Want("x", sample=9)).sample == 2
    assert catch(tensor, Want("x", sample=-1)).sample == 0


def test_unexact_wants_are_pooled_in_the_hook_with_sampled_statistics():
    tensor = torch.randn(1, 2, 100, 100)
    caught = catch(tensor, Want("x", exact=False, limit=5_000))
    assert (caught.pooled, caught.values.shape) == (2, (2, 50, 50))
    assert caught.statistics.count == 20_000
    assert caught.statistics.sampled <= 2_048


def test_a_cut_of_too_many_channels_is_said():
    caught = catch(torch.randn(1, 500, 2, 2), Want("x", limit=100))
    assert caught.values.shape == (100, 1, 1)
    assert "first 100 of 500 channels" in caught.notes
    assert caught.statistics.count == 2_000


@pytest.mark.parametrize(
    ("shape", "axes", "limit", "result", "factor"),
    [
        ((3, 8, 8), ("C", "H", "W"), 48, (3, 4, 4), 2),
        ((8, 8, 3), ("H", "W", "C"), 48, (4, 4, 3), 2),
        ((2, 100), ("C", "L"), 50, (2, 25), 4),
        ((2, 4, 4, 4), ("C", "D", "H", "W"), 16, (2, 2, 2, 2), 2),
        ((1000,), ("F",), 100, (100,), 10),
        ((3, 8, 8), ("C", "H", "W"), 192, (3, 8, 8), 1),
        ((500, 1, 1), ("C", "H", "W"), 100, (100, 1, 1), 2),
    ],
)
def test_pooling_averages_the_spatial_axes(shape, axes, limit, result, factor):
    tensor = torch.arange(float(np.prod(shape))).reshape(shape)
    pooled, used = pool(tensor, axes, limit)
    assert (tuple(pooled.shape), used) == (result, factor)
    if result[0] == shape[0] or axes == ("H", "W", "C") or axes == ("F",):
        torch.testing.assert_close(pooled.mean(), tensor.mean())


def test_spread_samples_meet_every_channel_and_column():
    tensor = torch.arange(64.0).repeat(64 * 8, 1)  # a stride of 32 would see two columns
    assert len(spread(tensor).unique()) == 64
    last = torch.randn(4, 32, 20, 20).to(memory_format=torch.channels_last)
    assert spread(last).numel() <= 2_048
    assert spread(tensor[:, ::3]).numel() <= 2_048


def test_zero_channels_agree_with_a_full_look():
    tensor = torch.randn(16, 8, 20, 20)
    tensor[:, 2] = 0
    tensor[:, 5] = 0
    tensor[7, 5, 11, 13] = 1e-30
    tensor[:, 6] = 0
    tensor[3, 6, 0, 1] = float("nan")
    assert zero_channels(tensor, 1).tolist() == [False, False, True] + [False] * 5
    assert zero_channels(torch.zeros(2, 3), 1).tolist() == [True] * 3
