"""Which axis is the batch and what the others mean."""

import pytest
import torch
from torch import nn

from nbtorchviz.analysis.layouts import (
    ACCEPTED_AXES,
    Layout,
    infer_layout,
)
from nbtorchviz.analysis.root_batch import Call, root_batch_size
from nbtorchviz.analysis.tokens import row_words

CHW, HWC, TD, CL = ("C", "H", "W"), ("H", "W", "C"), ("T", "D"), ("C", "L")
CDHW, F = ("C", "D", "H", "W"), ("F",)


@pytest.mark.parametrize(
    ("shape", "module_type", "batch_axis", "axes"),
    [
        ((8, 16, 28, 28), "Conv2d", 0, CHW),
        ((8, 16, 28, 28), "BasicBlock", 0, CHW),
        ((8, 16, 28, 30), "ReLU", 0, CHW),
        ((8, 7, 7, 768), "LayerNorm", 0, HWC),
        ((8, 768, 7, 7), "LayerNorm2d", 0, CHW),
        ((8, 56, 56, 96), "SwinTransformerBlock", 0, HWC),
        ((8, 28, 14, 192), "PatchMerging", 0, HWC),
        ((8, 7, 7, 7), "SwinTransformerBlock", 0, HWC),
        ((8, 7, 7, 7), "Bottleneck", 0, CHW),
        ((8, 7, 7, 384), "GELU", 0, HWC),
        ((8, 12, 197, 197), "Dropout", 0, CHW),
        ((8, 32, 100), "Conv1d", 0, CL),
        ((8, 32), "BatchNorm1d", 0, F),
        ((8, 32, 100), "BatchNorm1d", 0, CL),
        ((8, 4, 5, 6, 7), "Conv3d", 0, CDHW),
        ((8, 64, 16, 28, 28), "Conv2Plus1D", 0, CDHW),
        ((8, 197, 768), "EncoderBlock", 0, TD),
        ((35, 8, 128), "Linear", 1, TD),
        ((8, 3136), "Flatten", 0, F),
        ((8,), "Head", 0, ()),
        ((), "CrossEntropyLoss", None, ()),
        ((35, 8), "input", 1, F),
        ((8, 3, 32, 32), "input", 0, CHW),
        ((8, 32, 32, 3), "input", 0, HWC),
    ],
)
def test_samples_are_found_and_axes_named(shape, module_type, batch_axis, axes):
    layout = infer_layout(shape, module_type=module_type, batch_size=8)
    assert (layout.batch_axis, layout.axes, layout.sample_word) == (batch_axis, axes, "sample")


@pytest.mark.parametrize(("batch_first", "axis"), [(True, 0), (False, 1)])
@pytest.mark.parametrize("module_type", ["LSTM", "GRU", "RNN", "MultiheadAttention"])
def test_batch_first_decides_where_time_equals_batch(module_type, batch_first, axis):
    layout = infer_layout((8, 8, 5), module_type=module_type, batch_size=8, batch_first=batch_first)
    assert (layout.batch_axis, layout.axes) == (axis, TD)


def test_time_equal_to_batch_without_a_flag_is_said():
    layout = infer_layout((8, 8, 5), module_type="Linear", batch_size=8)
    assert layout.batch_axis == 0
    assert "axes 0 and 1 both have 8" in layout.note


def test_flag_of_the_module_around_decides_for_a_linear_layer():
    layout = infer_layout((8, 8, 5), module_type="Linear", batch_size=8, batch_first=False)
    assert layout.batch_axis == 1
    assert "batch_first=False" in layout.note


def test_flag_yields_where_the_sizes_contradict_it():
    layout = infer_layout((8, 35, 5), module_type="Linear", batch_size=8, batch_first=False)
    assert layout.batch_axis == 0


@pytest.mark.parametrize("batch_first", [True, False])
def test_hidden_state_has_the_batch_second_whatever_the_flag(batch_first):
    lstm = nn.LSTM(3, 5, num_layers=2, batch_first=batch_first)
    _, (hidden, _) = lstm(torch.zeros((8, 35, 3) if batch_first else (35, 8, 3)))
    layout = infer_layout(
        hidden.shape, module_type="LSTM", batch_size=8, batch_first=batch_first, path="1.0"
    )
    assert (layout.batch_axis, layout.axes) == (1, TD)
    assert row_words((layout.note,)) == ("state", "feature")


