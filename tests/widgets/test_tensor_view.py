"""``nbv.show``: what it refuses, what it says, and the pages of a large tensor."""

import io

import pytest
import torch
from PIL import Image

import nbtorchviz as nbv
from nbtorchviz.analysis.drawing import Picture
from nbtorchviz.analysis.packets import unpack


@pytest.fixture
def shown():
    made = []

    def show(*args, **keywords):
        made.append(nbv.show(*args, **keywords))
        return made[-1]

    yield show
    for view in made:
        view.close()


def test_summary_says_shape_dtype_layout_and_numbers(shown):
    values = torch.arange(24.0).reshape(2, 3, 2, 2)
    values[0, 0, 0, 0] = float("nan")
    view = shown(values, title="grads")
    assert view.summary().split("\n") == [
        "grads 2×3×2×2, float32, read as NCHW",
        "min 1.00, max 23.0, mean 12.0, std 6.63, 1 NaN",
    ]
    assert repr(view) == "<TensorView of (2, 3, 2, 2), float32>"


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (8, 8), (5,)])
def test_picture_and_summary_say_what_was_done_before(shown, monkeypatch, shape):
    drawn, draw = [], Picture.text

    def note(self, at, text, **options):
        drawn.append(text)
        return draw(self, at, text, **options)

    monkeypatch.setattr(Picture, "text", note)
    view = shown(torch.randn(shape), mean=0.5, std=0.25)
    view.snapshot()
    done = "normalisation undone: x · std + mean"
    assert view.summary().endswith(done)
    assert any(done in text for text in drawn)


def test_the_picture_in_the_notebook_is_small_and_900_wide(shown):
    data = shown(torch.randn(64, 3, 32, 32), labels=torch.arange(64)).snapshot()
    assert len(data) <= 100_000
    assert Image.open(io.BytesIO(data)).width in (900, 1800)


def test_later_changes_of_the_tensor_are_not_seen(shown):
    values = torch.ones(4, 4, requires_grad=False)
    view = shown(values)
    before = view.summary()
    values.zero_()
    assert view.summary() == before


def test_a_sample_that_is_not_in_the_page_is_sent_when_asked_for(shown):
    view = shown(torch.rand(600, 4, 40, 40))
    first = unpack(view.picture)[0]
    assert first["held"][0] == 0
    view._on_message(None, {"type": "intent", "name": "sample", "value": 599, "view": "v"}, [])
    later = unpack(view.picture)[0]
    assert later["seq"] == first["seq"] + 1
    assert sum(later["held"]) == 600
    for odd in ({"type": "ready"}, {"type": "intent", "name": "sample", "value": "x"}):
        view._on_message(None, odd, [])
    assert unpack(view.picture)[0]["seq"] == later["seq"]


def test_a_slice_is_cut_where_it_is_asked_for(shown):
    view = shown(torch.arange(4.0).reshape(1, 1, 4, 1, 1).expand(1, 1, 4, 3, 3))
    view._on_message(None, {"type": "intent", "name": "slice", "value": 2, "view": "v"}, [])
    header, arrays = unpack(view.picture)
    assert header["display"]["slice"] == {"index": 2, "count": 4, "name": "depth"}
    assert arrays["lo"].tolist() == [[2.0]]


@pytest.mark.parametrize(
    ("keywords", "error", "words"),
    [
        ({"labels": ["a"]}, ValueError, "one for each of 2 samples, got 1"),
        ({"labels": "ab"}, TypeError, "labels must be a sequence"),
        ({"colormap": "jet"}, ValueError, "colormap must be one of"),
        ({"normalize": "none"}, ValueError, "'channel' or 'layer'"),
        ({"sample": -1}, ValueError, "sample must be a whole number"),
        ({"colour": "red"}, TypeError, "colour"),
    ],
)
def test_wrong_keywords_are_refused_in_words(keywords, error, words):
    with pytest.raises(error, match=words):
        nbv.show(torch.rand(2, 1, 4, 4), **keywords)


def test_transforms_take_the_place_of_mean_and_std():
    from torchvision.transforms import Normalize

    pixels = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    normalize = Normalize([0.3, 0.4, 0.5], [0.1, 0.2, 0.3])
    view = nbv.show(normalize(pixels), transforms=normalize)
    assert abs(view._batch.values - pixels.numpy()).max() < 1e-6
    assert view._batch.notes == (
        "normalisation undone: mean 0.3, 0.4, 0.5; std 0.1, 0.2, 0.3 (transforms=)",
    )
    with pytest.raises(ValueError, match="either transforms=, or mean= and std="):
        nbv.show(pixels, transforms=normalize, mean=0.5)
    unknown = nbv.show(normalize(pixels))._batch.picture(0, 100)
    assert unknown.note.endswith("give transforms=, or mean= and std=)")
