"""Layouts, the default layer, and what is said where there is no map."""

import numpy as np
import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.attribution.passes import CamPass
from nbtorchviz.errors import LayerNotFoundError, NoMapError
from tests.attribution.models import PooledLinear, TinyViT
from tests.models import Gru, Lstm, Packed, Transformer


class ChannelsLast(nn.Module):
    """Convolution, then layers that work on (N, H, W, C) as Swin's do."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.norm, self.mix = nn.LayerNorm(4), nn.Linear(4, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.mix(self.norm(self.stem(x).permute(0, 2, 3, 1))).mean((1, 2)))


def test_channels_last_outputs_are_mapped_over_height_and_width():
    torch.manual_seed(0)
    model, images = ChannelsLast(), torch.randn(2, 3, 8, 12)
    every = nbv.gradcam(model, images, target=1, layer="all", method="hirescam")
    for key in ("stem", "norm", "mix"):
        assert every[key].maps.shape == (2, 8, 12)
        assert every[key].axes == ("H", "W")
    scores = every["mix"].maps.sum((1, 2)) + model.head.bias[1].item()
    np.testing.assert_allclose(scores, every["mix"].logits[:, 1], atol=1e-6)


@pytest.mark.parametrize("prefix", [1, 2])
def test_tokens_become_patches_without_their_prefix(prefix):
    torch.manual_seed(0)
    model, images = TinyViT(prefix), torch.randn(2, 3, 16, 24)
    result = nbv.gradcam(model, images, method="hirescam")
    assert result.layer == "blocks.1.norm1"
    assert result.maps.shape == (2, 4, 6)
    plural = "s" if prefix > 1 else ""
    assert f"4×6 patches, {prefix} prefix token{plural} left out" in result.notes[0]
    # the map moves with the patch: a picture shifted by one patch, with a single bright one
    seen = []
    handle = model.blocks[1].norm1.register_forward_hook(lambda m, a, o: seen.append(o))
    model.eval()(images)
    handle.remove()
    gradient = torch.autograd.grad(model_tail(model, seen[0], images), seen[0])[0]
    tokens = (gradient * seen[0]).sum(2)[:, prefix:].reshape(2, 4, 6)
    np.testing.assert_allclose(result.maps, tokens.detach().numpy(), atol=1e-6)


def model_tail(model, normed, images):
    """Run what follows the last block's norm1; its class scores of the predicted classes."""
    seen = []
    handle = model.blocks[0].register_forward_hook(lambda m, a, o: seen.append(o.detach()))
    logits = model(images)
    handle.remove()
    block = model.blocks[1]
    x = seen[0] + block.attn(normed, normed, normed, need_weights=False)[0]
    x = x + block.mlp(block.norm2(x))
    return model.head(model.norm(x)[:, 0]).gather(1, logits.argmax(1, keepdim=True)).sum()


def test_a_layer_behind_the_last_attention_is_blank_and_the_note_names_one_to_try():
    torch.manual_seed(0)
    model, images = TinyViT(), torch.randn(2, 3, 16, 16)
    result = nbv.gradcam(model, images, layer="blocks.1.norm2")
    assert not result.maps.any()
    assert "gradient is zero at every position" in result.notes[-2]
    assert result.notes[-1] == "try layer='blocks.1.norm1'"


def test_volumes_and_signals():
    torch.manual_seed(0)
    volume = nn.Sequential(nn.Conv3d(1, 4, 3), nn.ReLU(), nn.AdaptiveMaxPool3d(2), nn.Flatten(),
                           nn.Linear(32, 3))  # fmt: skip
    result = nbv.gradcam(volume, torch.randn(2, 1, 6, 7, 8))
    assert (result.layer, result.axes, result.maps.shape) == ("1", ("D", "H", "W"), (2, 4, 5, 6))
    signal = nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
                           nn.Linear(4, 3))  # fmt: skip
    result = nbv.gradcam(signal, torch.randn(2, 2, 9))
    assert (result.layer, result.axes, result.maps.shape) == ("1", ("L",), (2, 7))


@pytest.mark.parametrize(
    ("model", "shape", "layer"),
    [(Lstm, (6, 2, 5), "lstm"), (Gru, (2, 6, 5), "gru"), (Transformer, (2, 6, 8), "encoder")],
)
def test_sequences_are_mapped_over_time_whichever_axis_is_the_batch(model, shape, layer):
    torch.manual_seed(0)
    result = nbv.gradcam(model(), torch.randn(shape), target=1, method="hirescam")
    assert (result.layer, result.axes, result.maps.shape) == (layer, ("T",), (2, 6))
    last = -1 if layer != "encoder" else 0
    others = np.delete(result.maps, last, axis=1)
    assert result.maps[:, last].all()
    assert not others.any()  # these heads look at one step


def test_a_packed_sequence_has_rows_and_no_samples():
    with pytest.raises(NoMapError, match="positions"):
        nbv.gradcam(Packed(), torch.randn(2, 6, 5), layer="lstm")


def test_one_sample_without_a_batch_axis():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(0), nn.Linear(64, 3))
    image = torch.randn(1, 6, 6)
    result = nbv.gradcam(model, image)
    assert (result.maps.shape, result.logits.shape) == ((1, 4, 4), (1, 3))


