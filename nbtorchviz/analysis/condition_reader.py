"""Take over from a syntax tree what a condition may hold, and say what is wrong with the rest."""

import ast
import operator
import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from nbtorchviz.analysis.condition_facts import (
    LAYER_FUNCTIONS,
    PARAMETER_FUNCTIONS,
    PLAIN_FUNCTIONS,
    is_pattern,
)
from nbtorchviz.analysis.condition_numbers import (
    Arithmetic,
    Constant,
    Lookup,
    Number,
    divide,
    power,
)
from nbtorchviz.analysis.condition_truths import Comparison, Found, Joined, Not, Truthful
from nbtorchviz.errors import ConditionError

_METRIC_FUNCTIONS = ("metric", "best", "previous")
FORMS = {
    **{name: f"{name}(layer)" for name in LAYER_FUNCTIONS},
    "best": "best(metric)",
    "previous": "previous(metric)",
    "metric": "metric(name)",
    **{name: f"{name}()" for name in PLAIN_FUNCTIONS},
    "isnan": "isnan(number)",
    "finding": "finding(rule)",
}
"""Function -> how it is written."""
ACCEPTED = (
    "Accepted: comparisons, and, or, not, + - * / **, numbers, parentheses, metric names, "
    f"{', '.join(FORMS.values())}."
)
NO_PERCENT = (
    "% is not accepted: write 0.05 for 5 %; for every tenth step give a function, "
    "pause_when(lambda facts: facts.step % 10 == 0)."
)
NAMED = "|".join((*LAYER_FUNCTIONS, *_METRIC_FUNCTIONS, "finding"))
_QUOTED_NAMES = re.compile(rf"\b({NAMED})\(((?:'[^'\"\\]*'|, )+)\)")
_SIGNS: dict[type, str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
_OPERATORS: dict[type, Callable[..., float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: divide,
    ast.Pow: power,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_NAMES_JOINED = (ast.BinOp, ast.Name, ast.operator, ast.expr_context)


def _source(node: ast.AST) -> str:
    """Write a part as users do, names without quotes."""
    return _QUOTED_NAMES.sub(lambda m: f"{m[1]}({m[2].replace(chr(39), '')})", ast.unparse(node))


class Reader:
    """Takes over the parts of one syntax tree that are accepted."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.joined: list[str] = []
        """Arithmetic of bare names, ``val/loss``: some call a metric so."""

    def truthful(self, node: ast.AST) -> Truthful:
        """Take over what is true or false.

        Raises:
            ConditionError: a part is not accepted.
        """
        text = _source(node)
        match node:
            case ast.BoolOp(op=op, values=values):
                word = "and" if isinstance(op, ast.And) else "or"
                return Joined(word, tuple(map(self.truthful, values)), text)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return Not(self.truthful(operand), text)
            case ast.Compare(left=left, ops=ops, comparators=right) if all(
                type(op) in _SIGNS for op in ops
            ):
                operands = tuple(map(self._number, (left, *right)))
                signs = tuple(_SIGNS[type(op)] for op in ops)
                return self._comparison(operands, signs, text)
            case ast.Call(func=ast.Name(id="isnan"), args=[operand], keywords=[]):
                return self._comparison((self._number(operand),), (), text)
            case ast.Call(func=ast.Name(id="finding")):
                rule, layer = self._names(node, "rule", "layer")
                return Found(rule, layer, text)
            case ast.Call(func=ast.Name(id="isnan")):
                raise self._error("isnan() takes one number, such as isnan(loss).")
            case ast.Compare():
                raise self._error(
                    f"{text} is not accepted; compare with {' '.join(_SIGNS.values())}."
                )
        number = self._number(node)  # says what is wrong with it, if it is no number either
        raise self._error(f"{number.text} is a number; compare it: {number.text} > 0.")

    def _comparison(
        self, operands: tuple[Number, ...], signs: tuple[str, ...], text: str
    ) -> Comparison:
        lookups = [lookup for operand in operands for lookup in operand.lookups()]
        if not lookups:
            raise self._error(f"{text} never changes; compare what does, such as loss > 5.")
        if len(operands) == 2 and operands[0].text == operands[1].text:
            same = operands[0].text
            raise self._error(f"{text} compares it with itself; for NaN ask isnan({same}).")
        patterns = list(dict.fromkeys(lookup.name for lookup in lookups if lookup.pattern))
        if len(patterns) > 1:
            raise self._error(
                f"{text} has the patterns {' and '.join(map(repr, patterns))}; one comparison "
                "takes one. Join two comparisons with and."
            )
        return Comparison(operands, signs, patterns[0] if patterns else "", text)

    def _number(self, node: ast.AST) -> Number:
        text = _source(node)
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return self._constant(value, text)
            case ast.Name(id="inf"):
                return Constant(float("inf"), text)
            case ast.Name(id="nan" | "NaN"):
                raise self._error("No number equals NaN; ask isnan(loss).")
            case ast.Name(id=name):
                if name in ("step", "epoch"):  # log() takes neither for a metric
                    return Lookup(name, "", f"{name}()")
                if name == "lr" or name in PARAMETER_FUNCTIONS:
                    return Lookup(name, "", text, metric=name)
                return Lookup("metric", name, text)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                if all(isinstance(part, _NAMES_JOINED) for part in ast.walk(node)):
                    self.joined.append(text.replace(" ", ""))
                parts = self._number(left), self._number(right)
                return Arithmetic(_OPERATORS[type(op)], parts, text)
            case ast.BinOp(op=ast.Mod()):
                raise self._error(NO_PERCENT)
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
                return Arithmetic(_OPERATORS[type(op)], (self._number(operand),), text)
            case ast.Call(func=ast.Name(id=name)) if name in PLAIN_FUNCTIONS:
                if node.args or node.keywords:
                    raise self._error(f"{name}() takes nothing, got {text}.")
                return Lookup(name, "", text)
            case ast.Call(func=ast.Name(id=name)) if name in LAYER_FUNCTIONS:
                whole = not node.args and name in PARAMETER_FUNCTIONS
                layer = "" if whole and not node.keywords else self._names(node, "layer")[0]
                return Lookup(name, layer, text)
            case ast.Call(func=ast.Name(id=name)) if name in _METRIC_FUNCTIONS:
                metric = self._names(node, "metric")[0]
                if is_pattern(metric):
                    raise self._error(f"{name}() takes one metric, got the pattern {metric!r}.")
                return Lookup(name, metric, text)
            case ast.Call(func=ast.Name(id=name)) if name not in FORMS:
                near = get_close_matches(name, FORMS, n=1)
                hint = f" Nearest: {near[0]}()." if near else ""
                raise self._error(f"There is no function {name}().{hint} {ACCEPTED}")
            case ast.Compare() | ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
                raise self._error(f"{text} is true or false, where a number is needed.")
            case ast.Call(func=ast.Name()):
                raise self._error(f"{text} is true or false, where a number is needed.")
        raise self._error(f"{text} is not accepted. {ACCEPTED}")

    def _constant(self, value: float, text: str) -> Constant:
        try:
            return Constant(float(value), text)
        except OverflowError:
            raise self._error("A number in it is too large; write it as 1e300.") from None

    def _names(self, call: ast.Call, *wanted: str) -> tuple[str, ...]:
        """Read the quoted names that a function takes; only the first is a must."""
        given: list[Any] = [getattr(arg, "value", None) for arg in call.args]
        text = all(isinstance(name, str) and name for name in given)
        if call.keywords or not text or not 1 <= len(given) <= len(wanted):
            name = getattr(call.func, "id", "")
            takes = "a layer's name" if wanted[0] == "layer" else f"a {wanted[0]}'s name"
            raise self._error(f"{name}() takes {takes}, got {_source(call)}.")
        return (*given, *[""] * (len(wanted) - len(given)))

    def _error(self, reason: str) -> ConditionError:
        return ConditionError(f"{reason} The condition was {self._text!r}.")
