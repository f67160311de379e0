"""Models that have one illness each, to be trained on digits."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def convolutions() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2),
        nn.ReLU(),
        nn.Conv2d(4, 8, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 6 * 6, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )


def deep(depth: int, activation: type[nn.Module], width: int = 32) -> nn.Sequential:
    layers = [nn.Flatten(), nn.Linear(784, width), activation()]
    for _ in range(depth - 2):
        layers += [nn.Linear(width, width), activation()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def with_a_dead_relu() -> nn.Module:
    model = convolutions()
    with torch.no_grad():
        model[2].bias.fill_(-50.0)
    return model


def with_a_saturated_tanh() -> nn.Module:
    model = deep(4, nn.Tanh)
    with torch.no_grad():
        model[3].weight.mul_(150)
    return model


def with_a_double_relu() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.ReLU(), nn.Linear(32, 10))


class RowReader(nn.Module):
    """A tanh recurrence over the rows of a digit."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(28, 64, batch_first=True)
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.rnn(x.squeeze(1))[0][:, -1])


class Recurrent(nn.Module):
    """A ReLU recurrence over the rows of a digit, whose weights make signals grow."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(28, 48, batch_first=True, nonlinearity="relu")
        self.fc = nn.Linear(48, 10)
        with torch.no_grad():
            self.rnn.weight_hh_l0.mul_(1.8)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.rnn(x.squeeze(1))[0][:, -1])


class Forgetful(nn.Module):
    """A layer that forward never uses, and a body cut off by a detach."""

    def __init__(self, *, detach: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 4, 3))
        self.extra = nn.Linear(10, 10)
        self.fc = nn.Linear(4 * 11 * 11, 10)
        self.detach = detach

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        x = self.fc((x.detach() if self.detach else x).flatten(1))
        return self.extra(x) if self.detach else x


class Normed(nn.Module):
    """One BatchNorm and one dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4)
        self.drop, self.fc = nn.Dropout(0.2), nn.Linear(4 * 13 * 13, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.drop(F.relu(self.bn(self.conv(x)))).flatten(1))


class Blind(nn.Module):
    """Multiplies its features by zero on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, stride=2)
        self.fc1, self.fc2 = nn.Linear(4 * 13 * 13, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.relu(self.fc1(self.conv(x).flatten(1) * 0)))


class Copied(nn.Module):
    """Two branches, the second one a deepcopy of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(784, 32)
        self.b = copy.deepcopy(self.a)
        self.fc = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return self.fc(F.relu(self.a(x)) + F.relu(self.b(x)))


class Rooted(nn.Module):
    """The slope of a square root at 0 is infinite: forward is fine, backward is not."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(784, 32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.fc1(x.flatten(1))
        return self.fc2(torch.sqrt(hidden * hidden * (hidden > 0)))
