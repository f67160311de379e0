"""The zoo: small models that are awkward to watch, each with a loss and a batch to train on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint


class ReluTwice(nn.Module):
    """Two convolutions that share one ReLU, which methods that explain modules refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.relu = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 3, 3), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.b(self.relu(self.a(x)))).mean((2, 3))


class ScaledLog(nn.Module):
    """The logarithm of two scaled columns: a negative input makes a NaN."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([1.0, 2.0]))

    def forward(self, x: Tensor) -> Tensor:
        return torch.log(x * self.scale)


class InplaceCnn(nn.Module):
    """Convolutions whose outputs an in-place ReLU overwrites."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(4, 6, 3)
        self.relu2 = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.conv1(x))
        x = self.relu2(self.conv2(x))
        return self.fc(self.pool(x).flatten(1))


class Residual(nn.Module):
    """``out += identity`` after a BatchNorm, and one ReLU module used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        identity = self.conv1(x)
        out = self.relu(self.bn1(identity))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.fc(self.relu(out).mean((2, 3)))


class NormDropout(nn.Module):
    """BatchNorm and Dropout: buffers and random numbers move in every training forward."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class FrozenNorm(nn.Module):
    """A BatchNorm in eval mode inside a model in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 3)
        for parameter in self.bn.parameters():
            parameter.requires_grad_(False)
        self.bn.eval()

    def train(self, mode: bool = True) -> "FrozenNorm":
        super().train(mode)
        self.bn.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.bn(self.conv(x)).mean((2, 3)))


class Shared(nn.Module):
    """One Linear under two names, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.second = self.first
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(x).relu()))


class TupleOut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> tuple[None, tuple[Tensor, Tensor]]:
        return None, (torch.arange(len(x)), self.fc(x))


class DictOut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> dict[str, Any]:
        return {"mask": x[:, 0] > 0, "logits": self.fc(x), "none": None}


@dataclass
class Record:
    hidden: Tensor
    logits: Tensor


class DataclassOut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Record:
        hidden = self.fc1(x)
        return Record(hidden, self.fc2(hidden.relu()))


class Structured(nn.Module):
    """Blocks that return a tuple, a dictionary and a dataclass, all with gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = TupleOut(), DictOut(), DataclassOut()

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x)[1][1] + self.b(x)["logits"] + self.c(x).logits


class Lstm(nn.Module):
    """Default layout: (T, N, D)."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, 7)
        self.head = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.lstm(x)
        return self.head(y[-1])


class Packed(nn.Module):
    """An LSTM over a packed sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, 7, batch_first=True)
        self.head = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        lengths = torch.arange(x.shape[1], x.shape[1] - len(x), -1).clamp(min=1)
        packed = pack_padded_sequence(x, lengths, batch_first=True)
        y, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        return self.head(y[:, 0])


class Gru(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(5, 7, batch_first=True)
        self.head = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gru(x)[0][:, -1])


class Transformer(nn.Module):
    """An encoder with dropout; in eval mode its fused path skips sublayers."""

    def __init__(self, *, nested: bool = False) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=nested)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.head(self.encoder(x, src_key_padding_mask=mask)[:, 0])


class Checkpointed(nn.Module):
    """Recomputes its body in the backward."""

    def __init__(self, *, reentrant: bool) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 8)
        self.body = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 8))
        self.head = nn.Linear(8, 3)
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(checkpoint(self.body, x, use_reentrant=self.reentrant))


class NoParameters(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.act = nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x)


class Lazy(nn.Module):
    """Parameters without a shape before the first forward."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.LazyLinear(5), nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.fc1(x).relu())


class Odd(nn.Module):
    """Submodules that put out complex, empty, integer and never-called things."""

    def __init__(self) -> None:
        super().__init__()
        self.fft, self.empty, self.argmax = Fft(), Empty(), Argmax()
        self.unused = nn.Linear(2, 2)
        self.containers = nn.ModuleList([nn.Linear(6, 6)])
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.empty(x)
        self.argmax(x)
        return self.head(self.containers[0](x) + self.fft(x).abs())


class Fft(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.fft(x)


class Empty(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, :0]


class Argmax(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.argmax(1)


class StatefulEval(nn.Module):
    """Writes to its state even in eval mode: a buffer, an attribute, a list and random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(2))
        self.fc = nn.Linear(6, 3)
        self.plain = torch.zeros(1)
        self.calls = 0
        self.history: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        self.plain += 1
        self.calls += 1
        self.history.append(len(x))
        return self.fc(x) + torch.rand(()) * 0


class Gan(nn.Module):
    """Generator and discriminator in one module, for two optimizers."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6))
        self.discriminator = nn.Sequential(nn.Linear(6, 6), nn.LeakyReLU(), nn.Linear(6, 1))

    def forward(self, x: Tensor, part: str = "both") -> Tensor:
        x = self.generator(x) if part != "discriminator" else x
        return self.discriminator(x) if part != "generator" else x


class Case(NamedTuple):
    """A model and what to feed it."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    samples: int = 4

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw inputs and labels from a generator of their own."""
        inputs = torch.randn(self.shape, generator=generator)
        return inputs, torch.randint(0, 3, (self.samples,), generator=generator)


ZOO: dict[str, Case] = {
    "inplace_cnn": Case(InplaceCnn, (4, 1, 10, 10)),
    "residual": Case(Residual, (4, 1, 8, 8)),
    "norm_dropout": Case(NormDropout, (4, 6)),
    "frozen_norm": Case(FrozenNorm, (4, 1, 8, 8)),
    "shared": Case(Shared, (4, 6)),
    "structured": Case(Structured, (4, 6)),
    "lstm": Case(Lstm, (6, 4, 5)),
    "packed": Case(Packed, (4, 6, 5)),
    "gru": Case(Gru, (4, 6, 5)),
    "transformer": Case(Transformer, (4, 5, 8)),
    "checkpoint": Case(lambda: Checkpointed(reentrant=False), (4, 6)),
    "checkpoint_reentrant": Case(lambda: Checkpointed(reentrant=True), (4, 6)),
    "odd": Case(Odd, (4, 6)),
    "stateful_eval": Case(StatefulEval, (4, 6)),
}


def train(
    model: nn.Module,
    case: Case,
    *,
    steps: int = 5,
    optimizer: torch.optim.Optimizer | None = None,
    after: Callable[[], object] = lambda: None,
) -> torch.optim.Optimizer:
    """Run an ordinary training loop on fixed batches."""
    generator = torch.Generator().manual_seed(7)
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        inputs, labels = case.batch(generator)
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
        after()
    return optimizer
