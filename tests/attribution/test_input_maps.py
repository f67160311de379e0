"""Maps of the input through captum: against captum itself, without a trace, or refused in words."""

import numpy as np
import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.attribution import methods
from nbtorchviz.attribution.input_maps import input_map_pieces
from nbtorchviz.attribution.methods import INPUT_METHODS
from nbtorchviz.attribution.targets import contrast
from nbtorchviz.errors import NoMapError
from tests.attribution.models import PooledLinear, settled
from tests.capture.test_identical import assert_same, state_of
from tests.models import ReluTwice

present = pytest.mark.skipif(not methods.has_captum(), reason="captum is not installed")


def network(*, inplace=False):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=inplace), nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip


@pytest.fixture
def images():
    return torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("method", INPUT_METHODS)
def test_without_captum_it_says_what_to_install(monkeypatch, images, method):
    monkeypatch.setattr(methods, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"captum's.*pip install captum"):
        nbv.gradcam(network(), images, method=method)


def test_captum_is_not_imported_before_it_is_needed():
    import subprocess
    import sys

    code = "import sys, nbtorchviz as n; n.gradcam, n.GradCAMViewer; print('captum' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@present
@pytest.mark.parametrize("method", INPUT_METHODS)
def test_a_map_of_the_input_leaves_no_trace_and_is_the_same_again(images, method):
    model = settled(network(inplace=True)).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    nn.functional.cross_entropy(model(images), torch.tensor([0, 1])).backward()
    optimizer.step()
    before, stream = state_of(model, optimizer), torch.get_rng_state()
    attributes = [sorted(vars(module)) for module in model.modules()]
    hooks = [len(module._forward_hooks) for module in model.modules()]
    with torch.no_grad():
        result = nbv.gradcam(model, images, method=method)
    assert_same(state_of(model, optimizer), before)
    assert torch.equal(torch.get_rng_state(), stream)
    assert model[2].inplace
    assert [sorted(vars(module)) for module in model.modules()] == attributes
    assert [len(module._forward_hooks) for module in model.modules()] == hooks
    assert (result.layer, result.maps.shape, result.method) == ("input", (2, 16, 16), method)
    assert result.targets == tuple(result.logits.argmax(1).tolist())
    assert result.maps.std() > 0
    assert result.notes
    assert np.array_equal(nbv.gradcam(model, images, method=method).maps, result.maps)


@present
def test_integrated_gradients_add_up_to_the_score_and_equal_captums(images):
    from captum.attr import IntegratedGradients

    model = settled(network()).eval()
    result = nbv.gradcam(model, images, target=2, method="integrated_gradients")
    with torch.no_grad():
        gained = model(images)[:, 2] - model(torch.zeros_like(images))[:, 2]
    assert result.maps.sum((1, 2)) == pytest.approx(gained.numpy(), abs=0.02)
    theirs = IntegratedGradients(model).attribute(images, target=2, n_steps=32).sum(1)
    assert result.maps == pytest.approx(theirs.detach().numpy(), abs=1e-6)


@present
@pytest.mark.parametrize("at_once", [1, 6])
@pytest.mark.parametrize("method", ["integrated_gradients", "smoothgrad", "occlusion"])
def test_pieces_add_up_to_captums_own_call_and_leave_no_trace_between(images, method, at_once):
    from captum.attr import IntegratedGradients, NoiseTunnel, Occlusion, Saliency

    model = settled(network()).train()
    together = max(1, at_once // 2)
    before = state_of(model)
    pieces = input_map_pieces(model, images, target=2, method=method, at_once=at_once)
    shares = []
    while True:
        try:
            shares.append(next(pieces))
        except StopIteration as ended:
            result = ended.value
            break
        assert_same(state_of(model), before)
        torch.rand(3)  # as a training draws between two pieces
        before = state_of(model)
    assert shares == sorted(shares)
    assert len(shares) > 2
    assert shares[-1] <= 1
    model.eval()
    if method == "integrated_gradients":
        theirs = IntegratedGradients(model).attribute(images, target=2, n_steps=32).sum(1)
    elif method == "smoothgrad":
        noise = 0.15 * float(images.max() - images.min())
        torch.manual_seed(0)
        theirs = NoiseTunnel(Saliency(model)).attribute(
            images, nt_samples=16, nt_samples_batch_size=together, stdevs=noise, target=2, abs=False
        )
        theirs = theirs.abs().sum(1)
    else:
        theirs = Occlusion(model).attribute(images, (1, 2, 2), strides=(1, 1, 1), target=2).mean(1)
    wanted = theirs.detach().numpy()
    assert np.abs(result.maps - wanted).max() <= 1e-6 * np.abs(wanted).max()


@present
def test_deeplift_adds_up_to_the_score(images):
    model = settled(network(inplace=True)).eval()
    result = nbv.gradcam(model, images, target=[0, 2], method="deeplift")
    with torch.no_grad():
        gained = (model(images) - model(torch.zeros_like(images)))[[0, 1], [0, 2]]
    assert result.maps.sum((1, 2)) == pytest.approx(gained.numpy(), abs=1e-4)


@present
def test_occlusion_is_the_fall_of_the_score(images):
    model = settled(network()).eval()
    result = nbv.gradcam(model, images[:1], target=1, method="occlusion")
    covered = images[:1].clone()
    covered[..., :2, :2] = 0
    with torch.no_grad():
        fall = float((model(images[:1]) - model(covered))[0, 1])
    assert result.maps[0, 0, 0] == pytest.approx(
        fall, abs=1e-6
    )  # only one square covers the corner


@present
def test_what_a_method_cannot_explain_is_refused_in_words(images):
    with pytest.raises(NoMapError, match="a module of its own that is called once"):
        nbv.gradcam(ReluTwice(), images, method="deeplift")
    assert nbv.gradcam(ReluTwice(), images, method="smoothgrad").maps.min() >= 0
    with pytest.raises(ValueError, match="maps the input, not a layer"):
        nbv.gradcam(network(), images, layer="0", method="occlusion")
    with pytest.raises(ValueError, match="explains classes"):
        nbv.gradcam(network(), images, target=contrast(0, 1), method="occlusion")
    with pytest.raises(ValueError, match="from 0 to 2, one for each of 2"):
        nbv.gradcam(network(), images, target=7, method="occlusion")
    with pytest.raises(NoMapError, match="class scores"):
        nbv.gradcam(nn.Conv2d(1, 1, 3), images, method="occlusion")
    rows = nn.Sequential(nn.Flatten(), nn.Linear(256, 3))
    with pytest.raises(NoMapError, match="takes pictures"):
        nbv.gradcam(rows, images.flatten(1), method="smoothgrad")
    assert nbv.gradcam(PooledLinear(), torch.rand(1, 3, 12, 12), method="smoothgrad").maps.any()
