"""Models that each have one illness, and healthy ones that a check-up must leave alone."""

import threading

import torch
import torchvision
from torch import Tensor, nn


class Digits(nn.Module):
    """The quickstart's network, smaller."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(inplace=True))
        self.block = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(8 * 7 * 7, 32), nn.ReLU())
        self.scores = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(self.head(self.block(self.stem(x))))


class Detached(Digits):
    """The gradient is cut off before the head."""

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(self.head(self.block(self.stem(x)).detach()))


class Forgotten(Digits):
    """A layer that no forward calls."""

    def __init__(self) -> None:
        super().__init__()
        self.auxiliary = nn.Linear(3, 3)


class Constant(Digits):
    """The output does not depend on the input."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * 0)


class Dead(Digits):
    """A bias so low that a ReLU lets nothing through."""

    def __init__(self) -> None:
        super().__init__()
        nn.init.constant_(self.head[1].bias, -1e3)


class Doubled(Digits):
    """Gives probabilities where class scores are wanted."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).softmax(1)


class Sure(Digits):
    """First outputs that are far too large."""

    def __init__(self) -> None:
        super().__init__()
        with torch.no_grad():
            self.scores.weight *= 1000


class Poisoned(Digits):
    """A NaN arises in the block."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.block((self.stem(x) - 100).sqrt())
        return self.scores(self.head(x))


class AcrossBatch(Digits):
    """A softmax over the batch instead of the features."""

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(self.head(self.block(self.stem(x))).softmax(0))


class WrongView(nn.Module):
    """Turns (N, T, D) into (T, N, D) by ``view`` instead of ``transpose``."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        samples, times, width = x.shape
        return self.fc(x.view(times, samples, width)).mean(0)


class Words(nn.Module):
    """A small language model; ``batch_first=False`` makes it attend across the batch."""

    def __init__(self, *, batch_first: bool = True) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        self.place = nn.Parameter(torch.zeros(6, 16))
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=batch_first)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 20)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.body(self.embed(ids) + self.place))


class OwnLoss(nn.Module):
    """Takes keywords and gives a dictionary with its loss, as transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.words = Words()

    def forward(self, ids: Tensor, mask: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        logits = self.words(ids) * mask[..., None]
        given = {"logits": logits}
        if labels is not None:
            given["loss"] = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return given


class Hidden(nn.Module):
    """Keeps its layers in a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(4, 4), nn.Linear(4, 4)]
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x).relu()
        return self.head(x)


class Locked(nn.Module):
    """Holds what cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock, self.fc = threading.Lock(), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


class Single(nn.Module):
    """Is its own copy."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)

    def __deepcopy__(self, memo: object) -> "Single":
        return self


class Remembering(nn.Module):
    """Keeps its last activation, graph and all, which deepcopy refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.head = nn.Linear(4, 4), nn.Linear(4, 3)
        self.last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.last = self.fc(x)
        return self.head(self.last.relu())


def resnet() -> nn.Module:
    return torchvision.models.resnet18(num_classes=10)


def vit() -> nn.Module:
    """A vision transformer; its head begins at zero."""
    return torchvision.models.VisionTransformer(32, 8, 2, 2, 32, 64, num_classes=10)
