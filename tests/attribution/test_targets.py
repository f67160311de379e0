"""What can be explained, and in which words the rest is refused."""

import numpy as np
import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.attribution.targets import box_score, contrast, mask_sum, similarity
from tests.attribution.models import PooledLinear, settled


@pytest.fixture
def model():
    torch.manual_seed(0)
    return settled(PooledLinear())


@pytest.fixture
def images():
    return torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(5))


def total(result):
    """HiResCAM's map of the layer before pooling adds up to the score less its bias."""
    return result.maps.sum((1, 2))


@pytest.mark.parametrize(
    "given", [[3, 1], (3, 1), torch.tensor([3, 1]), np.array([3, 1]), [np.int64(3), 1]]
)
def test_one_class_per_sample(model, images, given):
    result = nbv.gradcam(model, images, target=given)
    assert result.targets == (3, 1)
    for n, index in enumerate((3, 1)):
        np.testing.assert_array_equal(
            result.maps[n], nbv.gradcam(model, images, target=index).maps[n]
        )


def test_a_callable_gives_one_score_per_sample_or_their_sum(model, images):
    def evidence(logits):
        return logits[:, 2]

    expected = nbv.gradcam(model, images, target=2)
    result = nbv.gradcam(model, images, target=evidence)
    np.testing.assert_array_equal(result.maps, expected.maps)
    assert result.targets == ("evidence", "evidence")
    summed = nbv.gradcam(model, images, target=lambda logits: logits[:, 2].sum())
    np.testing.assert_array_equal(summed.maps, expected.maps)


def test_similarity_to_an_embedding(model, images):
    with torch.no_grad():
        other = model.eval()(images[:1])[0]
    result = nbv.gradcam(model, images, target=similarity(other), layer="relu2")
    assert result.targets == ("similarity",) * 2
    step = torch.zeros(8)
    step[3] = 1e-3
    head = lambda features: torch.cosine_similarity(model.fc(features), other[None])  # noqa: E731
    seen = []
    handle = model.pool.register_forward_hook(lambda m, a, o: seen.append(o.flatten(1)))
    with torch.no_grad():
        model(images)
        slope = (head(seen[0] + step) - head(seen[0] - step)) / 2e-3
    handle.remove()
    every = nbv.gradcam(
        model, images, target=lambda y: torch.cosine_similarity(y, other[None]), layer="relu2"
    )
    np.testing.assert_array_equal(result.maps, every.maps)
    assert abs(float(slope[0])) < 1e-3 < abs(float(slope[1]))  # most like itself: a maximum
    assert np.abs(result.maps[0]).max() < 0.05 * np.abs(result.maps[1]).max()


class Segmenter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.relu = nn.Conv2d(1, 6, 3, padding=1), nn.ReLU()
        self.classifier = nn.Conv2d(6, 3, 1)

    def forward(self, x):
        return {"out": self.classifier(self.relu(self.body(x)))}


def test_a_segmentation_is_explained_by_its_class_over_its_pixels():
    torch.manual_seed(0)
    model, images = Segmenter(), torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        scores = model(images)["out"]
    most = [int(s.argmax(0).flatten().bincount().argmax()) for s in scores]
    result = nbv.gradcam(model, images, method="hirescam")
    assert result.layer == "relu"  # not the layer that puts out the answer itself
    assert result.targets == tuple(most)
    assert result.logits is None
    assert "over the pixels where it is the highest" in result.notes[0]
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[:4] = True
    half = nbv.gradcam(model, images, target=mask_sum(1, mask), method="hirescam", layer="relu")
    assert half.targets == ("mask of class 1",) * 2
    assert not half.maps[:, 4:].any()  # the head looks at one pixel at a time
    expected = scores[:, 1, :4].sum((1, 2)) - 32 * model.classifier.bias[1].item()
    np.testing.assert_allclose(total(half), expected.numpy(), rtol=1e-4)


