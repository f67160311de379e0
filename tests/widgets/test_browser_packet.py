from dataclasses import replace

import numpy as np
import pytest

from nbtorchviz.analysis.packets import pack
from nbtorchviz.analysis.ticks import percent
from nbtorchviz.capture.tensors import MOST_NEURONS
from nbtorchviz.events import ActivationCaptured, InputCaptured, Statistics
from nbtorchviz.session.kept_frames import HALF_PRECISION
from nbtorchviz.widgets.browser_packet import Shot, frame_parts, input_json
from nbtorchviz.widgets.selection import Selection

AXES = {1: ("F",), 2: ("T", "D"), 3: ("C", "H", "W")}


def shot(shape, **how):
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    event = ActivationCaptured(
        layer="0",
        axes=AXES[len(shape)],
        values=values,
        shape=(2, *shape),
        statistics=Statistics(count=values.size, sampled=values.size),
    )
    pixels = np.random.default_rng(1).normal(size=(3, 224, 224)).astype(np.float32)
    seen = InputCaptured(axes=("C", "H", "W"), values=pixels, shape=(2, 3, 224, 224))
    return Shot(event=event, info=None, selection=Selection(layer="0"), input=seen, **how)


@pytest.mark.parametrize("limit", [16_000, 64_000, 260_000])
@pytest.mark.parametrize(
    "shape",
    [(2048, 14, 14), (20_000, 1, 1), (4096,), (50_000,), (300_000,), (512, 768), (64, 112, 112)],
)
def test_a_frame_keeps_to_its_limit(shape, limit):
    header, arrays = frame_parts(shot(shape), 1, limit)
    assert min(limit, header["total"] * 5) / 4 < len(pack(header, arrays)) <= limit
    assert header["total"] == shape[0]
    assert len(arrays["planes"]) > 0


def test_a_vector_of_dead_neurons_keeps_to_the_smallest_limit():
    dead = dict.fromkeys(range(MOST_NEURONS), 10**9)
    header, arrays = frame_parts(shot((MOST_NEURONS,), dead=dead), 1, 16_000)
    assert len(header["dead"]) == MOST_NEURONS
    assert len(pack(header, arrays)) <= 16_000


def test_what_no_picture_shows_is_no_note_of_one():
    kept = shot((3, 4, 4))
    kept = replace(kept, event=replace(kept.event, notes=("dequantised", HALF_PRECISION)))
    assert frame_parts(kept, 1)[0]["notes"][1:] == ["dequantised"]  # after that the layer is gone


def test_many_long_class_names_do_not_push_the_picture_out():
    names = [f"a class with a rather long name, number {n}" for n in range(10_000)]
    header, arrays = frame_parts(shot((10_000,), class_names=names), 1)
    assert header["names"] is None
    assert len(pack(header, arrays)) <= 260_000
    header, _ = frame_parts(shot((1000,), class_names=names[:1000]), 1)
    assert header["names"] == names[:1000]


def test_class_names_that_do_not_fit_the_layer_are_left_out():
    header, _ = frame_parts(shot((10,), class_names=["cat", "dog"]), 1)
    assert header["names"] is None


def test_tokens_keep_their_patch_grid_when_the_input_is_gone():
    of_images = shot((17, 8), image_hw=(32, 32))
    header, arrays = frame_parts(replace(of_images, input=None), 1)
    assert header["view"] == "maps"
    assert arrays["planes"].shape == (8, 4, 4)
    header, _ = frame_parts(replace(of_images, input=None, image_hw=None), 1)
    assert header["view"] == "matrix"


@pytest.mark.parametrize(("known", "sent"), [(None, None), (0.25, 0.25)])
def test_a_probability_is_sent_as_it_is(known, sent):
    assert input_json(InputCaptured(probability=known), None, None)["probability"] == sent


def test_a_probability_that_float32_rounded_to_one_is_not_certainty():
    sent = input_json(InputCaptured(probability=1.0), None, None)["probability"]
    assert 0.9999 < sent < 1
    assert percent(sent, 1) == "> 99.9 %"
