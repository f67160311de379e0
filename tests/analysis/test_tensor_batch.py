"""Any tensor as samples: the layout that was taken, what was undone, and the refusals in words."""

import re

import numpy as np
import pytest
import torch

from nbtorchviz.analysis.tensor_batch import LAYOUTS, tensor_batch
from nbtorchviz.analysis.tensor_packet import (
    MOST_PICTURES,
    PICTURES_BYTES,
    PLANES_BYTES,
    tensor_parts,
)
from nbtorchviz.analysis.tensor_picture import frame_of, tensor_picture


@pytest.mark.parametrize(
    ("shape", "layout", "items"),
    [
        ((), "", (1,)),
        ((7,), "F", (1, 7)),
        ((28, 28), "HW", (1, 1, 28, 28)),
        ((3, 8, 9), "CHW", (1, 3, 8, 9)),
        ((8, 9, 3), "HWC", (1, 8, 9, 3)),
        ((3, 9, 3), "CHW", (1, 3, 9, 3)),
        ((5, 1, 8, 9), "NCHW", (5, 1, 8, 9)),
        ((5, 8, 9, 3), "NHWC", (5, 8, 9, 3)),
        ((2, 4, 3, 8, 9), "NCDHW", (2, 4, 3, 8, 9)),
    ],
)
def test_the_layout_is_taken_from_the_shape_and_said(shape, layout, items):
    batch = tensor_batch(torch.zeros(shape))
    assert (batch.layout, batch.values.shape, batch.shape) == (layout, items, shape)
    assert batch.batched == layout.startswith("N")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_can_be_asked_for_and_drawn(layout):
    sizes = dict(zip("NCDHWLTF", (2, 3, 4, 5, 6, 7, 8, 9), strict=True))
    values = torch.rand([sizes[letter] for letter in layout])
    batch = tensor_batch(values, layout)
    assert batch.layout == layout
    header, arrays = tensor_parts(batch)
    assert header["samples"] == (2 if layout.startswith("N") else 1)
    assert frame_of(header, arrays, 0) is not None
    assert tensor_picture(header, arrays).startswith(b"\x89PNG")


def test_values_reach_the_frame_within_half_a_code():
    values = torch.randn(3, 2, 4, 5)
    header, arrays = tensor_parts(tensor_batch(values))
    facts, own = frame_of(header, arrays, 2)
    lo, hi = own["lo"][:, None, None], own["hi"][:, None, None]
    read = lo + own["planes"] * (hi - lo) / 252
    assert np.abs(read - values[2].numpy()).max() <= (hi - lo).max() / 504 + 1e-6
    assert facts["range"] == pytest.approx([float(values[2].min()), float(values[2].max())])
    assert header["stats"]["mean"] == pytest.approx(float(values.mean()), abs=1e-5)


def test_a_normalisation_is_undone_per_channel():
    picture = torch.rand(2, 3, 4, 4)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    shape = (1, 3, 1, 1)
    normal = (picture - torch.tensor(mean).reshape(shape)) / torch.tensor(std).reshape(shape)
    batch = tensor_batch(normal, mean=mean, std=std)
    np.testing.assert_allclose(batch.values, picture, atol=1e-6)
    assert "normalisation undone" in batch.notes[0]
    last = tensor_batch(normal.permute(0, 2, 3, 1), "NHWC", mean=mean, std=std)
    np.testing.assert_allclose(last.values, picture.permute(0, 2, 3, 1), atol=1e-6)
    gray = tensor_batch((picture[:, 0] - 0.1307) / 0.3081, "NHW", mean=0.1307, std=0.3081)
    np.testing.assert_allclose(gray.values[:, 0], picture[:, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("tensor", "dtype"),
    [
        (torch.ones(4, 4, dtype=torch.bfloat16), "bfloat16"),
        (torch.ones(4, 4, dtype=torch.float8_e4m3fn), "float8_e4m3fn"),
        (torch.ones(4, 4, dtype=torch.bool), "bool"),
        (torch.ones(4, 4, requires_grad=True), "float32"),
        (torch.eye(4).to_sparse(), "float32"),
        ([[1, 2], [3, 4]], "int64"),
        ([torch.ones(2, 2), torch.zeros(2, 2)], "float32"),
    ],
)
def test_tensors_of_any_kind_are_read(tensor, dtype):
    batch = tensor_batch(tensor)
    assert batch.dtype == dtype
    assert float(np.asarray(batch.values, np.float32).max()) >= 1


@pytest.mark.parametrize(
    ("tensor", "layout", "error", "words"),
    [
        (torch.ones(2, 2, dtype=torch.complex64), None, TypeError, "show(x.abs())"),
        (np.ones(2, complex), None, TypeError, "show(abs(x))"),
        ("a word", None, TypeError, "got 'a word'"),
        (object(), None, TypeError, "got object"),
        (torch.ones(2, device="meta"), None, TypeError, "meta device"),
        (torch.ones(1, 1, 1, 1, 1, 1), None, ValueError, "at most 5 axes"),
        (torch.ones(2, 2), "WH", ValueError, "layout must be one of NCHW"),
        (torch.ones(2, 2), "NCHW", ValueError, "names 4 axes; this tensor has 2"),
        ([torch.ones(2), torch.ones(3)], None, ValueError, "one shape"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_words(tensor, layout, error, words):
    with pytest.raises(error, match=re.escape(words)):
        tensor_batch(tensor, layout)


def test_means_of_another_number_of_channels_are_refused():
    with pytest.raises(ValueError, match="one for each of 3 channels, got 2"):
        tensor_batch(torch.rand(3, 4, 4), mean=(0.5, 0.5))


def test_a_large_batch_stays_within_its_bytes_and_pages_by_sample():
    values = torch.rand(600, 4, 40, 40)
    batch = tensor_batch(values)
    header, arrays = tensor_parts(batch, sample=500)
    assert arrays["planes"].nbytes <= PLANES_BYTES
    assert arrays["pictures"].nbytes <= PICTURES_BYTES
    assert len(arrays["pictures"]) == MOST_PICTURES
    first, count = header["held"]
    assert first <= 500 < first + count
    assert frame_of(header, arrays, 0) is None
    _, own = frame_of(header, arrays, 500)
    assert own["hi"] == pytest.approx(values[500].amax((1, 2)).numpy())
    assert tensor_picture(header, arrays, sample=0).startswith(
        b"\x89PNG"
    )  # says that it is not here


def test_what_is_not_finite_is_counted_and_never_drawn_as_a_picture():
    values = torch.rand(3, 1, 6, 6)
    values[1] = float("nan")
    values[2, 0, 0, 0] = float("inf")
    header, arrays = tensor_parts(tensor_batch(values))
    assert header["picture"]["blank"] == [1]
    assert (header["stats"]["nan"], header["stats"]["posinf"]) == (36, 1)
    assert arrays["nonfinite"].tolist() == [[0], [36], [1]]
    header, arrays = tensor_parts(tensor_batch(torch.full((2, 1, 6, 6), float("nan"))))
    assert header["picture"] == {"layout": "none", "note": "no finite value"}
    assert tensor_picture(header, arrays).startswith(b"\x89PNG")


def test_an_empty_tensor_has_a_header_and_no_arrays():
    header, arrays = tensor_parts(tensor_batch(torch.zeros(0, 3, 4, 4)))
    assert (header["display"], header["held"], arrays) == (None, [0, 0], {})
    assert tensor_picture(header, arrays).startswith(b"\x89PNG")
