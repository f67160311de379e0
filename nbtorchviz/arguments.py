"""Check what users pass. Each error says what was given, what is accepted and what to do.

A value of the wrong type is a ``TypeError``; a number or word that is not accepted, such as 1.5
for an index, a ``ValueError``.
"""

import numbers
import operator
import reprlib
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any

_PLAIN = (str, bytes, numbers.Number, list, tuple, Mapping, Set)


def said(value: object) -> str:
    """Return ``value`` in few words and without addresses, for "got ..."."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if value is None or isinstance(value, _PLAIN):
        return reprlib.repr(value)
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):  # torch.Size too
        return f"{type(value).__name__} of shape {tuple(shape)}"
    name = getattr(value, "__name__", None)
    return type(value).__name__ + (f" {name}" if isinstance(name, str) else "")


def refusal(name: str, accepted: str, value: object, *, typed: bool = False) -> Exception:
    """Return the error that refuses ``value``.

    Args:
        name: of the argument.
        accepted: completes "``name`` must be ...".
        value: what was given.
        typed: its type is accepted, this value is not.
    """
    kind = ValueError if typed else TypeError
    return kind(f"{name} must be {accepted}, got {said(value)}.")


def whole(name: str, value: Any, *, least: int = 0) -> int:
    """Return a whole number, which may be of numpy or torch; True and False are none."""
    accepted = f"a whole number from {least}"
    if isinstance(value, bool):
        raise refusal(name, accepted, value, typed=True)
    try:
        found = operator.index(value)
    except TypeError:
        typed = isinstance(value, numbers.Real)
        raise refusal(name, accepted, value, typed=typed) from None
    if found < least:
        raise refusal(name, accepted, value, typed=True)
    return found


def real(name: str, value: Any, accepted: str, fits: Callable[[float], bool]) -> float:
    """Return a real number for which ``fits`` holds; True and False are none.

    Args:
        name: of the argument.
        value: what was given; numbers of numpy are taken too.
        accepted: completes "``name`` must be ...".
        fits: says whether a number is accepted; NaN is asked for as well.
    """
    typed = isinstance(value, numbers.Real)
    if not typed or isinstance(value, bool) or not fits(float(value)):
        raise refusal(name, accepted, value, typed=typed)
    return float(value)


def flag(name: str, value: Any) -> bool:
    """Return True or False; other things are not taken for one of them."""
    if isinstance(value, bool):
        return value
    if type(value).__name__ in ("bool", "bool_") and hasattr(value, "item"):  # numpy's
        return bool(value)
    raise refusal(name, "True or False", value)


def word(name: str, value: Any, what: str) -> str:
    """Return a string; ``what`` completes "``name`` must be ..."."""
    if isinstance(value, str):
        return value
    raise refusal(name, what, value)


NAMES = "a sequence of names by class index"


def names(name: str, value: Any, what: str) -> tuple[str, ...]:
    """Return names in their order as strings; numbers are taken as names too.

    Raises:
        TypeError: one string (its letters would be the names), or something without an order.
    """
    if isinstance(value, str | bytes | Mapping | Set) or not isinstance(value, Iterable):
        raise refusal(name, what, value)
    given = list(value)
    for index, entry in enumerate(given):
        if not isinstance(entry, str | numbers.Number):
            raise refusal(f"{name}[{index}]", "a name", entry)
    return tuple(map(str, given))


def named_layer(layer: object, what: str = "the name of a layer", *, name: str = "layer") -> str:
    """Return the name of a layer; a number is not taken for one, nor for its place.

    Args:
        layer: what was given.
        what: completes "``name`` must be ...".
        name: of the argument.
    """
    number = isinstance(layer, numbers.Integral) and not isinstance(layer, bool)
    return word(name, layer, f'{what}; in nn.Sequential write "{layer}"' if number else what)
