"""Know which layer of a copied model is running, and which line of the user's code."""

import linecache
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import CodeType
from typing import Any

import torch
from torch import Tensor, nn

from nbtorchviz.capture.layers import Tree

_TORCH = str(Path(torch.__file__).parent)
_OURS = str(Path(__file__).parents[1])
Place = tuple[str, int]
"""A layer's name and which call of it; ``("", 0)`` is outside every layer."""
Line = tuple[str, int]
"""File and line number; ``("", 0)`` is not known."""


class Calls:
    """Follows one forward of a copy; only a copy may be given hooks that raise.

    Args:
        root: the copy.
    """

    def __init__(self, root: nn.Module) -> None:
        self._root = root
        self._stack: list[Place] = []
        self._counts: dict[str, int] = defaultdict(int)
        self._names = {id(tensor): name for name, tensor in root.named_parameters()}
        self._moves: list[tuple[int, Place]] = []
        """Number of the next autograd node whenever the layer changed."""

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Keep hooks on every module inside the block."""
        with ExitStack() as hooks:
            for name, entry in Tree(self._root).entries.items():
                if entry.raw:
                    module = self._root.get_submodule(entry.raw)
                    began = module.register_forward_pre_hook(partial(self._began, name))
                    ended = module.register_forward_hook(self._ended, always_call=True)
                    hooks.callback(began.remove)
                    hooks.callback(ended.remove)
            yield

    @property
    def place(self) -> Place:
        """The innermost layer that is running."""
        return self._stack[-1] if self._stack else ("", 0)

    def name_of(self, tensor: Tensor) -> str:
        """Return the name of a parameter; ``""``: it is none."""
        return self._names.get(id(tensor), "")

    def parameters_of(self, place: Place) -> list[tuple[str, Tensor]]:
        """List the parameters that a layer itself holds, by their full names."""
        raw = ""  # outside every layer: the model itself
        if place[0]:
            entry = Tree(self._root).entries.get(place[0])
            if entry is None:
                return []
            raw = entry.raw
        own = self._root.get_submodule(raw).parameters(recurse=False)
        return [(self.name_of(each), each) for each in own]

    def place_of_node(self, number: int) -> Place:
        """Return the layer in which the autograd node of this number was made."""
        place: Place = ("", 0)
        for first, moved in self._moves:
            if first > number:
                break
            place = moved
        return place

    def _began(self, name: str, module: nn.Module, args: object) -> None:
        call = self._counts[name]
        self._counts[name] = call + 1
        self._stack.append((name, call))
        self._moved()

    def _ended(self, module: nn.Module, args: object, output: object) -> None:
        if self._stack:
            self._stack.pop()
        self._moved()

    def _moved(self) -> None:
        self._moves.append((next_node(), self.place))


def next_node() -> int:
    """Return the number that the next autograd node of this thread gets."""
    return int(torch._C._autograd._get_sequence_nr())


def user_line() -> Line:
    """Find the innermost line outside torch and nbtorchviz that called; stop at our own."""
    frame: Any = sys._getframe(1)
    while frame is not None and _inside(frame.f_code, _OURS):
        frame = frame.f_back
    while frame is not None:
        if _inside(frame.f_code, _OURS):
            break  # the replay itself: beyond it is whatever trained when this was found
        if not _inside(frame.f_code, _TORCH) and not frame.f_code.co_filename.startswith("<"):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return "", 0


def told_line(line: Line) -> tuple[str, str]:
    """Return ``"model.py:12"`` and the code of that line."""
    name, number = line
    return (
        (f"{Path(name).name}:{number}", linecache.getline(name, number).strip())
        if name
        else (
            "",
            "",
        )
    )


def _inside(code: CodeType, folder: str) -> bool:
    return code.co_filename.startswith(folder)
