"""The maps view: tensors are autograd's to the bit, words stand where there is none."""

import contextlib

import numpy as np
import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.analysis.packets import unpack
from nbtorchviz.capture.plans import WeightWant
from nbtorchviz.session.looks import Look
from nbtorchviz.widgets.gradient_snapshot import _title


@pytest.fixture
def trained():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 36, 3)
    )
    model[0].bias.requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    session = nbv.watch(model, optimizer, every=1)
    inspector = nbv.GradientInspector(session, view="maps", layer="0")
    yield model, optimizer, session, inspector
    assert session.faults == []
    session.close()


def train(model, optimizer):
    optimizer.zero_grad()
    x = torch.randn(5, 2, 8, 8)
    nn.functional.cross_entropy(model(x), torch.tensor([0, 1, 2, 0, 1])).backward()
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    gradients = {n: None if p.grad is None else p.grad.clone() for n, p in model.named_parameters()}
    optimizer.step()
    return x, weights, gradients


def parts(inspector):
    return unpack(inspector._produce_maps(200_000).data)


def test_gradients_of_outputs_are_those_of_autograd_behind_an_inplace_relu_too(trained):
    model, optimizer, _, inspector = trained
    for layer, module in (("0", model[0]), ("1", model[1])):
        inspector.layer = layer
        copy = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
        copy.load_state_dict(model.state_dict())
        x, _, _ = train(model, optimizer)
        outputs = [x]
        for each in copy:
            outputs.append(each(outputs[-1]))
        loss = nn.functional.cross_entropy(outputs[-1], torch.tensor([0, 1, 2, 0, 1]))
        at = 1 if module is model[0] else 2
        (expected,) = torch.autograd.grad(loss, outputs[at])
        frame = inspector.frame
        assert (frame.layer, frame.show) == (layer, "gradient")
        assert np.array_equal(frame.values, expected[0].numpy())
        header, arrays = parts(inspector)
        assert (header["of"], header["asked"], header["view"]) == ("@gradient", layer, "maps")
        codes = arrays["planes"].astype(np.float64)
        lo, hi = (arrays[n].astype(np.float64)[:, None, None] for n in ("lo", "hi"))
        off = np.abs(lo + codes * (hi - lo) / 252 - frame.values)
        assert (off <= (hi - lo) / 504 + 1e-9).all()
        assert header["input"]["text"].startswith("sample 0")


def test_weights_and_their_gradients_are_those_of_the_step(trained):
    model, optimizer, _, inspector = trained
    for shown, of in (("weight", 1), ("weight.grad", 2)):
        inspector.select(shown=shown)
        truth = train(model, optimizer)[of]["0.weight"].numpy()
        frame = inspector.frame
        assert frame.layer == "0.weight"
        assert frame.show == ("weight" if of == 1 else "weight gradient")
        assert np.array_equal(frame.values, truth)
        for part, expected in ((None, truth.mean(1)), (1, truth[:, 1])):
            inspector.select(part=part)
            header, arrays = parts(inspector)
            assert (header["inputs"], header["part"], header["noun"]) == (2, part, "output")
            np.testing.assert_allclose(arrays["mean"], expected.mean((1, 2)), rtol=1e-4, atol=1e-8)
            assert arrays["planes"].shape == (4, 3, 3)


def test_another_input_channel_needs_no_step(trained):
    model, optimizer, session, inspector = trained
    inspector.select(shown="weight")
    train(model, optimizer)
    first = parts(inspector)
    inspector._on_message(
        None, {"type": "intent", "view": "v", "name": "part", "value": 1, "n": 1}, []
    )
    second = parts(inspector)
    assert second[0]["step"] == first[0]["step"] == session.step
    assert not np.array_equal(first[1]["mean"], second[1]["mean"])


@pytest.mark.parametrize(
    ("shown", "words"),
    [("bias.grad", "0.bias is frozen: it has no gradient."), ("bias", None)],
)
def test_frozen_is_a_word_and_its_values_are_shown(trained, shown, words):
    model, optimizer, _, inspector = trained
    inspector.select(shown=shown)
    train(model, optimizer)
    header, arrays = parts(inspector)
    assert header["message"] == words
    assert header["state"] == "frozen"
    assert ("values" in arrays) == (words is None)
    if words is None:
        assert np.array_equal(arrays["values"], model[0].bias.detach().numpy())