def test_the_default_layer_is_no_pooling_and_no_layer_that_hands_its_input_on():
    torch.manual_seed(0)
    pooled = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
    model = nn.Sequential(pooled, nn.Dropout(), nn.Flatten(), nn.Linear(36, 3))
    assert nbv.gradcam(model, torch.randn(1, 1, 8, 8)).layer == "0.1"


def test_a_default_layer_that_is_overwritten_later_is_read_again():
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(4, 3)

        def forward(self, x):
            return self.fc(self.conv(x).relu_().mean((2, 3)))

    torch.manual_seed(0)
    model, image = Functional(), torch.randn(2, 1, 8, 8)
    default, named = nbv.gradcam(model, image), nbv.gradcam(model, image, layer="conv")
    np.testing.assert_array_equal(default.maps, named.maps)
    assert nbv.gradcam(model, image, method="xgradcam").notes  # signed: before the ReLU


def test_a_target_that_does_not_depend_on_the_layer_is_said():
    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3)

        def forward(self, x):
            return self.a(x).mean((2, 3)), self.b(x).mean((2, 3))

    model, image = TwoHeads(), torch.randn(1, 1, 6, 6)
    target = lambda heads: heads[0][:, 0]  # noqa: E731
    result = nbv.gradcam(model, image, target=target, layer="b")
    assert not result.maps.any()
    assert "does not depend on this layer" in result.notes[0]
    assert result.notes[1] == "try layer='a'"
    assert nbv.gradcam(model, image, target=target).layer == "a"


def test_a_map_without_a_positive_value_says_so():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    result = nbv.gradcam(model, torch.randn(2, 1, 6, 6), target=lambda y: -y.sum(1))
    assert "speaks for the target" in result.notes[-1]
    assert not result.heatmaps().any()
    assert nbv.gradcam(model, torch.full((1, 1, 6, 6), torch.nan)).notes == (
        "the map holds NaN or infinite values: the model's activations or weights do",
    )


@pytest.mark.parametrize(
    ("layer", "error", "words"),
    [
        ("conv3", LayerNotFoundError, r"No layer 'conv3'\. Nearest: 'conv\d'.*named_modules"),
        ("relu1#1", NoMapError, r"'relu1' was called 1×, so there is no 'relu1#1'"),
        ("fc", NoMapError, r"output of 'fc' is \(2, 5\): it has no positions"),
        ("pool", NoMapError, r"output of 'pool' is \(2, 8, 1, 1\)"),
        (
            3,
            TypeError,
            r"""a name such as 'fc', a list of names, None or 'all' .* write "3", got 3""",
        ),
        (["conv1", "fc"], NoMapError, r"output of 'fc' is \(2, 5\)"),
        (["conv1", None], TypeError, "got None"),
    ],
)
def test_a_layer_without_a_map_is_refused_in_words(layer, error, words):
    with pytest.raises(error, match=words):
        nbv.gradcam(PooledLinear(), torch.randn(2, 3, 12, 12), layer=layer)


def test_a_layer_that_is_never_called_is_refused_in_words():
    with pytest.raises(NoMapError, match=r"'blocks.0.attn.out_proj' was not called"):
        nbv.gradcam(TinyViT(), torch.randn(1, 3, 16, 16), layer="blocks.0.attn.out_proj")


def test_a_model_without_positions_is_refused_in_words():
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    for layer in (None, "all"):
        with pytest.raises(NoMapError, match="None of the 3 layers that ran puts out positions"):
            nbv.gradcam(model, torch.randn(2, 6), layer=layer)


def test_what_is_no_model_is_refused_in_words():
    with pytest.raises(TypeError, match=r"needs a torch\.nn\.Module, got Tensor: gradcam\(model"):
        nbv.gradcam(torch.zeros(1), PooledLinear())
    with pytest.raises(ValueError, match=r"method must be one of gradcam.*got 'eigencam'"):
        nbv.gradcam(PooledLinear(), torch.randn(1, 3, 8, 8), method="eigencam")


def test_a_result_says_what_it_is_in_one_line():
    result = nbv.gradcam(PooledLinear(), torch.randn(2, 3, 12, 12))
    assert repr(result) == "CamResult(gradcam of 'relu2', maps 2×6×6)"


class TwoDepths(nn.Module):
    """Classes 0 and 1 look at the second convolution, 2 and 3 at the first alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3)
        self.shallow, self.deep = nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x):
        early = self.first(x)
        late = self.second(early)
        return torch.cat([self.deep(late.mean((2, 3))), self.shallow(early.mean((2, 3)))], 1)


def test_the_default_layer_is_remembered_for_its_shape_and_asked_again_for_each_target():
    torch.manual_seed(0)
    model, images = TwoDepths(), torch.randn(2, 1, 9, 9)
    first = nbv.gradcam(model, images, target=0)
    with CamPass(model, images, usual=True) as done:
        assert list(done.taps) == [done.usual] == ["second"]
    with CamPass(model, images[:, :, :8], usual=True) as done:
        assert done.usual == ""
    again = nbv.gradcam(model, images, target=0)
    np.testing.assert_array_equal(again.maps, first.maps)
    assert (again.layer, again.notes) == (first.layer, first.notes)
    assert nbv.gradcam(model, images, target=2).layer == "first"
    assert nbv.gradcam(model, images, target=1).layer == "second"
