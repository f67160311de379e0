"""The numbers of a condition: constants, facts that are looked up, and arithmetic of them."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nbtorchviz.analysis.condition_facts import LAYER_FUNCTIONS, Reading, is_pattern


def number_text(value: float) -> str:
    """Write a number in few characters: ``131``, ``0.05``, ``1.234e+08``, ``NaN``."""
    if math.isnan(value):
        return "NaN"
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e7 else f"{value:.4g}"


@dataclass(frozen=True, slots=True)
class Constant:
    """A number."""

    value: float
    text: str

    def number(self, reading: Reading, layer: str) -> float | None:
        """Return the number."""
        return self.value

    def lookups(self) -> Iterator["Lookup"]:
        """Yield what has to be looked up: nothing."""
        yield from ()


@dataclass(frozen=True, slots=True)
class Lookup:
    """One fact: ``loss``, ``grad_norm(conv1)``, ``step()``."""

    function: str
    name: str
    """Of a layer, several layers or a metric; may be empty."""
    text: str
    metric: str = ""
    """A metric that is meant instead where one of that name is logged; may be empty."""

    @property
    def of_layer(self) -> bool:
        """Whether the name is that of a layer or a pattern of layers."""
        return self.function in LAYER_FUNCTIONS

    @property
    def pattern(self) -> bool:
        """Whether the name stands for several layers."""
        return self.of_layer and is_pattern(self.name)

    @property
    def reads(self) -> tuple[tuple[str, str], ...]:
        """(function, name) of all that it may have to look up."""
        own = (self.function, self.name)
        return (own, ("metric", self.metric)) if self.metric else (own,)

    def number(self, reading: Reading, layer: str) -> float | None:
        """Return the fact; where the name is a pattern, that of ``layer``."""
        logged = reading.value("metric", self.metric) if self.metric else None
        if logged is not None:
            return logged
        return reading.value(self.function, layer if self.pattern else self.name)

    def lookups(self) -> Iterator["Lookup"]:
        """Yield itself."""
        yield self


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Numbers worked into another one. Nothing raises: 1/0 is infinity, 0/0 is NaN."""

    operate: Callable[..., float]
    operands: tuple["Number", ...]
    text: str

    def number(self, reading: Reading, layer: str) -> float | None:
        """Return the result; None when an operand is not known."""
        values = [operand.number(reading, layer) for operand in self.operands]
        known = [value for value in values if value is not None]
        return self.operate(*known) if len(known) == len(values) else None

    def lookups(self) -> Iterator[Lookup]:
        """Yield what has to be looked up."""
        for operand in self.operands:
            yield from operand.lookups()


Number = Constant | Lookup | Arithmetic


def divide(a: float, b: float) -> float:
    """Divide as IEEE 754 does."""
    try:
        return a / b
    except ZeroDivisionError:
        if a == 0 or math.isnan(a):
            return math.nan
        return math.copysign(math.inf, a) * math.copysign(1.0, b)


def power(a: float, b: float) -> float:
    """Raise to a power; what is too large is infinity, what is not real is NaN."""
    try:
        return math.pow(a, b)
    except OverflowError:
        return -math.inf if a < 0 and b % 2 == 1 else math.inf
    except ValueError:
        return math.inf if a == 0 else math.nan
