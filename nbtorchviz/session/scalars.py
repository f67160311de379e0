"""Read what users log: numbers, and the step, phase and epoch they belong to."""

import math
import numbers
import operator
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
        ValueError: it has several elements, or none.
        TypeError: it is no number at all.
    """
    if type(value) is float:  # the usual case; an abstract class takes longer to ask
        return value
    if isinstance(value, numbers.Real):  # bool and numpy scalars too
        return float(value)
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
    return float(value)


def as_step(step: Any) -> int:
    """Return the x position of a number.

    Raises:
        TypeError, ValueError: it is not a whole number; 3.0 is one.
    """
    if type(step) is int:
        return step
    if isinstance(step, float) and step.is_integer():
        return int(step)
    try:
        if not isinstance(step, bool):
            return operator.index(step)
    except TypeError:
        pass
    raise refusal("step", "a whole number", step, typed=isinstance(step, numbers.Real))


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
