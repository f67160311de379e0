"""Count the steps of the one optimizer that matters to a model."""

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from nbtorchviz.capture.hooks import generation

PATIENCE = 3
"""Root forwards without a matching step after which the forward itself is the boundary."""

PATIENCE_NAMED = 10
"""Steps of others in a row after which the optimizer that was named is taken to have been left for
them. More than a critic makes for each of its generator's."""
RETIRED_AFTER = 50
"""Counted steps after which an optimizer that makes none any more trains the model no longer."""

STEPLESS = 64
"""Grad-enabled root forwards without a step after which its parameters are not waited for."""
MOST_ACCUMULATED = 256


class Tally:
    """How many steps were finished, and how many more may be counted without telling anybody.

    Where a step takes less than a millisecond it leaves the processor's caches cold, and every
    line of Python and every object it touches then costs. So these two stand alone.
    """

    __slots__ = ("count", "left")

    def __init__(self) -> None:
        self.count = 0
        self.left = 0


class Steps:
    """Counts the steps of the one optimizer that matters to a model.

    The first optimizer given counts; without one, the first seen to own parameters of this model.
    When that one is gone, or silent while another keeps stepping, the other takes its place. One
    that was given takes it back with its next step. Steps of one that owns none of the parameters
    never count: it trains another model, such as the one that stood here before.
    """

    def __init__(self, root: "weakref.ref[nn.Module]", optimizers: Iterable[Optimizer]) -> None:
        self.tally = Tally()
        self.silent = 0
        """Grad-enabled root forwards since the last step that counted."""
        self.forwards = 0
        """Root forwards of any kind since then."""
        self._accumulated = 0
        """Root forwards that the last step took."""
        self._rivals: weakref.WeakKeyDictionary[Optimizer, int] = weakref.WeakKeyDictionary()
        """Steps of other optimizers that own parameters, since the last step that counted."""
        self._rivalled = False
        """Whether there are any."""
        self._rivalled_at = 0
        """Count when the newest of them was."""
        self._root = root
        self._born = generation()
        self._given: tuple[weakref.ref[Optimizer], ...] = ()
        self._chosen: weakref.ref[Optimizer] | None = None
        self._deposed = False
        """Whether the chosen one, or none yet, counts although one that was named is alive."""
        self._others: dict[int, tuple[weakref.ref[Optimizer], int]] = {}
        """By id: other optimizers that own parameters, and the count at their newest step.
        Replaced as a whole: other threads read it."""
        self._owns: weakref.WeakKeyDictionary[Optimizer, tuple[int, bool]] = (
            weakref.WeakKeyDictionary()
        )
        self.give(optimizers)

    def give(self, optimizers: Iterable[Optimizer]) -> None:
        """Name the optimizers; the first one's steps are counted."""
        self._given = tuple(weakref.ref(optimizer) for optimizer in optimizers)
        first = self._given[0]() if self._given else None
        self._chosen, self._deposed = None, first is not None and not self._owned(first)

    @property
    def count(self) -> int:
        """Finished steps of the optimizer that counts."""
        return self.tally.count

    @property
    def given(self) -> bool:
        """True while an optimizer that was named is alive."""
        return bool(self._given) and self._given[0]() is not None

    @property
    def lost(self) -> bool:
        """Whether some were named and none of them exists any more."""
        return bool(self._given) and all(ref() is None for ref in self._given)

    @property
    def strangers(self) -> bool:
        """Whether all that were named and live own no parameter of the model. From any thread."""
        named = [each for ref in self._given if (each := ref()) is not None]
        return bool(named) and not any(self._owned(each, keep=False) for each in named)

    @property
    def counting(self) -> "weakref.ref[Optimizer] | None":
        """The optimizer whose steps are counted; None while none was seen."""
        return self._given[0] if self.given and not self._deposed else self._chosen

    @property
    def learning_rate(self) -> float | None:
        """Of the first parameter group of the optimizer that counts; None when not known."""
        ref = self.counting
        optimizer = None if ref is None else ref()
        if optimizer is None or not optimizer.param_groups:
            return None
        return _rate_of(optimizer.param_groups[0])

    @property
    def largest_rate(self) -> float | None:
        """The largest of all groups of the optimizers that are known; None when not known."""
        rates = (_rate_of(group) for each in self.known for group in each.param_groups)
        return max((rate for rate in rates if rate is not None), default=None)

    @property
    def known(self) -> list[Optimizer]:
        """The optimizers that were named, the one that counts, and others that step beside it."""
        found = () if self._chosen is None else (self._chosen,)
        late = self.count - RETIRED_AFTER
        others = [ref for ref, at in self._others.values() if at >= late]
        living = [each for ref in (*self._given, *found, *others) if (each := ref()) is not None]
        return list(dict.fromkeys(living))

    @property
    def seen(self) -> list[Optimizer]:
        """All of those, and any other that was seen to own parameters of the model."""
        owners = [optimizer for optimizer, (_, owns) in self._owns.items() if owns]
        return list(dict.fromkeys([*self.known, *owners]))

    def ignores(self, optimizer: Optimizer) -> bool:
        """Whether a step of ``optimizer`` changes nothing here. From any thread; keeps nothing."""
        if self._given and self._given[0]() is optimizer and not self._deposed:
            return False
        return not self._found_in(optimizer)

    def trains(self, optimizer: Optimizer) -> bool:
        """Whether ``optimizer`` owns parameters of this model."""
        return self._born == generation() and self._owned(optimizer)

    def matches(self, optimizer: Optimizer) -> bool:
        """Count this step if it is one that counts."""
        if self._born != generation():
            return False
        ref = self.counting
        if (None if ref is None else ref()) is not optimizer and not self._succeeds(optimizer):
            return False
        self.tally.count += 1
        if self._rivalled:  # to ask the dictionary takes as long as all the rest
            self._rivalled = False
            self._rivals.clear()
        if 0 < self.silent <= MOST_ACCUMULATED:  # 0: nobody looked at the forwards
            self._accumulated = self.silent
        self.silent = self.forwards = 0
        return True

    def _succeeds(self, optimizer: Optimizer) -> bool:
        """Let ``optimizer`` count from this step on, if the one that counted was left for it."""
        named = self._given[0]() if self._given else None
        if not self._owned(optimizer):
            return False
        if named is not optimizer:
            if self._rivalled_at != self.count:  # steps that were just counted lie between
                self._rivals.clear()
            self._rivalled, self._rivalled_at = True, self.count
            steps = self._rivals[optimizer] = self._rivals.get(optimizer, 0) + 1
            counting = self.counting
            if counting is not None and counting() is not None:
                patience = PATIENCE if named is None or self._deposed else PATIENCE_NAMED
                if steps < patience:
                    self._note(optimizer)
                    return False
            self._chosen = weakref.ref(optimizer)
        self._deposed = named is not None and named is not optimizer
        self.tally.left = 0  # which was of the other's steps
        return True

    def _note(self, optimizer: Optimizer) -> None:
        late = self.count - RETIRED_AFTER
        others = {
            key: (ref, at)
            for key, (ref, at) in self._others.items()
            if ref() is not None and at >= late
        }
        self._others = {**others, id(optimizer): (weakref.ref(optimizer), self.count)}

    def skipped(self) -> None:
        """Note that the forwards since the last step belong to one that a scaler skipped."""
        self.silent = self.forwards = 0

    @property
    def stepless(self) -> bool:
        """Whether so many forwards went by without a step that none is waited for."""
        return self.silent > STEPLESS

    def by_forward(self, *, grad: bool) -> bool:
        """Tell whether the end of the present root forward is the boundary.

        Gradient accumulation over more micro-batches than ``PATIENCE`` is learnt at its first
        step.
        """
        if grad:
            return self.silent > max(PATIENCE, 2 * self._accumulated)
        return self.count == 0 and not self._given and self.forwards > PATIENCE

    def _owned(self, optimizer: Optimizer, *, keep: bool = True) -> bool:
        size = sum(len(group["params"]) for group in optimizer.param_groups)
        known = self._owns.get(optimizer)
        if known is not None and known[0] == size:
            return known[1]
        owned = self._found_in(optimizer)
        if keep:
            self._owns[optimizer] = (size, owned)
        return owned

    def _found_in(self, optimizer: Optimizer) -> bool:
        root = self._root()
        mine = {id(parameter) for parameter in root.parameters()} if root is not None else set()
        return any(
            id(parameter) in mine
            for group in optimizer.param_groups
            for parameter in group["params"]
        )


def _rate_of(group: dict[str, Any]) -> float | None:
    rate = group.get("lr")
    if isinstance(rate, torch.Tensor):
        if rate.device.type != "cpu" or rate.numel() != 1:
            return None  # a rate on a GPU is not waited for
        return float(rate.item())
    return float(rate) if isinstance(rate, int | float) else None