def test_what_no_optimizer_holds_is_said():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    optimizer = torch.optim.SGD(model[1].parameters(), lr=0.1)
    with contextlib.closing(nbv.watch(model, optimizer, every=1)) as session:
        inspector = nbv.GradientInspector(session, view="maps", layer="0")
        inspector.select(shown="weight.grad")
        for _ in range(2):
            optimizer.zero_grad()
            model(torch.randn(4, 3)).sum().backward()
            optimizer.step()
        header, _ = parts(inspector)
        assert "in no optimizer" in header["message"]


def test_what_no_layer_has_cannot_be_shown(trained):
    inspector = trained[-1]
    with pytest.raises(ValueError, match="shown must be '@gradient' or, of this model, 'bias'"):
        inspector.select(shown="foo")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channel": 4}, "channel must be a map of '0', from 0 to 3, got 4"),
        ({"shown": "weight", "channel": 99}, "a map of '0.weight', from 0 to 3, got 99"),
        ({"layer": "3", "channel": 3}, "a map of '3', from 0 to 2, got 3"),
        ({"part": 99}, "an input channel of this model's kernels, from 0 to 1, or None"),
        ({"shown": "weight.grad", "part": 2}, "an input channel of '0.weight', from 0 to 1, or"),
    ],
)
def test_a_map_or_part_that_is_not_there_is_refused_and_changes_nothing(trained, changes, message):
    model, optimizer, _, inspector = trained
    inspector.layer = "3"
    train(model, optimizer)  # now its output is known too
    inspector.layer = "0"
    before = inspector._choice
    with pytest.raises(ValueError, match=message):
        inspector.select(**changes)
    assert inspector._choice == before


def test_maps_and_parts_that_are_there_can_be_chosen(trained):
    inspector = trained[-1]
    inspector.select(channel=3, part=1)
    inspector.select(shown="weight", channel=0)
    inspector.select(part=None, channel=3)
    inspector.select(layer="2", shown="@gradient", channel=143)  # not known before it was read
    inspector.select(layer="0")  # what was chosen of another layer is no fault of this order


def test_kernels_of_every_kind_have_their_own_parts():
    model = nn.Sequential(
        nn.ConvTranspose2d(6, 4, 3), nn.Conv3d(2, 4, 3), nn.Conv2d(4, 4, 3, groups=4)
    )
    session = nbv.watch(model)
    inspector = nbv.GradientInspector(session, view="maps")
    for layer, parts_there in (("0", 6), ("1", 6), ("2", 1)):
        inspector.select(layer=layer, shown="weight", part=parts_there - 1)
        with pytest.raises(ValueError, match=f"'{layer}.weight', from 0 to {parts_there - 1}"):
            inspector.select(part=parts_there)
    session.close()


def test_a_model_without_kernels_has_no_parts():
    model = nn.Sequential(nn.Linear(3, 2))
    session = nbv.watch(model)
    inspector = nbv.GradientInspector(session)
    with pytest.raises(ValueError, match="part must be None: no parameter of this model is a ker"):
        inspector.select(part=0)
    inspector.select(shown="weight", channel=2)
    with pytest.raises(ValueError, match="from 0 to 2, got 3"):
        inspector.select(channel=3)
    session.close()


def test_a_layer_without_such_a_parameter_shows_its_output(trained):
    model, optimizer, _, inspector = trained
    inspector.select(layer="1", shown="weight.grad")
    train(model, optimizer)
    header, _ = parts(inspector)
    assert (header["of"], header["layer"]) == ("@gradient", "1")
    assert inspector.frame.show == "gradient"


def test_kept_steps_can_be_gone_back_to(trained):
    model, optimizer, _, inspector = trained
    inspector.select(shown="weight")
    values = [train(model, optimizer)[1]["0.weight"].numpy() for _ in range(5)]
    assert parts(inspector)[0]["kept_steps"] == [1, 2, 3, 4, 5]
    inspector.select(step=2)
    train(model, optimizer)
    assert inspector.frame.step == 2  # stays there while training goes on
    np.testing.assert_allclose(inspector.frame.values, values[1], atol=1e-3)  # half precision
    header, _ = parts(inspector)
    assert (header["step"], header["live"]) == (2, False)
    inspector.select(step=None)
    assert inspector.frame.step == 6


