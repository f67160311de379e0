"""Know whether gradients are clipped, so that they need not be read twice at every step."""

import time
from collections.abc import Callable

FIRST = 4
"""The first few readings look."""
AFTER_CHANGE = 64
"""So many readings look after one that found changed gradients: some loops clip now and then."""
CHECK_EVERY = 16
"""Of the others, every so-manyth looks all the same."""
RARE_S = 0.5
"""A reading that comes so long after the last one always looks: it is too rare to cost much."""


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
