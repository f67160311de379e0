import pytest
import torch
from torch import nn

from nbtorchviz.capture.tap import Plan, Want
from tests.capture.desk import ROOT_HOOKS, hook_count, of


class Net(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.conv3 = nn.Conv2d(1, 256, 3)
        self.pool3 = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(features, 10)

    def forward(self, x):
        return self.fc(self.flatten(self.pool3(self.conv3(x))))


def test_the_first_forward_that_fails_is_explained(tap_on, desk):
    model = Net(256)
    tap_on(model, plan=Plan((Want("fc"),), survey=True))
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes"):
        model(torch.randn(64, 1, 8, 8))
    failure = desk.failures[0]
    assert failure.title == "Forward failed at fc (Linear 256→10: got 64×2304)."
    assert failure.detail == "256 channels × 3 × 3 pixels = 2304 reach it after pool3."
    assert failure.remedy == (
        "Either fits: `nn.AdaptiveAvgPool2d(1)` before Flatten, or `nn.Linear(2304, 10)`."
    )
    assert failure.trail == (
        ("conv3", "Conv2d", "64×256×6×6"),
        ("pool3", "MaxPool2d", "64×256×3×3"),
        ("flatten", "Flatten", "64×2304"),
        ("fc", "Linear", "64×2304"),
    )
    assert failure.error.startswith("RuntimeError: mat1 and mat2 shapes")
    assert sum(hook_count(module) for module in model.children()) == 0


def test_the_remedies_offered_really_fit():
    for fixed in (Net(2304), nn.Sequential(*list(Net(256).children())[:2], nn.AdaptiveAvgPool2d(1),
                                           nn.Flatten(), nn.Linear(256, 10))):  # fmt: skip
        assert fixed(torch.randn(2, 1, 8, 8)).shape == (2, 10)


def test_a_later_failure_needs_no_survey(tap_on, desk):
    model = Net(2304)
    tap_on(model, plan=Plan(survey=True))
    model(torch.randn(2, 1, 8, 8)).sum().backward()
    torch.optim.SGD(model.parameters(), 0.0).step()
    desk.plan = None
    with pytest.raises(RuntimeError):
        model(torch.randn(2, 3, 8, 8))
    failure = desk.failures[0]
    assert failure.title == "Forward failed at conv3 (Conv2d 1→256 3×3: got 2×3×8×8)."
    assert failure.detail == "3 channels reach it; it takes 1."
    assert failure.remedy == "This fits: `nn.Conv2d(3, 256, 3)`."
    with pytest.raises(RuntimeError):
        model(torch.randn(2, 1, 20, 20))
    assert desk.failures[1].title.startswith("Forward failed at fc (Linear 2304→10: got 2×20736)")
    # the shapes of the survey are of another input: no number is better than a wrong one
    assert desk.failures[1].trail[0] == ("conv3", "Conv2d", "")
    assert desk.failures[1].trail[-1] == ("fc", "Linear", "2×20736")


def test_an_error_of_the_models_own_gets_no_remedy(tap_on, desk):
    class Raises(nn.Module):
        def forward(self, x):
            raise ValueError("no such token")

    model = nn.Sequential(nn.Linear(2, 2), Raises())
    tap_on(model, plan=Plan(survey=True))
    with pytest.raises(ValueError, match="no such token"):
        model(torch.ones(1, 2))
    failure = desk.failures[0]
    assert (failure.layer, failure.error) == ("1", "ValueError: no such token")
    assert (failure.detail, failure.remedy) == ("", "")


def test_the_users_exception_goes_on_unchanged(tap_on):
    error = ValueError("mine")

    class Raises(nn.Module):
        def forward(self, x):
            raise error

    model = nn.Sequential(Raises())
    tap_on(model, plan=Plan(survey=True))
    with pytest.raises(ValueError, match="mine") as caught:
        model(torch.ones(1))
    assert caught.value is error
    assert error.__cause__ is None
    assert error.__context__ is None


def test_a_forward_inside_an_except_block_is_no_failure(tap_on, desk):
    model = nn.Sequential(nn.Linear(2, 2))
    tap_on(model, plan=Plan((Want("0"),)))
    try:
        raise ValueError("of another kind")
    except ValueError:
        model(torch.ones(1, 2)).sum().backward()
    torch.optim.SGD(model.parameters(), 0.0).step()
    assert desk.failures == []
    assert of(desk.catch, "0").shape == (1, 2)


def test_training_goes_on_after_a_failed_forward(tap_on, desk):
    model = nn.Sequential(nn.Linear(2, 2))
    tap_on(model, plan=Plan((Want("0"),)))
    with pytest.raises(RuntimeError):
        model(torch.ones(1, 3))
    model(torch.ones(1, 2)).sum().backward()
    torch.optim.SGD(model.parameters(), 0.0).step()
    assert of(desk.catch, "0").shape == (1, 2)
    assert desk.faults == []


def test_failures_outside_any_layer_name_the_model(tap_on, desk):
    class Fails(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2, 2)

        def forward(self, x):
            return self.fc(x) + torch.ones(7)

    model = Fails()
    tap_on(model, plan=Plan(survey=True))
    with pytest.raises(RuntimeError):
        model(torch.ones(1, 2))
    assert desk.failures[0].title.startswith("Forward failed in Fails: The size of tensor a")
    assert desk.failures[0].trail == (("fc", "Linear", "1×2"),)


class Thinks(nn.Module):
    """Conditions on its own first answer."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.inside = lambda: None

    def forward(self, x, hint=None):
        if hint is None:
            with torch.no_grad():
                hint = self(x, hint=torch.zeros_like(x))
        else:
            self.inside()
        return self.fc(x + hint)


def test_a_model_that_calls_itself_makes_one_forward_with_all_its_calls(tap_on, desk):
    model = Thinks()
    tap = tap_on(model, plan=Plan((Want("fc"), Want("fc#1", gradient=True)), survey=True))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for step in range(1, 4):
        x = torch.ones(1, 2)
        hint = model.fc(x).detach()
        second = model.fc(x + hint).detach()
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()
        assert (tap.step, tap.forward) == (step, step)
        assert of(desk.catch, "fc").values.tolist() == hint[0].tolist()
        assert of(desk.catch, "fc#1").values.tolist() == second[0].tolist()
        assert of(desk.catch, "fc#1").gradient.values.tolist() == [1, 1]
    assert desk.faults == []
    assert hook_count(model) == ROOT_HOOKS


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_a_call_of_the_model_by_itself_may_raise(tap_on, desk, kind):
    def fails():
        raise kind("inside")

    model = Thinks()
    tap = tap_on(model, plan=Plan((Want("fc"),)))
    model.inside = fails
    with pytest.raises(kind):
        model(torch.ones(1, 2))
    model.inside = lambda: None
    model(torch.ones(1, 2)).sum().backward()
    torch.optim.SGD(model.parameters(), 0.1).step()
    assert (tap.step, tap.forward) == (1, 2)
    assert of(desk.catch, "fc").shape == (1, 2)
    assert desk.faults == []


@pytest.mark.parametrize(
    ("layer", "shape", "fits"),
    [
        (nn.Conv2d(1, 4, 3, padding=1), (2, 3, 8, 8), "nn.Conv2d(3, 4, 3, padding=1)"),
        (nn.Conv2d(1, 4, (3, 5), padding="same"), (2, 3, 8, 8), "(3, 4, (3, 5), padding='same')"),
        (nn.Conv1d(1, 4, 3, 2, dilation=2), (2, 3, 9), "nn.Conv1d(3, 4, 3, stride=2, dilation=2)"),
        (nn.Conv2d(1, 4, 3, (1, 2)), (2, 3, 8, 8), "nn.Conv2d(3, 4, 3, stride=(1, 2))"),
    ],
)
def test_the_layer_that_fits_keeps_what_it_was_made_with(tap_on, desk, layer, shape, fits):
    model = nn.Sequential(layer)
    tap_on(model, plan=Plan((Want("0"),), survey=True))
    with pytest.raises(RuntimeError):
        model(torch.randn(shape))
    remedy = desk.failures[0].remedy
    assert fits in remedy
    assert eval(remedy.partition("`")[2].rstrip("`."))(torch.randn(shape)).shape[1] == 4


def test_a_layer_that_took_the_place_of_another_is_described_as_it_is(tap_on, desk):
    model = Net(2304)
    tap_on(model, plan=Plan((Want("fc"),), survey=True))
    model(torch.randn(2, 1, 8, 8))
    model.fc = nn.Linear(100, 10)
    with pytest.raises(RuntimeError):
        model(torch.randn(2, 1, 8, 8))
    assert desk.failures[0].title == "Forward failed at fc (Linear 100→10: got 2×2304)."
