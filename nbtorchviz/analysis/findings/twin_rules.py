"""Layers that do the same as another one.

Kept narrow, because equal numbers are usual: a block has the statistics of its last layer, dropout
in eval, identity and flatten those of their input, and cloned transformer layers begin with equal
weights. What is told is exact equality, in numbers that differ as soon as anything differs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from nbtorchviz.analysis.findings.finding import Verdict, sick
from nbtorchviz.analysis.findings.names import IDEMPOTENT
from nbtorchviz.analysis.findings.rows import ParameterRow
from nbtorchviz.analysis.findings.words import number
from nbtorchviz.events import Statistics

FEWEST_ELEMENTS = 16
"""Smaller weights may agree by chance."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a layer without layers inside."""

    key: str
    kind: str
    statistics: Statistics


def twin_weights(rows: Sequence[ParameterRow]) -> dict[str, Verdict]:
    """Find weights that are equal and get equal gradients: they stay equal for ever.

    Norms of weight and gradient are compared exactly, both above zero. Equal weights alone are no
    illness (copies that see other inputs soon differ), nor are equal gradients.

    Args:
        rows: the weight of each layer.

    Returns:
        Layer -> verdict, for each but the first of equal ones.
    """
    first: dict[tuple[str, int, float, float], str] = {}
    found: dict[str, Verdict] = {}
    for row in rows:
        if row.count < FEWEST_ELEMENTS or not (row.weight > 0 and row.gradient > 0):
            continue
        numbers = (row.name.rpartition(".")[2], row.count, row.weight, row.gradient)
        other = first.setdefault(numbers, row.name)
        if other == row.name:
            continue
        layer = other.rpartition(".")[0]
        found[row.layer] = sick(
            f"Equal weights and equal gradients: {{who}} stays a copy of {layer}",
            f"{other} and {row.name} both have norm {number(row.weight)} and gradient norm "
            f"{number(row.gradient)}",
        )
    return found


def twin_calls(calls: Sequence[Call]) -> dict[str, Verdict]:
    """Find a ReLU, or another layer that leaves its own output as it is, right after such a layer.

    A convolution or matrix that puts out the same twice is not told: statistics do not show the
    order of values, and two views of a batch that hold the same samples look like one.

    Args:
        calls: in order.

    Returns:
        Layer key -> verdict, for the second of the two.
    """
    found: dict[str, Verdict] = {}
    for before, after in pairwise(calls):
        if before.kind == after.kind and before.kind in IDEMPOTENT and _same(before, after):
            found[after.key] = sick(
                f"{{who}} changes nothing: {before.key} right before it has done the same",
                _numbers(after),
                remedy=f"Leave {after.key} out.",
            )
    return found


def _same(one: Call, other: Call) -> bool:
    a, b = one.statistics, other.statistics
    differs = a.std is not None and a.std > 0  # constants are alike without being copies
    return differs and _key(a) == _key(b)


def _key(s: Statistics) -> tuple[object, ...]:
    return (s.count, s.sampled, s.minimum, s.maximum, s.mean, s.std, s.zero_share)


def _numbers(call: Call) -> str:
    s = call.statistics
    parts = (("mean", s.mean), ("standard deviation", s.std), ("largest", s.maximum))
    shown = ", ".join(f"{word} {number(value)}" for word, value in parts if value is not None)
    return f"both put out {shown}"
