"""Notice parameters that stay as they are from one sampled forward to the next."""

from itertools import islice

import torch
from torch import Tensor, nn

PARAMETERS, VALUES = 16, 32
"""So many of the last parameters that learn, and so many values of each, are compared."""


class Stillness:
    """Remembers a few values. For models of which no step was ever seen: steps tell of the others.

    It waits for the device, which is no loss where nothing is learned.
    """

    def __init__(self) -> None:
        self._before: Tensor | None = None

    def since_last(self, root: nn.Module) -> bool:
        """Whether all values are those of the last call. False at the first one."""
        now, before = _values(root), self._before
        self._before = now
        return before is not None and now is not None and torch.equal(now, before)


def _values(root: nn.Module) -> Tensor | None:
    learning = (p for p in reversed(list(root.parameters())) if p.requires_grad and p.numel())
    plain = (p.detach() for p in learning if p.layout == torch.strided and p.is_floating_point())
    read = [p.flatten()[:VALUES].cpu().double() for p in islice(plain, PARAMETERS)]
    return torch.cat(read) if read else None
