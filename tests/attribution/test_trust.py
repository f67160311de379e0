"""Checks of a map on models for which the answer is known."""

import numpy as np
import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.analysis.rank_correlation import spearman
from nbtorchviz.attribution import trust
from nbtorchviz.attribution.targets import contrast
from nbtorchviz.attribution.trust import (
    agreement,
    faithfulness,
    faithfulness_pieces,
    weight_dependence,
)
from nbtorchviz.attribution.trust_results import Agreement, Dependence, Faithfulness
from tests.attribution.models import PooledLinear, settled


class Bright(nn.Module):
    """Two classes: the second is a bright spot anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(1, 1, 3, padding=1, bias=False), nn.ReLU()
        self.fc = nn.Linear(1, 2)
        nn.init.constant_(self.conv.weight, 1 / 9)
        with torch.no_grad():
            self.fc.weight.copy_(torch.tensor([[0.0], [60.0]]))
            self.fc.bias.copy_(torch.tensor([3.0, 0.0]))

    def forward(self, x):
        return self.fc(self.relu(self.conv(x) - 0.4).mean((2, 3)))


@pytest.fixture
def spot():
    picture = torch.zeros(1, 1, 24, 24)
    picture[..., 4:10, 12:18] = 1
    return picture


def test_a_right_map_beats_all_random_ones_and_its_opposite_beats_none(spot):
    model = Bright().train()
    result = nbv.gradcam(model, spot, target=1, method="hirescam")
    stream = torch.get_rng_state()
    found = faithfulness(model, spot, result)
    assert (found.deletion_beats, found.insertion_beats, found.randoms) == (10, 10, 10)
    assert found.deletion < found.insertion
    assert "10 of 10 random maps" in found.text
    assert torch.equal(torch.get_rng_state(), stream)
    assert model.training
    wrong = nbv.CamResult(
        -result.maps, result.layer, 0, "hirescam", (1,), result.logits, ("H", "W")
    )
    found = faithfulness(model, spot, wrong)
    assert (found.deletion_beats, found.insertion_beats) == (0, 0)


def test_a_map_for_something_else_than_a_class_is_refused(spot):
    result = nbv.gradcam(Bright(), spot, target=contrast(0, 1))
    with pytest.raises(ValueError, match="for one class; got"):
        faithfulness(Bright(), spot, result)
    for check in (weight_dependence, agreement):
        with pytest.raises(ValueError, match="explains a class, not '0 - 1'"):
            check(Bright(), spot, result)


def test_weights_are_made_random_from_the_head_down_on_a_copy():
    torch.manual_seed(0)
    model, images = settled(PooledLinear()), torch.randn(2, 3, 12, 12)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    result = nbv.gradcam(model, images)
    stream = torch.get_rng_state()
    found = weight_dependence(model, images, result)
    assert list(found.correlations) == ["fc", "bn2", "conv2", "bn1", "conv1"]
    assert all(abs(value) < 0.99 for value in found.correlations.values())
    assert found == weight_dependence(model, images, result)  # seeded
    assert "random weights in 'fc'" in found.text
    assert "down to 'conv1'" in found.text
    assert torch.equal(torch.get_rng_state(), stream)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_a_map_that_does_not_depend_on_the_head_keeps_its_correlation_there():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                          nn.Linear(1, 2))  # fmt: skip
    images = torch.rand(1, 1, 10, 10)
    with torch.no_grad():
        model[0].weight.abs_()
    result = nbv.gradcam(model, images, layer="1")  # one channel: the head only scales the map
    found = weight_dependence(model, images, result)
    assert abs(found.correlations["4"]) == pytest.approx(1)


def test_methods_that_are_equal_agree_fully():
    torch.manual_seed(0)
    model, images = settled(PooledLinear()), torch.randn(2, 3, 12, 12)
    found = agreement(model, images, nbv.gradcam(model, images))
    assert list(found.correlations) == ["hirescam", "layercam"]
    assert found.correlations["hirescam"] > 0.99
    assert found.correlations["layercam"] < 0.99
    assert "Grad-CAM with HiResCAM 1.00, LayerCAM" in found.text


def test_a_map_that_is_the_same_everywhere_is_refused(spot):
    blank = nbv.CamResult(np.zeros((1, 24, 24), np.float32), "relu", 0, "gradcam", (1,), None,
                          ("H", "W"), ("no gradient",))  # fmt: skip
    for check in (faithfulness, weight_dependence, agreement):
        with pytest.raises(ValueError, match=r"the same everywhere or not finite.*: no gradient\."):
            check(Bright(), spot, blank)


def test_pieces_are_small_say_how_much_is_done_and_add_up(spot, monkeypatch):
    model = Bright()
    result = nbv.gradcam(model, spot, target=1, method="hirescam")
    whole = faithfulness(model, spot, result)
    monkeypatch.setattr(trust, "PIECE_VALUES", 5 * spot.numel())
    seen = []
    hook = model.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    found = []

    def pieces():
        found.append((yield from faithfulness_pieces(model, spot, result)))

    shares = list(pieces())
    hook.remove()
    assert set(seen) == {5, 2}
    assert sum(seen) == 11 * 22
    assert (shares == sorted(shares), len(shares), shares[-1]) == (True, 55, 1)
    assert found[0].deletion_beats == whole.deletion_beats
    assert found[0].insertion == pytest.approx(whole.insertion)


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        (Faithfulness(0.1, 0.5, 10, 9, 10), "matter to the model"),
        (Faithfulness(0.1, 0.5, 10, 4, 10), "Only partly"),
        (Faithfulness(0.4, 0.2, 0, 5, 10), "do not trust it"),
        (Dependence({"fc": 0.51, "conv": -0.3}), "It depends on the weights."),
        (Dependence({"fc": 0.91, "conv": 0.1}), "hardly on those of the head 'fc'"),
        (Dependence({"fc": 0.91, "conv": 0.6}), "do not trust it"),
        (Dependence({"fc": -0.36, "conv": 0.7}), "Mixed: it changes with the weights"),
        (Dependence({"fc": 0.2, "conv": float("nan")}), "undefined (it became constant)"),
        (Agreement("gradcam", {"hirescam": 0.8, "layercam": 0.7}), "The methods agree."),
        (Agreement("gradcam", {"hirescam": 0.8, "layercam": 0.2}), "agree in part"),
        (Agreement("gradcam", {"hirescam": 0.2, "layercam": -0.9}), "do not trust one"),
        (Agreement("gradcam", {"hirescam": float("nan")}), "nothing to compare"),
    ],
)  # fmt: skip
def test_a_verdict_follows_from_the_numbers(result, verdict):
    assert verdict in result.text


def test_rank_correlation_by_hand():
    a = np.array([1.0, 2.0, 3.0, 4.0], np.float32)
    assert spearman(a, a**3) == pytest.approx(1)
    assert spearman(a, -a) == pytest.approx(-1)
    # ranks 1 2 3 4 and 1.5 1.5 3 4
    ties = np.array([0.0, 0.0, 5.0, 9.0], np.float32)
    assert spearman(a, ties) == pytest.approx(np.corrcoef([1, 2, 3, 4], [1.5, 1.5, 3, 4])[0, 1])
    assert np.isnan(spearman(a, np.zeros(4, np.float32)))
