"""Read parameters, their gradients and their updates around one optimizer step."""

import contextlib
import math
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from nbtorchviz.capture.hooks import ParameterHook
from nbtorchviz.capture.spreads import LIMIT, SummariseMany
from nbtorchviz.capture.tensors import HostCopy, readable, spread
from nbtorchviz.events import Histogram

_FLOATS = frozenset({torch.float32, torch.float64, torch.float16, torch.bfloat16})


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
    histograms: tuple[Histogram | None, ...]
    skipped: bool = False


class WeightNorms:
    """Norms of the weights, which change slowly: each is computed at every tenth reading."""

    EVERY = 10

    def __init__(self) -> None:
        self._kept: dict[int, tuple[weakref.ref[Tensor], int, HostCopy]] = {}

    def norm(self, at: int, parameter: Tensor) -> HostCopy:
        """Return the norm of parameter number ``at``, at most nine readings old."""
        ref, age, copy = self._kept.get(at, (None, self.EVERY, None))
        if copy is None or ref is None or ref() is not parameter or age >= self.EVERY - 1:
            age, copy = -1, HostCopy(_norm(parameter))
        self._kept[at] = weakref.ref(parameter), age + 1, copy
        return copy


class ParameterReader:
    """Reads one step: armed in a forward, called by the optimizers' hooks, developed afterwards.

    Gradients are read in the step-pre hook, accumulated and after the user's clipping; those of
    an optimizer with a closure (LBFGS) after its step, because it computes them inside. Norms
    are exact (those of the weights at most nine readings old); updates, histograms and the norms
    before clipping come from at most ``LIMIT`` values of each parameter. On the CPU nothing
    waits; on another device the copies are asynchronous.

    Args:
        root: the model.
        optimizers: those that are known to train it.
        raw: also read gradients before clipping, by hooks on the parameters.
        weight_norms: kept from one reader to the next.
        fault: called with (where, exception).
    """

    def __init__(
        self,
        root: nn.Module,
        optimizers: Iterable[Optimizer],
        *,
        raw: bool = True,
        weight_norms: "WeightNorms | None" = None,
        fault: Callable[[str, BaseException], None] = lambda where, error: None,
    ) -> None:
        self._fault = fault
        self._weight_norms = weight_norms or WeightNorms()
        self._named = [
            (name, parameter)
            for name, parameter in root.named_parameters()
            if not is_lazy(parameter)
        ]
        self._places = {id(parameter): at for at, (_, parameter) in enumerate(self._named)}
        self._rates: dict[int, float] = {}
        self._read: set[int] = set()
        self._words: dict[int, str] = {}
        self._norms: dict[int, HostCopy] = {}
        self._gradient_norms: dict[int, HostCopy] = {}
        self._gradients: dict[int, HostCopy] = {}
        self._raw: dict[int, HostCopy] = {}
        self._before: dict[int, Tensor] = {}
        self._updates: dict[int, HostCopy] = {}
        self.step: int | None = None
        """The step that was read, once it finished."""
        self.cost_s = 0.0
        """Seconds that reading took."""
        for optimizer in optimizers:
            self._learn(optimizer)
        self._handles = [
            parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                ParameterHook(self, str(at))
            )
            for at, (_, parameter) in enumerate(self._named)
            if raw and parameter.requires_grad and parameter.is_leaf
        ]

    # Called by the hooks

    def accumulated(self, name: str, parameter: Tensor) -> None:
        """Read some of a gradient before anybody clips it; the last micro-batch counts."""
        began, gradient = time.monotonic(), parameter.grad
        try:
            if gradient is not None and _dense(gradient):
                self._raw[int(name)] = HostCopy(spread(gradient.detach(), LIMIT))
        except Exception as error:  # raised into the backward it would end the training
            self._fault("gradient of a parameter", error)
        self.cost_s += time.monotonic() - began

    def before_step(self, optimizer: Optimizer, *, closure: bool) -> None:
        """Read weights, and unless a closure computes them later also gradients."""
        self._unhook()
        self._learn(optimizer)
        for at in self._mine(optimizer) - self._norms.keys():
            parameter = self._named[at][1]
            if _dense(parameter):
                self._norms[at] = self._weight_norms.norm(at, parameter)
                if parameter.requires_grad:
                    self._before[at] = spread(parameter.detach(), LIMIT).clone()
        if not closure:
            self._read_gradients(optimizer)

    def after_step(self, optimizer: Optimizer) -> None:
        """Read what the step changed."""
        self._read_gradients(optimizer)
        for at in self._mine(optimizer) & self._before.keys():
            before = self._before.pop(at)
            after = spread(self._named[at][1].detach(), LIMIT)
            if after.shape == before.shape:
                self._updates[at] = HostCopy(after.to(torch.float64).sub_(before))

    @contextlib.contextmanager
    def timed(self, clock: Callable[[], float]) -> Iterator[None]:
        """Add what the body takes to ``cost_s``."""
        began = clock()
        yield
        self.cost_s += clock() - began

    def close(self) -> None:
        """Take every hook off and forget copies of weights."""
        self._unhook()
        self._before.clear()

    @property
    def complete(self) -> bool:
        """Whether every trained parameter of a known optimizer was read."""
        return self._rates.keys() <= self._read

    @property
    def ready(self) -> bool:
        """True when no copy is still on its way from the device."""
        kept = (self._norms, self._gradient_norms, self._gradients, self._raw, self._updates)
        return all(copy.ready for copies in kept for copy in copies.values())

    def overflowed(self) -> bool:
        """Whether a gradient before clipping was infinite or NaN. Waits for no device."""
        return any(not bool(copy.host().isfinite().all()) for copy in self._raw.values())

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
        total, counts = len(self._named), [p.numel() for _, p in self._named]
        norms, gradients, raw, updates = (np.full(total, math.nan, np.float32) for _ in range(4))
        for column, copies in ((norms, self._norms), (gradients, self._gradient_norms)):
            for at, copy in copies.items():
                column[at] = float(copy.host())
        lengths = _lengths(self._raw), _lengths(self._gradients)
        for at in self._raw:
            raw[at] = self._raw_norm(at, counts[at], *lengths) / (scale or 1.0)
        for at, length in _lengths(self._updates).items():
            if held := math.prod(self._updates[at].shape):
                updates[at] = length * math.sqrt(counts[at] / held)
        histograms: list[Histogram | None] = [None] * total
        nonfinite = np.zeros(total, np.int64)
        read = sorted(self._gradients)
        vectors = [readable(self._gradients[at].host()).numpy() for at in read]
        for at, numbers, histogram in zip(
            read, *summarise_many(vectors, [counts[at] for at in read]), strict=True
        ):
            histograms[at] = histogram
            nonfinite[at] = numbers.nan + numbers.posinf + numbers.neginf
        rates = np.full(total, math.nan, np.float32)
        for at, rate in self._rates.items():
            rates[at] = rate
        return ParameterStatistics(
            parameters=tuple(name for name, _ in self._named),
            gradient_norms=gradients,
            raw_gradient_norms=raw,
            norms=norms,
            update_norms=updates,
            learning_rates=rates,
            counts=np.array(counts, np.int64),
            states=tuple(self._word(at, skipped=skipped) for at in range(total)),
            nonfinite=nonfinite,
            histograms=tuple(histograms),
            skipped=skipped,
        )

    def _raw_norm(
        self, at: int, count: int, raw: Mapping[int, float], clipped: Mapping[int, float]
    ) -> float:
        """Norm before clipping, which scaled the values that were read as it scaled the others.

        Reading all values twice would take as long again as everything else here.
        """
        before = raw[at]
        if at not in self._gradient_norms:  # no optimizer: nothing else was read
            return before * math.sqrt(count / max(1, math.prod(self._raw[at].shape)))
        after, norm = clipped[at], float(self._gradient_norms[at].host())
        if before == after:
            return norm
        return norm * before / after if after > 0 else before

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
        for at in self._mine(optimizer) - self._read:
            self._read.add(at)
            parameter = self._named[at][1]
            gradient = parameter.grad
            if gradient is None:
                self._words[at] = "unused"
                continue
            gradient = gradient.detach()
            if hasattr(gradient, "to_local"):  # a norm of the whole would be a collective
                self._words[at], gradient = "shard", gradient.to_local()
            elif gradient.is_sparse:
                self._words[at], gradient = "sparse", gradient.coalesce().values()
            if _dense(gradient):
                self._gradient_norms[at] = HostCopy(_norm(gradient))
                self._gradients[at] = HostCopy(spread(gradient, LIMIT))

    def _unhook(self) -> None:
        handles, self._handles = self._handles, []
        for handle in handles:
            handle.remove()


def _lengths(copies: Mapping[int, HostCopy]) -> dict[int, float]:
    """L2 of the values in each copy, in float64; one pass over all of them."""
    vectors = [readable(copy.host()).numpy() for copy in copies.values()]
    sizes = np.array([vector.size for vector in vectors], np.int64)
    lengths, full = np.zeros(len(vectors)), np.flatnonzero(sizes)
    if full.size:
        with np.errstate(over="ignore", invalid="ignore"):
            squares = np.square(np.concatenate(vectors, dtype=np.float64))
            starts = (np.cumsum(sizes) - sizes)[full]
            lengths[full] = np.sqrt(np.add.reduceat(squares, starts))
    return dict(zip(copies, lengths.tolist(), strict=True))


def _dense(tensor: Tensor) -> bool:
    plain = tensor.layout is torch.strided and not hasattr(tensor, "device_mesh")
    return plain and tensor.dtype in _FLOATS and tensor.device.type != "meta"


def _norm(tensor: Tensor) -> Tensor:
    """L2 norm in float32, whatever the tensor's own type."""
    norm: Tensor = torch.linalg.vector_norm(tensor.detach(), dtype=torch.float32)
    return norm
