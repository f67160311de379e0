"""Real trainings that go well: no finding, not even for a moment."""

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.analysis.findings.digits import digits
from tests.analysis.findings.training import events_of, watch

OPTIMIZERS = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, 0.02, momentum=0.9),
    "Adam": lambda parameters: torch.optim.Adam(parameters, 1e-3),
}


def digit_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 32),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(32, 10),
    )


class Counting(nn.Module):
    """A small transformer that learns to count on: 3, 5, 7 -> 5, 7, 9."""

    def __init__(self, words: int = 32, width: int = 32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.position = nn.Parameter(torch.randn(12, width) * 0.02)
        layer = nn.TransformerEncoderLayer(width, 4, 64, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, words)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embedding(x) + self.position))


def sequences(batches: int, words: int = 32) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    for _ in range(batches):
        start = torch.randint(0, words, (16, 1), generator=generator)
        stride = torch.randint(1, 4, (16, 1), generator=generator)
        tokens = (start + stride * torch.arange(13)) % words
        yield tokens[:, :-1], tokens[:, 1:]


def next_token(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def small_digits(batches: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Digits as (N, 3, 32, 32)."""
    for images, labels in digits(batches, batch_size=8):
        yield F.pad(images, (2, 2, 2, 2)).expand(-1, 3, -1, -1).contiguous(), labels


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_false_alarm_on_a_digit_net(name):
    torch.manual_seed(0)
    model = digit_net()
    events = events_of(model, OPTIMIZERS[name](model.parameters()), F.cross_entropy, digits(160))
    watched = watch(events)
    assert watched.changes == []
    assert sum(watched.losses[-10:]) / 10 < 0.8  # it does learn


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_false_alarm_on_a_transformer(name):
    torch.manual_seed(0)
    model = Counting()
    events = events_of(model, OPTIMIZERS[name](model.parameters()), next_token, sequences(160))
    watched = watch(events)
    assert watched.changes == []
    assert watched.losses[-1] < 0.7 * watched.losses[0]


def test_no_false_alarm_on_resnet18():
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=10)
    optimizer = torch.optim.SGD(model.parameters(), 0.005, momentum=0.9)
    watched = watch(events_of(model, optimizer, F.cross_entropy, small_digits(32)))
    assert watched.changes == []


def test_no_false_alarm_on_an_autoencoder_whose_last_sigmoid_is_sure():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 64),
        nn.ReLU(),
        nn.Linear(64, 784),
        nn.Sigmoid(),
    )
    batches = ((images, images.flatten(1)) for images, _ in digits(150))
    events = events_of(model, OPTIMIZERS["Adam"](model.parameters()), F.mse_loss, batches)
    assert watch(events).changes == []


def test_no_false_alarm_while_a_learning_rate_warms_up_from_zero():
    torch.manual_seed(0)
    model = digit_net()
    optimizer = OPTIMIZERS["Adam"](model.parameters())
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, step / 50))
    optimizer.register_step_post_hook(lambda *_: schedule.step())
    assert watch(events_of(model, optimizer, F.cross_entropy, digits(60))).changes == []


@pytest.mark.parametrize(
    "optimizer_of",
    [lambda p: torch.optim.SGD(p, 0.1), lambda p: torch.optim.AdamW(p, 1e-3)],
    ids=["SGD", "AdamW"],
)
@pytest.mark.parametrize("warm_up", [1, 200])
def test_no_false_alarm_for_a_head_that_begins_at_zero(optimizer_of, warm_up):
    torch.manual_seed(0)
    hidden = [part for _ in range(2) for part in (nn.Linear(64, 64), nn.ReLU())]
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), *hidden, nn.Linear(64, 10))
    nn.init.zeros_(model[-1].weight)
    nn.init.zeros_(model[-1].bias)
    optimizer = optimizer_of(model.parameters())
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, step / warm_up))
    optimizer.register_step_post_hook(lambda *_: schedule.step())
    assert watch(events_of(model, optimizer, F.cross_entropy, digits(220))).changes == []


def test_no_false_alarm_when_a_frozen_body_is_kept_in_eval():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()),
        nn.Linear(4 * 26 * 26, 10),
    )
    model[0].requires_grad_(False).eval()
    optimizer = OPTIMIZERS["SGD"](model[1].parameters())
    assert watch(events_of(model, optimizer, F.cross_entropy, digits(40))).changes == []


def test_no_false_alarm_for_a_mixture_of_which_each_step_takes_one_expert():
    class Mixture(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Linear(784, 32), nn.Linear(32, 10)
            self.experts = nn.ModuleList(nn.Linear(32, 32) for _ in range(8))

        def forward(self, x: Tensor) -> Tensor:
            hidden = F.relu(self.stem(x.flatten(1)))
            expert = self.experts[int(torch.randint(0, len(self.experts), ()))]
            return self.head(hidden + expert(hidden))

    torch.manual_seed(0)
    model = Mixture()
    events = events_of(model, OPTIMIZERS["Adam"](model.parameters()), F.cross_entropy, digits(300))
    assert watch(events).changes == []


def test_no_false_alarm_for_adapters_that_begin_at_zero():
    class Adapted(nn.Module):
        """A frozen layer with a low-rank addition, the second factor of which begins at 0."""

        def __init__(self) -> None:
            super().__init__()
            self.base = nn.Linear(64, 64).requires_grad_(False)
            self.down, self.up = nn.Linear(64, 4, bias=False), nn.Linear(4, 64, bias=False)
            nn.init.zeros_(self.up.weight)

        def forward(self, x: Tensor) -> Tensor:
            return self.base(x) + self.up(self.down(x))

    torch.manual_seed(0)
    first = nn.Linear(784, 64).requires_grad_(False)
    model: Callable[[Tensor], Tensor] = nn.Sequential(
        nn.Flatten(),
        first,
        nn.ReLU(),
        Adapted(),
        nn.ReLU(),
        Adapted(),
        nn.ReLU(),
        nn.Linear(64, 10),
    )
    events = events_of(model, OPTIMIZERS["Adam"](model.parameters()), F.cross_entropy, digits(80))
    assert watch(events).changes == []
