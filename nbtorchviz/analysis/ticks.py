"""Round axis marks and short numbers: 0.5, 1.0, 1.5; never 0.80 beside 1.0."""

import math
from collections.abc import Sequence
from itertools import pairwise

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


def nice_ticks(lo: float, hi: float, count: int = 5) -> list[float]:
    """Return round marks inside [lo, hi], about ``count`` of them."""
    if not (math.isfinite(lo) and math.isfinite(hi) and math.isfinite(hi - lo)):
        return []
    if hi <= lo:
        return [lo]
    rough = (hi - lo) / max(1, count)
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 1e-300 else 0.0
    if power == 0.0:
        return [lo, hi]
    step = next(power * factor for factor in _STEPS if power * factor >= rough * (1 - 1e-9))
    first, last = math.ceil(lo / step - 1e-9), math.floor(hi / step + 1e-9)
    if abs(first) > 2**52:  # the range is below the resolution of a float
        return [lo, hi]
    return [index * step for index in range(first, last + 1)]


def log_ticks(lo: float, hi: float, count: int = 5) -> list[float]:
    """Return powers of ten inside [lo, hi]; below two of them, 1-2-5 marks as well."""
    if not 0 < lo < hi or not math.isfinite(hi):
        return []
    first, last = math.floor(math.log10(lo)), math.ceil(math.log10(hi))
    stride = max(1, math.ceil((last - first) / max(1, count)))
    powers = range(first - first % stride, last + 1, stride)
    marks = [10.0**power for power in powers if lo * (1 - 1e-9) <= 10.0**power <= hi * (1 + 1e-9)]
    if len(marks) >= 2:
        return marks
    finer = [factor * 10.0**power for power in range(first - 1, last + 1) for factor in (1, 2, 5)]
    return [mark for mark in finer if lo * (1 - 1e-9) <= mark <= hi * (1 + 1e-9)]


def tick_labels(values: Sequence[float]) -> list[str]:
    """Write marks of one axis in one format, with as many decimals as tell them apart."""
    finite = [abs(value) for value in values if math.isfinite(value)]
    largest = max(finite, default=0.0)
    if largest == 0:
        return ["0" for _ in values]
    gaps = [abs(b - a) for a, b in pairwise(values) if b != a]
    smallest = min([gap for gap in gaps if math.isfinite(gap)], default=largest)
    if largest >= 1e5 or largest < 1e-3:
        digits = max(0, math.floor(math.log10(largest)) - math.floor(math.log10(smallest)))
        return ["0" if value == 0 else _exponent(value, min(digits, 3)) for value in values]
    for decimals in range(7):
        texts = [f"{value:.{decimals}f}" for value in values]
        near = [abs(float(t) - v) <= smallest / 50 for t, v in zip(texts, values, strict=True)]
        if len(set(texts)) == len(set(values)) and all(near):
            break
    return [text.replace("-", "−") if float(text) else text.lstrip("-") for text in texts]


def bar_labels(lo: float, hi: float, count: int = 5) -> tuple[list[float], list[str]]:
    """Return evenly spread marks of a colour bar with the two ends exact to three digits."""
    if hi <= lo:
        return [lo], [short(lo)]
    marks = [lo + (hi - lo) * index / (count - 1) for index in range(count)]
    largest = max(abs(lo), abs(hi))
    if largest >= 1e5 or largest < 1e-3:
        return marks, ["0" if mark == 0 else _exponent(mark, 1) for mark in marks]
    decimals = max(0, 2 - math.floor(math.log10(largest)))
    if hi - lo < largest / 20:
        decimals += max(0, math.ceil(-math.log10((hi - lo) / largest)))
    texts = [f"{mark:.{min(decimals, 6)}f}" for mark in marks]
    texts = [text.lstrip("-") if float(text) == 0 else text.replace("-", "−") for text in texts]
    return marks, texts


def short(value: float | None) -> str:
    """Write one number briefly: ``2.22``, ``123``, ``1.2e5``, ``NaN``, ``0``; None is a dash."""
    if value is None:
        return "–"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "−Inf"
    if value == 0:
        return "0"
    if abs(value) >= 1e5 or abs(value) < 0.00995:
        return _exponent(value, 1)
    decimals = min(2, max(0, 2 - math.floor(math.log10(abs(value)))))
    return f"{value:.{decimals}f}".replace("-", "−")


def count_text(count: int) -> str:
    """Write a count with thin grouping: ``1,024``."""
    return f"{count:,}"


def percent(share: float, digits: int = 0) -> str:
    """Write a share so that it never rounds to a lie: ``85 %``, ``99.7 %``, ``> 99.9 %``.

    Args:
        share: from 0 to 1; NaN is a dash.
        digits: decimals.
    """
    if math.isnan(share):
        return "–"
    edge = 0.5 * 10 ** -(digits + 2)
    if not (0 < share < edge or 1 - edge < share < 1):
        return f"{100 * share:.{digits}f} %"
    if not digits:
        return percent(share, 1)  # 99.7 % rather than "nearly 100 %"
    least = 10.0**-digits
    return f"< {least:g} %" if share < edge else f"> {100 - least:g} %"


def _exponent(value: float, digits: int) -> str:
    mantissa, _, power = f"{value:.{digits}e}".partition("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(power)}".replace("-", "−")
