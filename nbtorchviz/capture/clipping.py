"""Gradients before the user clips them: when to look at those, and the hooks that do."""

import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from nbtorchviz.capture.hooks import ParameterHook
from nbtorchviz.capture.parameter_norms import lengths, same_values
from nbtorchviz.capture.samples import Copy, floats_of, vector_of
from nbtorchviz.capture.tensors import HostCopy

FIRST = 4
"""The first few readings look."""
AFTER_CHANGE = 64
"""So many readings look after one that found changed gradients: some loops clip now and then."""
CHECK_EVERY = 16
"""Of the others, every so-manyth looks all the same."""
RARE_S = 0.5
"""A reading that comes so long after the last one always looks: it is too rare to cost much."""
_NOTHING = np.empty(0)


class Clipping:
    """Says for each reading whether to look at gradients before they are clipped, too.

    A hook on each parameter, put on and taken off at every step, took as long as all the rest of
    a reading. So readings in quick succession look only now and then, until one finds gradients
    that were changed: a look sees it whatever way they were, and the others see what is written in
    place (``clip_grad_norm_``, ``clip_grad_value_``). What was not looked at is not known.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read_at = float("-inf")
        self._left = FIRST
        """Readings that look yet."""
        self._blind = 0
        """Readings since one looked."""

    def look(self) -> bool:
        """Whether the reading that begins now is to look before clipping."""
        now = self._clock()
        rare, self._read_at = now - self._read_at > RARE_S, now
        look = rare or self._left > 0 or self._blind >= CHECK_EVERY - 1
        self._left = max(0, self._left - 1)
        self._blind = 0 if look else self._blind + 1
        return look

    def learn(self, *, changed: bool) -> None:
        """Hear whether a reading found gradients that were changed after the backward."""
        if changed:
            self._left = AFTER_CHANGE


class RawGradients:
    """Some values of each gradient, as the backward left it; of micro-batches the last counts.

    Args:
        parameters: of the model.
        fault: called with (where, exception).
    """

    def __init__(
        self, parameters: Sequence[Tensor], fault: Callable[[str, BaseException], None]
    ) -> None:
        self.copies: dict[int, Copy] = {}
        """By the place of the parameter."""
        self.cost_s = 0.0
        """Seconds that the hooks took."""
        self._parameters, self._fault = parameters, fault
        self._handles: dict[int, RemovableHandle] = {}

    def look(self, places: Iterable[int]) -> None:
        """Put hooks on the parameters at these places."""
        for at in places:
            parameter = self._parameters[at]
            if at not in self._handles and parameter.requires_grad and parameter.is_leaf:
                self._handles[at] = parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                    ParameterHook(self, str(at))
                )

    def accumulated(self, name: str, parameter: Tensor) -> None:
        """Read some of a gradient; called by the hooks."""
        began, gradient = time.monotonic(), parameter.grad
        try:
            if gradient is not None and (copy := floats_of(gradient)) is not None:
                self.copies[int(name)] = copy
        except Exception as error:  # raised into the backward it would end the training
            self._fault("gradient of a parameter", error)
        self.cost_s += time.monotonic() - began

    @property
    def ready(self) -> bool:
        """True when no copy is still on its way from the device."""
        return all(copy.ready for copy in self.copies.values() if isinstance(copy, HostCopy))

    def overflowed(self) -> bool:
        """Whether any is infinite or NaN. Waits for no device."""
        return not all(np.isfinite(vector_of(copy)).all() for copy in self.copies.values())

    def norms(
        self,
        clipped: Mapping[int, NDArray[Any]],
        norms: Mapping[int, float],
        unmet: Collection[int],
        counts: Sequence[int],
    ) -> tuple[dict[int, float], bool]:
        """Norms before clipping, which scaled the values that were read as it scaled the others.

        Reading all values twice would take as long again as everything else in a reading.

        Args:
            clipped: values that were read of the gradients that the optimizers found.
            norms: of those gradients.
            unmet: where only zeros were read though there is more.
            counts: elements of each parameter.

        Returns:
            The norms, and whether any gradient was seen to be changed.
        """
        copies = self.copies.items()
        raw = {at: vector_of(copy) for at, copy in copies if at not in unmet}
        same = same_values(raw, clipped)
        changed = len(same) < len(raw.keys() & norms.keys())
        found = {at: norms[at] for at in same if at in norms}
        rest = [at for at in raw if at not in found]
        after = [clipped.get(at, _NOTHING) for at in rest]
        both = zip(rest, lengths([raw[at] for at in rest]), lengths(after), strict=True)
        for at, before, length in both:
            if at not in norms:  # no optimizer: nothing else was read
                found[at] = before * math.sqrt(counts[at] / max(1, raw[at].size))
            elif before == length:
                found[at] = norms[at]
            else:
                found[at] = norms[at] * before / length if length > 0 else before
        if not changed:
            found.update({at: norms[at] for at in unmet if at in self.copies})
        return found, changed

    def close(self) -> None:
        """Take every hook off."""
        handles, self._handles = self._handles, {}
        for handle in handles.values():
            handle.remove()
