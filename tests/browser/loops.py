"""Cells with small models, and training loops that a test can question and end."""

import ast
import contextlib
import os
import select
import time
from pathlib import Path
from typing import Any

from tests.browser.patience import WAIT_S

SETUP = """
import contextlib
import os
import pathlib
import torch
from torch import nn
import nbtorchviz as nbv

torch.manual_seed(0)
torch.set_num_threads(1)

def tell(name):
    with contextlib.suppress(OSError):  # nobody listens
        news = os.open(f"{name}.news", os.O_WRONLY | os.O_NONBLOCK)
        os.write(news, b".")
        os.close(news)

def going(name):
    end, asked, part = (pathlib.Path(f"{name}.{what}") for what in ("end", "asked", "part"))
    pathlib.Path(f"{name}.begun").touch()
    tell(name)
    while not end.exists():
        yield
        if asked.exists():
            number, _, question = asked.read_text().partition(" ")
            asked.unlink()
            part.write_text(repr(eval(question, globals())))
            part.rename(f"{name}.answer{number}")
            tell(name)
"""
NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.relu = nn.ReLU()
        self.drop = nn.Dropout(0.1)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(8 * 16 * 16, 10))

    def forward(self, x):
        return self.head(self.drop(self.relu(self.conv(x))))

model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
inputs, labels = torch.randn(32, 3, 16, 16), torch.randint(0, 10, (32,))
"""
MODEL = SETUP + NET
BROWSER = """
browser = nbv.ActivationBrowser(model, layer="conv")
display(browser)
"""
COCKPIT = """
session = nbv.watch(model, optimizer)
display(session)
"""
STEP = """
loss = nn.functional.cross_entropy(model(inputs), labels)
optimizer.zero_grad()
loss.backward()
optimizer.step()
"""


def indented(code: str, columns: int = 4) -> str:
    """Return a block of code to stand inside a loop or a function."""
    return "\n".join(" " * columns + line for line in code.strip().splitlines())


class Loop:
    """The files through which a test speaks with a loop ``for _ in going(name)``.

    They work whatever the page does: stalled, reloaded or closed.
    """

    def __init__(self, files: Path, name: str) -> None:
        self.files, self.name = files, name
        self.asked = 0
        pipe = self._file("news")
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe)
        self._news = os.open(pipe, os.O_RDWR)  # for writing too: else it ends with each writer

    def cell(self, step: str = STEP) -> str:
        """Return a plain training loop as a cell; it prints ``ended`` when told to end."""
        return f'for _ in going("{self.name}"):\n{indented(step)}\nprint("ended")'

    def begun(self) -> None:
        """Return when the loop has begun."""
        self._wait("begun").unlink()

    def ask(self, expression: str) -> Any:
        """Return what ``expression`` gives between two steps of the running loop."""
        self.tell(expression)
        return ast.literal_eval(self._wait(f"answer{self.asked}").read_text())

    def tell(self, expression: str) -> None:
        """Let the loop evaluate ``expression`` after a step; what that raises ends the loop."""
        self.asked += 1
        part = self._file("question")
        part.write_text(f"{self.asked} {expression}")
        part.rename(self._file("asked"))

    def until(self, expression: str, timeout_s: float = WAIT_S) -> Any:
        """Ask until the answer is true; returns it."""
        deadline = time.monotonic() + timeout_s
        while not (answer := self.ask(expression)):
            assert time.monotonic() < deadline, f"never true: {expression}"
        return answer

    def end(self) -> None:
        """Let the loop end."""
        self._file("end").touch()

    def renew(self) -> None:
        """Let the loop go on and on when its cell is run again."""
        for part in ("end", "asked", "begun"):
            with contextlib.suppress(FileNotFoundError):
                self._file(part).unlink()

    def close(self) -> None:
        """Forget the pipe; a loop that goes on speaks to nobody."""
        self._file("news").unlink()
        os.close(self._news)

    def _file(self, part: str) -> Path:
        return self.files / f"{self.name}.{part}"

    def _wait(self, part: str) -> Path:
        file = self._file(part)
        deadline = time.monotonic() + WAIT_S
        while not file.exists():
            left = max(0.0, deadline - time.monotonic())
            heard, _, _ = select.select([self._news], [], [], left)
            assert heard, f"the loop left no file {file.name}"
            os.read(self._news, 4096)
        return file
