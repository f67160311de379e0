"""Gradients before the user clips them: when to look at those, and the hooks that do."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from nbtorchviz.capture.hooks import ParameterHook
from nbtorchviz.capture.parameter_norms import Norms, lengths, same_values, scales_between
from nbtorchviz.capture.samples import Copy, floats_of, real_of, vector_of
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
        self.whole: set[int] = set()
        """Places of the parameters whose norm a look is to take of all values."""

    def look(self) -> bool:
        """Whether the reading that begins now is to look before clipping."""
        now = self._clock()
        rare, self._read_at = now - self._read_at > RARE_S, now
        look = rare or self._left > 0 or self._blind >= CHECK_EVERY - 1
        self._left = max(0, self._left - 1)
        self._blind = 0 if look else self._blind + 1
        return look

    def learn(self, *, changed: bool, unknown: Iterable[int]) -> None:
        """Hear what a reading found.

        Args:
            changed: gradients that were changed after the backward.
            unknown: parameters whose norm before that some of their values did not tell:
                ``clip_grad_value_`` does not change all alike.
        """
        if changed:
            self._left = AFTER_CHANGE
        self.whole.update(unknown)


class RawNorms(NamedTuple):
    """Norms before clipping, by the place of the parameter."""

    norms: dict[int, float]
    changed: bool
    """Whether any gradient was seen to be changed."""
    unknown: Set[int]
    """Parameters of which the values that were read do not tell the norm."""


class RawGradients:
    """Some values of each gradient, as the backward left it; of micro-batches the last counts.

    Args:
        parameters: of the model.
        fault: called with (where, exception).
        whole: whether to take the norm of all values of the parameter at a place, too.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        fault: Callable[[str, BaseException], None],
        whole: Callable[[int], bool] = lambda at: False,
    ) -> None:
        self.copies: dict[int, Copy] = {}
        """By the place of the parameter."""
        self._exact: dict[int, Norms] = {}
        self._whole = whole
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
        began, gradient, at = time.monotonic(), parameter.grad, int(name)
        try:
            values = None if gradient is None else real_of(gradient)
            if values is not None and (copy := floats_of(values)) is not None:
                self.copies[at] = copy
                if self._whole(at):
                    self._exact[at] = Norms([values])
        except Exception as error:  # raised into the backward it would end the training
            self._fault("gradient of a parameter", error)
        self.cost_s += time.monotonic() - began

    @property
    def ready(self) -> bool:
        """True when no copy is still on its way from the device."""
        copies = [copy for copy in self.copies.values() if isinstance(copy, HostCopy)]
        exact = self._exact.values()
        return all(copy.ready for copy in copies) and all(norm.ready for norm in exact)

    def overflowed(self) -> bool:
        """Whether any is infinite or NaN. Waits for no device."""
        return not all(np.isfinite(vector_of(copy)).all() for copy in self.copies.values())

    def norms(
        self,
        clipped: Mapping[int, NDArray[Any]],
        norms: Mapping[int, float],
        counts: Sequence[int],
    ) -> RawNorms:
        """Norms before clipping: where it scaled the values that were read alike, so all others.

        Reading all values at each step would take as long again as all else in a reading.

        Args:
            clipped: values that were read of the gradients that the optimizers found.
            norms: of those gradients.
            counts: elements of each parameter.
        """
        raw = {at: vector_of(copy) for at, copy in self.copies.items()}
        same = set(same_values(raw, clipped))
        found = {at: norms[at] for at in same if at in norms}
        rest = [at for at in raw.keys() & norms.keys() - same if raw[at].size]
        if rest:
            after = [clipped.get(at, _NOTHING) for at in rest]
            scales = scales_between([raw[at] for at in rest], after)
            for at in [at for at in found if raw[at].size < counts[at]]:
                if None in scales or not raw[at].any():  # the others may have been changed
                    del found[at]
            both = zip(rest, scales, strict=True)
            found |= {at: norms[at] / scale for at, scale in both if scale is not None}
        whole = [at for at in rest if raw[at].size == counts[at] or not np.isfinite(raw[at]).all()]
        found |= zip(whole, lengths([raw[at] for at in whole]), strict=True)
        found |= {at: taken.values()[0] for at, taken in self._exact.items()}
        return RawNorms(found, bool(rest), raw.keys() - found.keys())

    def close(self) -> None:
        """Take every hook off."""
        handles, self._handles = self._handles, {}
        for handle in handles.values():
            handle.remove()
