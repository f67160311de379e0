import pytest
import torch
from torch import nn

from nbtorchviz.events import ActivationCaptured
from nbtorchviz.session import watch
from nbtorchviz.session.looks import Look


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(5, 7), nn.Linear(7, 3)

    def forward(self, x):
        return self.head(self.lstm(x)[0][-1])


@pytest.fixture
def opened():
    sessions = []

    def open_session(model, *looks, **how):
        sessions.append(watch(model, **{"every": 1, **how}))
        for owner, look in enumerate(looks):
            sessions[-1].recorder.looks.set(owner, look)
        sessions[-1].tap.look()
        return sessions[-1]

    yield open_session
    for session in sessions:
        session.close()


def train(model, x, steps=1):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        model(x).sum().backward()
        optimizer.step()


def test_kept_frames_of_a_structured_output_are_found_without_a_path(opened):
    model = Recurrent()
    session = opened(model, Look("lstm"), Look("lstm", path="1.0"))
    train(model, torch.randn(6, 4, 5), steps=2)
    kept = session.recorder.kept["batch"]
    assert kept.newest("lstm").path == "0"
    assert kept.newest("lstm", path="1.0").path == "1.0"
    assert kept.newest_steps()["lstm"] == 2


def test_each_widget_gets_its_own_sample_of_one_layer(opened):
    model = nn.Sequential(nn.Linear(4, 3))
    session = opened(model, Look("0", sample=1), Look("0", sample=5))
    seen = []
    session.bus.subscribe(
        ActivationCaptured, lambda event: seen.append((event.layer, event.sample)), inline=True
    )
    train(model, torch.randn(6, 4))
    assert {("0", 1), ("0", 5)} <= set(seen)


def test_every_counts_forwards_where_no_step_is_seen(opened):
    model = nn.Sequential(nn.Linear(4, 3)).eval()
    session = opened(model, Look("0"), every=3)
    forwards = set()
    session.bus.subscribe(
        ActivationCaptured, lambda event: forwards.add(event.forward), inline=True
    )
    with torch.no_grad():
        for _ in range(15):
            model(torch.randn(6, 4))
    assert {9, 12, 15} <= forwards
    assert not {7, 8, 10, 11, 13, 14} & forwards


def test_a_failed_forward_is_forgotten_when_training_goes_on(opened):
    model = nn.Sequential(nn.Linear(4, 3))
    session = opened(model, Look("0"), every=1000)
    with pytest.raises(RuntimeError):
        model(torch.randn(6, 5))
    assert session.recorder.failure is not None
    train(model, torch.randn(6, 4))
    assert session.recorder.failure is None
