import pytest
import torch
from torch import nn

from nbtorchviz.capture.tap import Plan, Want
from tests.capture.desk import hook_count, of


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
