"""Notice parameters that stay as they are from one sampled forward to the next."""

from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

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
    plain = (p.detach() for p in reversed(list(root.parameters())) if _is_plain(p))
    read = [p.reshape(-1)[:VALUES] for p in islice(plain, PARAMETERS)]
    return torch.cat([values.cpu().double() for values in read]) if read else None


def _is_plain(parameter: nn.Parameter) -> bool:
    """Whether it learns, and its values can be read alone: no shard of others, no meta tensor."""
    if not parameter.requires_grad or is_lazy(parameter) or parameter.is_meta:
        return False
    values = parameter.detach()
    dense = type(values) is Tensor and values.layout == torch.strided
    return dense and values.numel() > 0 and values.is_floating_point()
