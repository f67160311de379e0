"""Read parameters, their gradients and their updates around one optimizer step."""

import contextlib
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from nbtorchviz.capture.clipping import RawGradients
from nbtorchviz.capture.parameter_norms import Norms, WeightNorms, lengths
from nbtorchviz.capture.reductions import spread
from nbtorchviz.capture.samples import (
    WHOLE,
    Copy,
    as_numpy,
    copied,
    dense_floats,
    floats_of,
    limit_of,
    real_of,
    vector_of,
)
from nbtorchviz.capture.spreads import SummariseMany
from nbtorchviz.capture.tensors import HostCopy
from nbtorchviz.events import Histogram


@dataclass(slots=True)
class ParameterStatistics:
    """Numbers of all parameters at one step; every column is as long as ``parameters``."""

    parameters: tuple[str, ...]
    gradient_norms: NDArray[np.float32]
    raw_gradient_norms: NDArray[np.float32]
    norms: NDArray[np.float32]
    update_norms: NDArray[np.float32]
    learning_rates: NDArray[np.float32]
    counts: NDArray[np.int64]
    states: tuple[str, ...]
    nonfinite: NDArray[np.int64]
    histograms: Sequence[Histogram | None]
    skipped: bool = False


class ParameterReader:
    """Reads one step: armed in a forward, called by the optimizers' hooks, developed afterwards.

    Gradients are read in the step-pre hook, accumulated and after the user's clipping; those of
    an optimizer with a closure (LBFGS) after its step, because it computes them inside. Norms
    are exact (those of the weights may be a second old); updates, histograms and the norms
    before clipping come from ``LIMIT`` values of each parameter larger than ``WHOLE``. On the CPU
    nothing waits; on another device the copies are asynchronous.

    Args:
        root: the model.
        optimizers: those that are known to train it.
        raw: also read gradients before clipping, by hooks on the parameters.
        whole: of the parameters at these places all values, if at all.
        hooks: whether hooks on parameters are allowed at all; those that no known optimizer trains
            have one, because nothing else reads their gradients.
        weight_norms: kept from one reader to the next.
        exact: weights are not to be older than the step.
        fault: called with (where, exception).
    """

    def __init__(
        self,
        root: nn.Module,
        optimizers: Iterable[Optimizer],
        *,
        raw: bool = True,
        whole: Set[int] = frozenset(),
        hooks: bool = True,
        weight_norms: WeightNorms | None = None,
        exact: bool = False,
        fault: Callable[[str, BaseException], None] = lambda where, error: None,
    ) -> None:
        self._weight_norms, self.exact = weight_norms or WeightNorms(), exact
        self._named = [
            (name, parameter)
            for name, parameter in root.named_parameters()
            if not is_lazy(parameter)
        ]
        self._places = {id(parameter): at for at, (_, parameter) in enumerate(self._named)}
        self._rates: dict[int, float] = {}
        self._read: set[int] = set()
        self._words: dict[int, str] = {}
        self._norms: dict[int, tuple[Norms, int]] = {}
        self._gradient_norms: dict[int, tuple[Norms, int]] = {}
        self._gradients: dict[int, Copy] = {}
        self._scaled: list[tuple[HostCopy, Collection[int]]] = []
        """Scales of a ``GradScaler`` that a fused optimizer divides by itself, and which."""
        self._before: dict[int, Tensor | NDArray[Any]] = {}
        self._after: dict[int, NDArray[Any]] = {}
        self._updates: dict[int, HostCopy] = {}
        """Differences where numpy cannot read the weights; else ``_before`` and ``_after``."""
        self._awaited: list[HostCopy | Norms] = []
        self.changed = False
        """Whether gradients were seen to be changed between the backward and the optimizer, as
        clipping does; all that is to be seen of it is known once this is developed."""
        self.unknown: Set[int] = frozenset()
        """Places of the parameters whose norm before that was not to be told."""
        self.step: int | None = None
        """The step that was read, once it finished."""
        self._cost_s = 0.0
        for optimizer in optimizers:
            self._learn(optimizer)
        self._raw = RawGradients(
            [p for _, p in self._named], fault, lambda at: at in whole or at not in self._rates
        )
        if hooks:
            self._raw.look(at for at in range(len(self._named)) if raw or at not in self._rates)
        self._hooks = hooks

    def look(self) -> None:
        """Read gradients before clipping from now on: the backward that counts is still to come."""
        if self._hooks and not self._read:
            self._raw.look(range(len(self._named)))

    @property
    def cost_s(self) -> float:
        """Seconds that reading took."""
        return self._cost_s + self._raw.cost_s

    # Called by the hooks

    def before_step(self, optimizer: Optimizer, *, closure: bool) -> None:
        """Read weights, and unless a closure computes them later also gradients."""
        self._raw.close()
        self._learn(optimizer)
        dense: dict[int, Tensor] = {}
        for at in self._mine(optimizer) - self._norms.keys():
            parameter = self._named[at][1]
            values = real_of(parameter) if parameter.is_complex() else parameter
            if (held := _held(values)) is not None:
                dense[at] = values
                if parameter.requires_grad:
                    self._before[at] = held
        norms = self._weight_norms.norms(dense, exact=self.exact)
        self._norms.update(norms)
        self._awaited += {found for found, _ in norms.values()}
        if not closure:
            self._read_gradients(optimizer)

    def after_step(self, optimizer: Optimizer) -> None:
        """Read what the step changed."""
        self._read_gradients(optimizer)
        for at in self._mine(optimizer) & self._before.keys() - self._after.keys():
            before, weights = self._before[at], real_of(self._named[at][1])
            if isinstance(before, Tensor):
                del self._before[at]
                after = spread(weights, limit_of(weights))
                if after.shape == before.shape:
                    self._updates[at] = HostCopy(after.to(torch.float64).sub_(before))
                    self._awaited.append(self._updates[at])
            elif isinstance(copy := self._some(weights), np.ndarray) and copy.size == before.size:
                self._after[at] = copy

    @contextlib.contextmanager
    def timed(self, clock: Callable[[], float]) -> Iterator[None]:
        """Add what the body takes to ``cost_s``."""
        began = clock()
        yield
        self._cost_s += clock() - began

    def close(self) -> None:
        """Take every hook off."""
        self._raw.close()

    @property
    def complete(self) -> bool:
        """Whether every trained parameter of a known optimizer was read."""
        return self._rates.keys() <= self._read

    @property
    def ready(self) -> bool:
        """True when no copy is still on its way from the device."""
        return self._raw.ready and all(copy.ready for copy in self._awaited)

    def overflowed(self) -> bool:
        """Whether a gradient before clipping was infinite or NaN. Waits for no device."""
        return self._raw.overflowed()

    def develop(
        self, summarise_many: SummariseMany, scale: float | None, *, skipped: bool = False
    ) -> ParameterStatistics:
        """Turn the copies into numbers.

        Args:
            summarise_many: ``analysis.many_statistics.summarise_many``.
            scale: factor by which a ``GradScaler`` multiplied the loss; gradients before the
                optimizer are still multiplied.
            skipped: a ``GradScaler`` skipped this step.
        """
        total, elements = len(self._named), [p.numel() for _, p in self._named]
        counts = [real_of(p).numel() if p.is_complex() else p.numel() for _, p in self._named]
        read = sorted(self._gradients)
        vectors = {at: vector_of(self._gradients[at]) for at in read}
        factors = {at: float(copy.host()) for copy, places in self._scaled for at in places}
        plain = [vectors[at] / np.float32(factors.get(at, 1.0)) for at in read]
        numbers, histograms = summarise_many(plain, [counts[at] for at in read])
        rows, nonfinite = np.full(total, -1), np.zeros(total, np.int64)
        rows[read] = np.arange(len(read))
        nonfinite[read] = numbers.nonfinite()
        gradients = _values(self._gradient_norms)
        zeros = (numbers.numbers[:, -1] == 1) & (numbers.sampled < numbers.counts)
        unmet = {read[at] for at in np.flatnonzero(zeros).tolist() if gradients[read[at]] > 0}
        raw, changed, self.unknown = self._raw.norms(vectors, gradients, counts)
        self.changed |= changed
        return ParameterStatistics(
            parameters=tuple([name for name, _ in self._named]),
            gradient_norms=_column(
                total, {at: norm / factors.get(at, 1.0) for at, norm in gradients.items()}
            ),
            raw_gradient_norms=_column(total, raw) / np.float32(scale or 1.0),
            norms=_column(total, _values(self._norms)),
            update_norms=_column(total, self._update_norms(counts, unmet)),
            learning_rates=_column(total, self._rates),
            counts=np.array(elements, np.int64),
            states=tuple([self._word(at, skipped=skipped) for at in range(total)]),
            nonfinite=nonfinite,
            histograms=histograms.select(rows),
            skipped=skipped,
        )

    def _update_norms(self, counts: Sequence[int], unmet: Collection[int]) -> dict[int, float]:
        moved = {at: copy.host().numpy() for at, copy in self._updates.items()}
        with np.errstate(over="ignore", invalid="ignore"):
            for at, after in self._after.items():
                moved[at] = np.subtract(after, self._before[at], dtype=np.float64)
        return {
            at: length * math.sqrt(counts[at] / moved[at].size)
            for at, length in zip(moved, lengths(list(moved.values())), strict=True)
            if moved[at].size and at not in unmet
        }

    def _word(self, at: int, *, skipped: bool) -> str:
        parameter = self._named[at][1]
        if not parameter.requires_grad:
            return "frozen"
        if at not in self._rates:
            return "no optimizer"
        if skipped:
            return "skipped (inf)"
        return self._words.get(at, "" if at in self._read else "not stepped")

    def _learn(self, optimizer: Optimizer) -> None:
        for group in optimizer.param_groups:
            rate = group.get("lr")
            on_host = not isinstance(rate, Tensor) or rate.device.type == "cpu"
            known = math.nan if rate is None or not on_host else float(rate)
            for parameter in group["params"]:
                if (at := self._places.get(id(parameter))) is not None:
                    self._rates[at] = known

    def _mine(self, optimizer: Optimizer) -> set[int]:
        return {
            self._places[id(parameter)]
            for group in optimizer.param_groups
            for parameter in group["params"]
            if id(parameter) in self._places
        }

    def _read_gradients(self, optimizer: Optimizer) -> None:
        dense: dict[int, Tensor] = {}
        for at in self._mine(optimizer) - self._read:
            self._read.add(at)
            parameter = self._named[at][1]
            gradient = parameter.grad
            if gradient is None:
                self._words[at] = "unused"
                continue
            if at not in self._raw.copies and (gradient.is_inference() or gradient._version):
                self.changed = True  # written in place
            gradient = real_of(gradient)
            # Of a sharded one, as a norm of the whole would be a collective.
            if type(gradient) is not Tensor and hasattr(gradient, "to_local"):
                self._words[at], gradient = "shard", gradient.to_local()
            elif gradient.is_sparse:
                self._words[at], gradient = "sparse", gradient.coalesce().values()
            if (copy := self._some(gradient)) is not None:
                dense[at], self._gradients[at] = gradient, copy
        if isinstance(scale := getattr(optimizer, "grad_scale", None), Tensor):
            self._scaled.append((HostCopy(scale.detach().reshape(())), list(dense)))
            self._awaited.append(self._scaled[-1][0])
        if dense:
            norms = Norms(list(dense.values()))
            self._awaited.append(norms)
            self._gradient_norms.update({at: (norms, place) for place, at in enumerate(dense)})

    def _some(self, tensor: Tensor) -> Copy | None:
        copy = floats_of(tensor)
        if isinstance(copy, HostCopy):
            self._awaited.append(copy)
        return copy


def _held(tensor: Tensor) -> Tensor | NDArray[Any] | None:
    """Copy some values, to be compared with those after the step; on the device if not numpy."""
    values = as_numpy(tensor)
    if values is not None and values.dtype.kind == "f":
        copy = copied(tensor, values, WHOLE)
        if isinstance(copy, np.ndarray):
            return copy
    return spread(tensor.detach(), limit_of(tensor)).clone() if dense_floats(tensor) else None


def _values(norms: Mapping[int, tuple[Norms, int]]) -> dict[int, float]:
    return {at: found.values()[place] for at, (found, place) in norms.items()}


def _column(total: int, values: Mapping[int, float]) -> NDArray[np.float32]:
    """One number per parameter; NaN where there is none."""
    column = np.full(total, math.nan, np.float32)
    with np.errstate(over="ignore"):  # beyond float32: infinite
        column[list(values)] = list(values.values())
    return column
