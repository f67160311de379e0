"""Numbers, steps and names as they are written in findings."""

import math
from collections.abc import Sequence


def number(value: float) -> str:
    """Write three significant digits: ``"0.0123"``, ``"3.1e-7"``, ``"nan"``."""
    if not math.isfinite(value):
        return str(value)
    text = f"{value:.3g}"
    if "e" not in text:
        return text
    mantissa, _, exponent = text.partition("e")
    power = int(exponent)
    # 1,230 reads better than 1.23e3; beyond a million nobody counts the digits.
    return f"{value:,.0f}" if 0 <= power < 6 else f"{mantissa}e{power}"


def times(ratio: float) -> str:
    """Write a factor with two significant digits: ``"3,100"``, ``"2.5"``, ``"21 million"``."""
    if not math.isfinite(ratio) or ratio <= 0:
        return "far more" if ratio > 0 else number(ratio)
    if 1e6 <= ratio < 1e9:
        return f"{float(f'{ratio / 1e6:.2g}'):g} million"
    if ratio >= 1e9 or ratio < 1e-3:
        return number(float(f"{ratio:.2g}"))
    if ratio < 10:
        return f"{ratio:.2g}"
    return f"{float(f'{ratio:.2g}'):,.0f}"


def percent(share: float) -> str:
    """Write a share from 0 to 1; only 1 itself is written ``"100 %"``, only 0 ``"0 %"``."""
    if not math.isfinite(share):
        return "?"
    text = f"{100 * share:.3g}"
    if text == "100" and share < 1:
        text = "over 99.9"
    elif share and abs(share) < 0.001:
        text = "under 0.1"
    return f"{text} %"


def steps(first: int, last: int) -> str:
    """Write a range of steps: ``"steps 40-140"``, ``"step 40"``, ``"before the first step"``."""
    first, last = min(first, last), max(first, last)
    if last == 0:
        return "before the first step"
    return f"step {first}" if first == last else f"steps {first}-{last}"


def listed(names: Sequence[object], *, most: int = 4) -> str:
    """Join names: ``"a"``, ``"a and b"``, ``"a, b, c, d and 7 more"``."""
    shown = [str(name) for name in names[:most]]
    rest = len(names) - len(shown)
    if rest:
        return f"{', '.join(shown)} and {rest} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def plural(count: int, word: str) -> str:
    """Write ``"1 layer"``, ``"3 layers"``."""
    return f"{count:,} {word}" + ("" if count == 1 else "s")
