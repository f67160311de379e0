"""Read a condition such as ``grad_norm(conv*) > 100 and step() > 50``. Nothing is evaluated.

A text is parsed to a syntax tree, and only what is listed here is taken over from it: comparisons
(chained too), ``and or not``, ``+ - * / **``, numbers, parentheses, metric names, the functions
below. Layer names need no quotes. A pattern such as ``conv*`` means any of these layers; within
one comparison it stands for the same layer each time. A word alone is a metric; ``grad_norm`` and
``lr`` mean ``grad_norm()`` and ``lr()`` until a metric of that name is logged.
"""

import ast
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

from nbtorchviz.analysis.condition_facts import Facts, Reading
from nbtorchviz.analysis.condition_numbers import Lookup
from nbtorchviz.analysis.condition_reader import ACCEPTED, NAMED, NO_PERCENT, Reader
from nbtorchviz.analysis.condition_truths import Found, Joined, Not, Truth, Truthful
from nbtorchviz.errors import ConditionError

__all__ = ["Condition", "ConditionError", "Facts", "Reading", "parse_condition"]

MOST_CHARACTERS = 500
MOST_LEVELS = 50
"""Nesting, one for each operator and parenthesised part inside another."""
_BARE_NAMES = re.compile(rf"\b({NAMED})\s*\(([^()'\"]*)\)")


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that was understood."""

    text: str
    """As it was given."""
    root: Truthful
    joined: tuple[str, ...] = ()
    """Arithmetic of bare names that it holds, ``val/loss``: some call a metric so."""

    def truth(self, reading: Reading) -> Truth:
        """Return whether it is true now; None while a fact that decides is not known."""
        return self.root.truth(reading)

    def why(self, reading: Reading) -> str:
        """Say with numbers why it is true: ``"loss = 7.2 > 5"``. Ask only when it is."""
        return self.root.why(reading)

    def lookups(self) -> tuple[Lookup, ...]:
        """Return the numbers that it reads, each once."""
        return tuple(dict.fromkeys(self.root.lookups()))

    def rules(self) -> tuple[str, ...]:
        """Return the rules whose findings it asks for."""
        return tuple(dict.fromkeys(found.rule for found in _findings(self.root)))

    def places(self) -> tuple[str, ...]:
        """Return the layers, or patterns of them, at which it asks for findings."""
        return tuple(dict.fromkeys(found.layer for found in _findings(self.root) if found.layer))


def parse_condition(text: str) -> Condition:
    """Understand ``text``.

    Raises:
        ConditionError: it is no condition; the message says why and what is accepted.
    """
    if len(text) > MOST_CHARACTERS:
        raise ConditionError(
            f"A condition has at most {MOST_CHARACTERS} characters, got {len(text)}."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python, about code that would be odd to run
            tree = ast.parse(_BARE_NAMES.sub(_quoted, text.strip()), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else type(error).__name__
        hint = " Write and, or, not." if re.search("[&|!](?!=)", text) else ""
        hint += f" {NO_PERCENT}" if "%" in text else ""
        raise ConditionError(f"{text!r} is no condition ({reason}).{hint} {ACCEPTED}") from None
    if _levels(tree) > MOST_LEVELS:
        raise ConditionError(f"{text!r} is nested more than {MOST_LEVELS} levels deep.")
    reader = Reader(text.strip())
    return Condition(text.strip(), reader.truthful(tree), tuple(reader.joined))


def _quoted(match: re.Match[str]) -> str:
    """Quote names: the syntax tree would not know what ``layer1.0.relu#1`` is."""
    names = [name.strip() for name in match[2].split(",")]
    return f"{match[1]}({', '.join(map(repr, names)) if any(names) else ''})"


def _levels(tree: ast.AST) -> int:
    """Measure the nesting without recursion."""
    level, nodes = 0, [tree]
    while nodes:
        level += 1
        nodes = [child for node in nodes for child in ast.iter_child_nodes(node)]
    return level


def _findings(node: Truthful) -> Iterable[Found]:
    match node:
        case Found():
            yield node
        case Joined(parts=parts):
            for part in parts:
                yield from _findings(part)
        case Not(part=part):
            yield from _findings(part)