def test_attention_weights_have_the_batch_first_whatever_the_flag():
    weights = {"module_type": "MultiheadAttention", "batch_size": 8, "path": "1"}
    layout = infer_layout((8, 35, 35), batch_first=False, **weights)
    assert layout.batch_axis == 0
    assert row_words((layout.note,)) == ("query", "key")
    assert infer_layout((8, 4, 35, 35), batch_first=False, **weights).axes == CHW


@pytest.mark.parametrize(
    ("shape", "module_type", "axes"),
    [
        ((56, 16, 28, 28), "Conv2d", CHW),
        ((56, 10), "Linear", F),
        ((512, 49, 96), "WindowAttention", TD),
    ],
)
def test_folded_batch_gives_rows_never_samples(shape, module_type, axes):
    layout = infer_layout(shape, module_type=module_type, batch_size=8)
    assert (layout.batch_axis, layout.axes, layout.sample_word) == (0, axes, "row")
    assert f"{shape[0]} rows, {shape[0] // 8} for each of the 8 samples" in layout.note


def test_a_class_count_equal_to_the_batch_is_not_the_batch():
    layout = infer_layout((64, 10), module_type="Linear", batch_size=10)
    assert (layout.batch_axis, layout.axes, layout.sample_word) == (0, F, "row")


@pytest.mark.parametrize(
    ("shape", "module_type", "axes"),
    [
        ((16, 28, 28), "Conv2d", CHW),
        ((16, 28, 28), "ReLU", CHW),
        ((28, 28, 96), "LayerNorm", HWC),
        ((32, 100), "Conv1d", CL),
        ((35, 5), "LSTM", TD),
        ((10,), "Linear", F),
    ],
)
def test_unbatched_forward_has_no_batch_axis(shape, module_type, axes):
    layout = infer_layout(shape, module_type=module_type, batch_size=None, unbatched=True)
    assert (layout.batch_axis, layout.axes) == (None, axes)


def test_elementwise_layer_keeps_the_layout_of_the_one_before():
    conv = Layout(0, CL)
    kept = infer_layout(
        (8, 32, 100), module_type="ReLU", batch_size=8, previous=((8, 32, 100), conv)
    )
    assert kept == conv
    other = infer_layout(
        (8, 100, 32), module_type="Transpose", batch_size=8, previous=((8, 100, 32), conv)
    )
    assert other.axes == TD


@pytest.mark.parametrize(
    ("override", "shape", "batch_axis", "axes"),
    [
        (("N", "H", "W", "C"), (8, 4, 5, 6), 0, HWC),
        ("NCHW", (8, 4, 5, 6), 0, CHW),
        ("TND", (8, 4, 5), 1, TD),
        (("H", "W", "C"), (8, 4, 5, 6), 0, HWC),
        (("C", "H", "W"), (8, 4, 5), None, CHW),
        (("T", "D"), (7, 8, 5), 1, TD),
    ],
)
def test_override_is_taken(override, shape, batch_axis, axes):
    layout = infer_layout(shape, module_type="Conv2d", batch_size=8, override=override)
    assert (layout.batch_axis, layout.axes) == (batch_axis, axes)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (("C", "X"), r"layout of 'stem': got \('C', 'X'\). Accepted are \(C,H,W\)"),
        (("N", "N", "F"), "at most one 'N'"),
        (("N", "T", "D"), r"\(3 axes\), but the output is 8×4×5×6 \(4 axes\)"),
    ],
)
def test_override_that_does_not_fit_says_what_would(override, words):
    with pytest.raises(ValueError, match=words):
        infer_layout((8, 4, 5, 6), module_type="X", batch_size=8, override=override, layer="stem")


def test_every_layout_has_accepted_axes():
    for size in range(7):
        for batch in (None, 1, 2):
            layout = infer_layout((2,) * size, module_type="Thing", batch_size=batch)
            assert layout.axes in ACCEPTED_AXES


