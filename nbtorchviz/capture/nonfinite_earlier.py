"""Remember what the parameters were in the step that was looked at last, within a fixed size."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nbtorchviz.capture.nonfinite_ranges import readable
from nbtorchviz.nonfinite import MOST_VALUES

MOST_BYTES = 1_000_000
"""Of copies, twice. Of a larger model the first rows of each parameter are kept."""


@dataclass(slots=True)
class Earlier:
    """Parameters as a step used them."""

    step: int
    values: dict[str, Tensor]
    """By name; the first rows where that is less than the parameter."""


class EarlierWeights:
    """Copies the parameters of a model, or as much of each as fits, before each guarded forward.

    Args:
        root: the model; the places of its parameters are held, not the module.
        fresh: never write to a copy again: its reader may come late.
    """

    def __init__(self, root: nn.Module, *, fresh: bool) -> None:
        self._fresh = fresh
        named = [
            (f"{name}.{own}" if name else own, module._parameters, own)
            for name, module in root.named_modules()
            for own in module._parameters
        ]
        sizes = {name: _bytes(owner[own]) for name, owner, own in named}
        most = None if sum(sizes.values()) <= MOST_BYTES else MOST_VALUES
        left = MOST_BYTES
        self._places: list[tuple[str, dict[str, Any], str, int | None]] = []
        """Name of a parameter, where it is, and how many rows of it; None: all."""
        for name, owner, own in named:
            rows = None if most is None else _rows(owner[own], most)
            left -= _bytes(owner[own] if rows is None else owner[own][:rows])
            if sizes[name] and left >= 0:
                self._places.append((name, owner, own, rows))
        self._last: Earlier | None = None
        self._spare: Earlier | None = None

    def turn(self, step: int) -> Earlier | None:
        """Copy the present values for later; return those of the forward that was guarded before.

        Nothing more is kept once a parameter was taken away. What is returned stays as it is
        until the next call.
        """
        before, spare = self._last, self._spare
        with torch.no_grad():
            cut = self._cut()
            if len(cut) < len(self._places):
                self.forget()
                return None
            kept = [] if spare is None or self._fresh else list(spare.values.values())
            if spare is not None and _alike(kept, cut):
                if cut:
                    torch._foreach_copy_(kept, cut)
                spare.step = step
            else:
                names = (name for name, *_ in self._places)
                spare = Earlier(step, dict(zip(names, map(torch.clone, cut), strict=True)))
        self._last, self._spare = spare, before
        return before

    def forget(self) -> None:
        """Let everything go."""
        self._places.clear()
        self._last = self._spare = None

    def _cut(self) -> list[Tensor]:
        held = [(owner.get(own), rows) for _, owner, own, rows in self._places]
        there = [(tensor, rows) for tensor, rows in held if tensor is not None]
        return [tensor if rows is None else tensor[:rows] for tensor, rows in there]


def _bytes(tensor: Tensor | None) -> int:
    return tensor.numel() * tensor.element_size() if tensor is not None and readable(tensor) else 0


def _rows(tensor: Tensor | None, most: int) -> int | None:
    """How many first rows hold about ``most`` values; None: all."""
    if not _bytes(tensor) or tensor is None or not tensor.ndim or tensor.numel() <= most:
        return None
    return max(1, most // tensor[0].numel())


def _alike(kept: list[Tensor], cut: list[Tensor]) -> bool:
    return [(it.shape, it.dtype, it.device) for it in kept] == [
        (it.shape, it.dtype, it.device) for it in cut
    ]
