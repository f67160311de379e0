"""The truths of a condition: comparisons, findings, and how they are joined.

Truth has three values. None means "not known yet", such as a metric that nobody logged: it makes
no condition true, not even under ``not``. A comparison with NaN is False.
"""

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from nbtorchviz.analysis.condition_facts import Reading, is_pattern, matching
from nbtorchviz.analysis.condition_numbers import Lookup, Number, number_text

Truth = bool | None
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """``a < b <= c``, or ``isnan(x)``; with a pattern: true for at least one of its layers."""

    operands: tuple[Number, ...]
    signs: tuple[str, ...]
    """One fewer than operands; none for ``isnan``."""
    pattern: str
    """The layers that it speaks of; empty without a pattern."""
    text: str

    def truth(self, reading: Reading) -> Truth:
        """Return whether it is so; layers of which nothing is known are left out."""
        truths = [self._holds(reading, layer) for layer in self._layers(reading)]
        if True in truths:
            return True
        return False if False in truths else None

    def why(self, reading: Reading) -> str:
        """Say with numbers why it is true: ``"grad_norm(conv1) = 131 > 100"``."""
        layer = next(name for name in self._layers(reading) if self._holds(reading, name))
        told = [self._tell(operand, reading, layer) for operand in self.operands]
        if not self.signs:
            return f"{told[0].rpartition(' = ')[0] or told[0]} is NaN"
        pairs = zip(self.signs, told[1:], strict=True)
        return " ".join([told[0], *(part for pair in pairs for part in pair)])

    def lookups(self) -> Iterator[Lookup]:
        """Yield what has to be looked up."""
        for operand in self.operands:
            yield from operand.lookups()

    def _layers(self, reading: Reading) -> Sequence[str]:
        return matching(self.pattern, reading.facts.layers()) if self.pattern else ("",)

    def _holds(self, reading: Reading, layer: str) -> Truth:
        values = [operand.number(reading, layer) for operand in self.operands]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return None
        if not self.signs:
            return math.isnan(known[0])
        if any(math.isnan(value) for value in known):
            return False
        pairs = zip(self.signs, known, known[1:], strict=False)
        return all(_COMPARE[sign](a, b) for sign, a, b in pairs)

    def _tell(self, operand: Number, reading: Reading, layer: str) -> str:
        text = operand.text.replace(f"({self.pattern})", f"({layer})")
        value = operand.number(reading, layer)
        if value is None or next(operand.lookups(), None) is None:
            return text
        return f"{text} = {number_text(value)}"


@dataclass(frozen=True, slots=True)
class Found:
    """``finding(rule)``, or of one layer ``finding(rule, layer)``; both may be patterns."""

    rule: str
    layer: str
    text: str

    def truth(self, reading: Reading) -> bool:
        """Return whether such a finding is active."""
        return any(self._fits(*found) for found in reading.findings())

    def why(self, reading: Reading) -> str:
        """Name the finding that is active."""
        rule, layer = next(found for found in reading.findings() if self._fits(*found))
        return f"finding {rule}" + (f" at {layer}" if layer else "")

    def lookups(self) -> Iterator[Lookup]:
        """Yield nothing: findings are no numbers."""
        yield from ()

    def _fits(self, rule: str, layer: str) -> bool:
        if not matching(self.rule, (rule,)):
            return False
        # A finding about a parameter, "conv1.weight", is one of its layer and its block as well.
        if is_pattern(self.layer):
            return bool(matching(self.layer, _around(layer)))
        return not self.layer or layer == self.layer or layer.startswith(f"{self.layer}.")


def _around(layer: str) -> tuple[str, ...]:
    parts = layer.split(".")
    return tuple(".".join(parts[:end]) for end in range(1, len(parts) + 1))


@dataclass(frozen=True, slots=True)
class Joined:
    """Truths joined by ``and`` or by ``or``."""

    word: str
    parts: tuple["Truthful", ...]
    text: str

    def truth(self, reading: Reading) -> Truth:
        """Join them; a part that is not known leaves open what the others do not decide."""
        truths = [part.truth(reading) for part in self.parts]
        decided = self.word == "or"
        if decided in truths:
            return decided
        return None if None in truths else not decided

    def why(self, reading: Reading) -> str:
        """Say why each true part is."""
        true = [part.why(reading) for part in self.parts if part.truth(reading)]
        return " and ".join(true)

    def lookups(self) -> Iterator[Lookup]:
        """Yield what has to be looked up."""
        for part in self.parts:
            yield from part.lookups()


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of a truth."""

    part: "Truthful"
    text: str

    def truth(self, reading: Reading) -> Truth:
        """Turn it round; not known stays not known."""
        truth = self.part.truth(reading)
        return None if truth is None else not truth

    def why(self, reading: Reading) -> str:
        """Give the numbers that did not make it true."""
        named = {seen.text: seen for seen in self.lookups() if not seen.pattern}
        values = {text: seen.number(reading, "") for text, seen in named.items()}
        known = [f"{text} = {number_text(v)}" for text, v in values.items() if v is not None]
        return self.text + (f" ({', '.join(known)})" if known else "")

    def lookups(self) -> Iterator[Lookup]:
        """Yield what has to be looked up."""
        yield from self.part.lookups()


Truthful = Comparison | Found | Joined | Not
