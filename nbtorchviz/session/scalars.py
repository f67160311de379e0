"""Read what users log: numbers, and the step, phase and epoch they belong to."""

import math
import numbers
import operator
import warnings
from typing import Any

from nbtorchviz.arguments import refusal, word

PHASES = {
    "train": "train",
    "eval": "eval",
    "val": "eval",
    "valid": "eval",
    "validation": "eval",
}
"""What may be given as a phase, and the phase that it is."""
LARGEST_STEP = 2**62
"""Steps are kept as 64-bit integers; this leaves room to count on."""
_PHASE = (
    "'train' or 'eval' (also written 'val', 'valid', 'validation'; "
    "numbers of a third set need names of their own, such as test_loss)"
)


def as_number(name: str, value: Any) -> float:
    """Return ``value`` as a float; NaN and infinity are numbers here.

    Args:
        name: of the metric, for the message.
        value: a Python or numpy number, or a tensor or array with one element.

    Raises:
        ValueError: it has several elements, or none, or is too large for a float.
        TypeError: it is no number at all.
    """
    if type(value) is float:  # the usual case; an abstract class takes longer to ask
        return value
    if isinstance(value, numbers.Real):  # bool and numpy scalars too
        return _float(name, value)
    count = getattr(value, "numel", None) or getattr(value, "size", None)
    count = count() if callable(count) else count
    if isinstance(count, int) and count != 1 and hasattr(value, "shape"):
        shape = tuple(value.shape)
        raise ValueError(
            f"metric {name!r} has shape {shape}; log one number, such as {name}.mean()."
        )
    if hasattr(value, "item") and not hasattr(value, "is_complex"):
        value = value.item()
    elif hasattr(value, "item"):
        if value.is_complex():
            raise TypeError(f"metric {name!r} is complex; log one real number, such as its .abs().")
        value = value.detach().item()
    if not isinstance(value, numbers.Real):
        raise TypeError(
            f"metric {name!r} must be a number or a tensor with one element, "
            f"got {type(value).__name__}."
        )
    return _float(name, value)


def _float(name: str, value: numbers.Real) -> float:
    try:
        return float(value)
    except OverflowError:
        accepted = "a number that a float can hold, up to 1.8e+308"
        raise refusal(f"metric {name!r}", accepted, value, typed=True) from None


def as_step(step: Any) -> int:
    """Return the x position of a number.

    Raises:
        TypeError, ValueError: it is not a whole number; 3.0 is one.
    """
    try:
        whole = isinstance(step, float) and step.is_integer()
        found = int(step) if whole else operator.index(step)
    except TypeError:
        found = None
    if found is None or isinstance(step, bool):
        # Mostly somebody meant log(loss=0.5) and wrote log(0.5).
        accepted = "a whole number (name what is logged: log(loss=loss))"
        raise refusal("step", accepted, step, typed=isinstance(step, numbers.Real))
    if abs(found) > LARGEST_STEP:
        raise refusal("step", "from -2**62 to 2**62", step, typed=True)
    return found


def told_nothing() -> None:
    """Warn whoever called the ``log`` that called this one's caller: it got no numbers.

    A warning, since a loop must not end for ``log(**{})``.
    """
    words = "log() recorded nothing: it got no numbers. Name what is logged: log(loss=loss)."
    warnings.warn(words, stacklevel=4)


def as_phase(phase: Any) -> str:
    """Return ``"train"`` or ``"eval"``; None is ``"train"``.

    ``"test"`` is refused: a loop that logs a validation and a test set would get one line of two.

    Raises:
        TypeError, ValueError: it is none of ``PHASES``.
    """
    if phase is None:
        return "train"
    found = PHASES.get(word("phase", phase, _PHASE))
    if found is None:
        raise refusal("phase", _PHASE, phase, typed=True)
    return found


def as_epoch(epoch: Any) -> float:
    """Return ``epoch`` as a number; fractions are allowed.

    Raises:
        TypeError, ValueError: it is not one finite number.
    """
    found = as_number("epoch", epoch)
    if not math.isfinite(found):
        raise refusal("epoch", "a finite number", epoch, typed=True)
    return found
