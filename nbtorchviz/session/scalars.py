"""Read one number from what users log."""

import numbers
from typing import Any


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