@pytest.mark.parametrize(
    ("shapes", "calls", "labels", "size", "axis"),
    [
        ([(64, 1, 28, 28)], [], None, 64, 0),
        ([(35, 8, 3)], [Call("LSTM", (35, 8, 5), False)], None, 8, 1),
        ([(8, 35, 3)], [Call("LSTM", (35, 8, 5), False)], None, 8, 0),
        ([(8, 35, 3)], [Call("LSTM", (8, 35, 5), True)], None, 8, 0),
        ([(35, 8)], [Call("Embedding", (35, 8, 4))], 8, 8, 1),
        ([(8, 35)], [Call("Embedding", (8, 35, 4))], 8, 8, 0),
        ([(10, 32), (20, 32)], [], None, 32, 1),
        ([(8, 8, 3)], [Call("GRU", (8, 8, 5), False)], None, 8, 1),
        ([(8, 8, 3)], [Call("GRU", (8, 8, 5), True)], None, 8, 0),
        ([(5,)], [Call("Embedding", (5, 4))], None, 5, 0),
        # packed sequences: 125 time steps, and how many each sample has of them
        ([(16, 12), (16,)], [Call("LSTM", (125, 32), True)], None, 16, 0),
        ([(12, 16), (16,)], [Call("LSTM", (125, 32), False)], None, 16, 1),
        ([(16, 12)], [Call("GRU", (125, 32), True)], None, 16, 0),
    ],
)
def test_root_batch_is_found(shapes, calls, labels, size, axis):
    root = root_batch_size(shapes, calls=calls, labels=labels)
    assert (root.size, root.axis, root.unbatched) == (size, axis, False)


@pytest.mark.parametrize(
    ("shape", "call"),
    [
        ((3, 32, 32), Call("Conv2d", (16, 32, 32))),
        ((35, 3), Call("LSTM", (35, 5), False)),
        ((4,), Call("Linear", (2,))),
    ],
)
def test_forward_without_batch_axis_is_noticed(shape, call):
    root = root_batch_size([shape], calls=[call])
    assert (root.size, root.axis, root.unbatched) == (None, None, True)


@pytest.mark.parametrize(
    ("shape", "calls", "taker"),
    [
        ((4, 2, 400), [Call("Conv1d", (4, 8, 396), given=(4, 2, 400))], "Conv1d"),
        ((4, 2, 400), [Call("AudioEncoder", (4, 3), given=(4, 2, 400)),
                       Call("Conv1d", (4, 8, 9), given=(4, 2, 400))], "Conv1d"),
        ((2, 400), [Call("Conv1d", (8, 396), given=(2, 400))], "Conv1d"),
        ((4, 2, 400), [Call("BatchNorm1d", (4, 2, 400), given=(4, 2, 400))], "BatchNorm1d"),
        ((4, 400, 2), [Call("Conv1d", (4, 8, 396), given=(4, 2, 400))], ""),  # transposed before
        ((4, 9, 9), [Call("Linear", (4, 9, 9)), Call("Conv1d", (4, 8, 7), given=(4, 9, 9))], ""),
        ((4, 9, 9), [Call("LSTM", (4, 9, 9), True), Call("Conv1d", (4, 8, 7), given=(4, 9, 9))],
         ""),
        ((4, 9), [Call("BatchNorm1d", (4, 9), given=(4, 9))], ""),  # takes features too
        ((4, 2, 400), [Call("Conv1d", (4, 8, 396))], ""),
    ],
)  # fmt: skip
def test_a_spatial_module_that_took_the_input_as_it_came_is_found(shape, calls, taker):
    assert root_batch_size([shape], calls=calls).taker == taker


def test_no_tensor_given_to_the_root_is_said():
    assert root_batch_size([()]).note == "the model got no tensor with axes"


def test_layouts_of_a_real_swin():
    torchvision = pytest.importorskip("torchvision")
    shapes = {}

    def note_shape(name):
        def hook(module, args, output):
            shapes[name] = (type(module).__name__, tuple(output.shape))

        return hook

    swin = torchvision.models.swin_transformer.SwinTransformer([4, 4], 12, [1, 1], [2, 2], [4, 4])
    for name, module in swin.named_modules():
        module.register_forward_hook(note_shape(name))
    swin.eval()(torch.zeros(2, 3, 32, 32))
    for name in ("features.0", "features.1.0", "features.2", "norm"):
        module_type, shape = shapes[name]
        layout = infer_layout(shape, module_type=module_type, batch_size=2, image_hw=(32, 32))
        assert layout.axes == HWC, name
    module_type, shape = shapes["features.0.0"]
    assert infer_layout(shape, module_type=module_type, batch_size=2).axes == CHW
