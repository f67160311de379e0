"""Models to train, from a step below a millisecond to half a second, and one training step."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Workload:
    """A model maker, its batch, and how long a timed block of steps lasts."""

    name: str
    make: Callable[[], nn.Module]
    inputs: Tensor
    labels: Tensor
    layer: str
    """The layer that a browser shows."""


def mlp() -> Workload:
    """784-256-128-10, a step well below a millisecond."""

    def make() -> nn.Module:
        return nn.Sequential(
            nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
        )

    return Workload("MLP", make, torch.randn(32, 784), torch.randint(10, (32,)), "1")


def digits() -> Workload:
    """The quickstart's network: three convolutions on 64 images of 28x28."""

    def make() -> nn.Module:
        return nn.Sequential(
            *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(32 * 7 * 7, 64), nn.ReLU(), nn.Linear(64, 10)),
        )

    return Workload("digits CNN", make, torch.rand(64, 1, 28, 28), torch.randint(10, (64,)), "6")


def transformer() -> Workload:
    """Four encoder layers of width 128 on 64 tokens."""

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(128, 4, 256, batch_first=True, dropout=0.0)
            self.encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
            self.head = nn.Linear(128, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.encoder(x).mean(1))

    inputs = torch.randn(16, 64, 128)
    return Workload("transformer", Encoder, inputs, torch.randint(10, (16,)), "encoder.layers.1")


def resnet18() -> Workload:
    """Torchvision ResNet-18 on 16 images of 64x64."""
    from torchvision.models import resnet18

    inputs = torch.randn(16, 3, 64, 64)
    return Workload(
        "ResNet-18", lambda: resnet18(num_classes=10), inputs, torch.randint(10, (16,)), "layer1"
    )


def resnet50() -> Workload:
    """Torchvision ResNet-50 on 2 images of 224x224."""
    from torchvision.models import resnet50

    inputs = torch.randn(2, 3, 224, 224)
    return Workload(
        "ResNet-50 at 224", lambda: resnet50(num_classes=10), inputs, torch.randint(10, (2,)),
        "layer2",
    )  # fmt: skip


def vgg16() -> Workload:
    """Torchvision VGG-16 on 2 images of 224x224."""
    from torchvision.models import vgg16

    inputs = torch.randn(2, 3, 224, 224)
    return Workload(
        "VGG-16 at 224", lambda: vgg16(num_classes=10), inputs, torch.randint(10, (2,)),
        "features.4",
    )  # fmt: skip


ALL = {f.__name__: f for f in (mlp, transformer, resnet18, resnet50, vgg16)}


class Trainer:
    """One model with its optimizer; ``step()`` trains once and returns the loss."""

    def __init__(self, workload: Workload, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.model = workload.make()
        self.optimizer: torch.optim.Optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01)
        self.criterion = nn.CrossEntropyLoss()
        self._workload = workload

    def step(self) -> Tensor:
        """Forward, backward, update."""
        self.optimizer.zero_grad()
        loss = self.criterion(self.model(self._workload.inputs), self._workload.labels)
        loss.backward()
        self.optimizer.step()
        return loss