class Detector(nn.Module):
    """Two boxes for each image, scored by the left and the right half."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.found = nn.Conv2d(3, 4, 3, padding=1), 2

    def forward(self, images):
        results = []
        for features in self.body(torch.stack(list(images))).abs():
            scores = torch.stack([features[..., :4].mean(), 2 * features[..., 4:].mean()])
            boxes = torch.tensor([[0.0, 0.0, 4.0, 8.0], [4.0, 0.0, 8.0, 8.0]])
            found = {"boxes": boxes, "labels": torch.tensor([7, 9]), "scores": scores}
            results.append({key: value[: self.found] for key, value in found.items()})
        return results


@pytest.mark.parametrize("listed", [False, True])
def test_a_detection_is_explained_by_its_score(listed):
    torch.manual_seed(0)
    model, images = Detector(), torch.rand(2, 3, 8, 8)
    images = list(images) if listed else images
    best = nbv.gradcam(model, images, method="hirescam")
    assert best.targets == ("best detection",) * 2
    assert best.maps[..., 4:].all()
    assert not best.maps[..., :4].any()
    for target in (box_score(label=7), box_score((0, 0, 5, 8)), box_score((0, 1, 4, 7), label=7)):
        left = nbv.gradcam(model, images, target=target, method="hirescam")
        assert left.maps[..., :4].all()
        assert not left.maps[..., 4:].any()
    assert left.targets[0] == "detection at (0, 1, 4, 7) of class 7"


def test_no_detection_is_said():
    model = Detector()
    with pytest.raises(ValueError, match="detects nothing of class 3 in this image"):
        nbv.gradcam(model, torch.rand(1, 3, 8, 8), target=box_score(label=3))
    model.found = 0
    with pytest.raises(ValueError, match="detects nothing in this image"):
        nbv.gradcam(model, torch.rand(1, 3, 8, 8))


def test_one_output_is_explained_as_it_is():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(0))
    result = nbv.gradcam(model, torch.randn(1, 1, 6, 6), target=lambda y: y.sum())
    assert result.targets == ("<lambda>",)
    model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    result = nbv.gradcam(model, torch.randn(3, 1, 6, 6))
    assert (result.targets, result.logits.shape) == ((0, 0, 0), (3, 1))
    assert "one output" in result.notes[0]


@pytest.mark.parametrize(
    ("target", "error", "words"),
    [
        (5, ValueError, r"a class from 0 to 4, got 5\."),
        (-1, ValueError, r"a class from 0 to 4, got -1\."),
        ([0, 7], ValueError, r"a class from 0 to 4, got 7\."),
        ([0, 1, 2], ValueError, "target has 3 classes for 2 samples"),
        ("cat", TypeError, r"target must be None \(the predicted class\), .*; got 'cat'\."),
        (1.5, TypeError, "got 1.5"),
        (True, TypeError, "got True"),
        ([1.0, 2.0], TypeError, r"got \[1.0, 2.0\]"),
        (contrast(0, 9), ValueError, "a class from 0 to 4, got 9"),
        (lambda logits: 3.0, TypeError, r"one score per sample, a tensor .* it returned 3\.0"),
        (lambda logits: logits, TypeError, r"it returned Tensor of shape \(2, 5\)"),
        (lambda logits: logits.detach()[:, 0], ValueError, "no gradient: compute it from"),
        (lambda logits: logits.argmax(1), TypeError, r"it returned Tensor of shape \(2,\)"),
        (mask_sum(0), ValueError, r"outputs of shape \(N, K, H, W\)"),
        (box_score(), ValueError, "lists of {'boxes', 'labels', 'scores'}"),
        (similarity([1.0, 2.0]), ValueError, "must have 5 numbers"),
    ],
)
def test_what_is_no_target_is_refused_in_words(model, images, target, error, words):
    with pytest.raises(error, match=words):
        nbv.gradcam(model, images, target=target)


def test_outputs_without_class_scores_need_a_callable():
    model = nn.Sequential(nn.Conv1d(4, 6, 3), nn.ReLU())
    for target in (None, 1):
        with pytest.raises(ValueError, match=r"output is Tensor \(\(2, 6, 8\)\).*callable"):
            nbv.gradcam(model, torch.randn(2, 4, 10), target=target)
    with pytest.raises(ValueError, match="mask must have the size of the model's output"):
        nbv.gradcam(Segmenter(), torch.randn(1, 1, 8, 8), target=mask_sum(0, torch.ones(4, 4)))