def test_it_is_read_only_while_the_view_is_chosen_and_seen(trained):
    *_, session, inspector = trained
    looks = session.recorder.looks
    session.recorder.every = None
    assert looks.take() == ((Look("0", gradient=True),), ())
    inspector.select(shown="weight")
    assert looks.take() == ((), (WeightWant("0.weight"),))
    inspector._on_message(None, {"type": "ready", "view": "v", "visible": True}, [])
    assert looks.take() == ((), (WeightWant("0.weight"),))
    inspector._on_message(None, {"type": "here", "view": "v", "visible": False}, [])
    assert looks.take() == ((), ())
    inspector._on_message(None, {"type": "here", "view": "v", "visible": True}, [])
    inspector.view = "flow"
    assert len(looks) == 0
    assert inspector.frame is None
    assert inspector._produce_maps(200_000) is None


def test_its_cost_is_counted(trained):
    model, optimizer, session, inspector = trained
    inspector.select(shown="weight")
    train(model, optimizer)
    assert session.budget.parts()["weights"] > 0


def test_before_anything_ran_and_before_it_was_read(trained):
    model, optimizer, _, inspector = trained
    header, _ = parts(inspector)
    assert (header["view"], header["message"]) == ("none", None)  # the view says what to do
    train(model, optimizer)
    inspector.select(layer="3", shown="weight")
    header, _ = parts(inspector)
    assert header["message"] == "3.weight was not read yet; it is read at the next step."
    inspector.select(shown="@gradient")
    assert "is read at the next step" in parts(inspector)[0]["message"]


def test_a_large_model_stays_within_the_limit():
    model = nn.Sequential(nn.Conv2d(64, 256, 3), nn.Flatten(), nn.Linear(256, 2_000))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with contextlib.closing(nbv.watch(model, optimizer, every=1)) as session:
        inspector = nbv.GradientInspector(session, view="maps")
        for layer in ("0", "2"):
            for shown in ("weight", "weight.grad", "bias"):
                inspector.select(layer=layer, shown=shown)
                optimizer.zero_grad()
                model(torch.randn(1, 64, 3, 3)).sum().backward()
                optimizer.step()
                data = inspector._produce_maps(100_000).data
                assert len(data) <= 100_000
                header, _ = unpack(data)
                assert header["view"] != "none"
                if header["layer"] == "2.weight":
                    assert header["pooled"] > 1
                    assert any("mean of" in note for note in header["notes"])
        assert session.faults == []


def test_without_a_layer_it_is_the_first_with_parameters():
    model = nn.Sequential(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), nn.Linear(3, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with contextlib.closing(nbv.watch(model, optimizer, every=1)) as session:
        inspector = nbv.GradientInspector(session, view="maps")
        for shown in ("@gradient", "weight"):
            inspector.select(shown=shown)
            model(torch.randn(5, 4)).sum().backward()
            optimizer.step()
            header, _ = parts(inspector)
            assert (header["asked"], header["of"], header["view"] != "none") == ("0.1", shown, True)
        assert session.faults == []


class Tied(nn.Module):
    """An embedding whose weight is that of the head as well."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x):
        return self.head(self.embed(x))


@pytest.mark.parametrize("layer", ["embed", "head"])
def test_a_tied_parameter_has_all_its_names(layer):
    model = Tied()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    session = nbv.watch(model, optimizer, every=1)
    inspector = nbv.GradientInspector(session, view="maps", layer=layer)
    inspector.select(shown="weight.grad")
    x = torch.tensor([0, 1, 2])
    nn.functional.cross_entropy(model(x), x).backward()
    expected = model.embed.weight.grad.clone()
    optimizer.step()
    session.flush()
    header, _ = parts(inspector)
    assert (header["layer"], header["tied"]) == ("embed.weight", ["head.weight"])
    assert _title(header) == "d loss / d embed.weight = head.weight (tied)"
    assert np.array_equal(inspector.frame.values, expected.numpy())
    session.close()
