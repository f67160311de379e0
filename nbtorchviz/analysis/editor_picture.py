"""Draw an edited image as a PNG: before, after, and what the difference is."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.colormaps import code_table
from nbtorchviz.analysis.drawing import Picture
from nbtorchviz.analysis.ticks import short

SIDE_PX = 224
_GAP, _INSET, _TOP = 24, 16, 60


def editor_picture(
    name: str,
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    difference: NDArray[np.uint8],
    *,
    most: float,
    words: Sequence[str],
    limit_bytes: int = 100_000,
) -> bytes:
    """Draw three pictures side by side with their words, 900 px wide.

    Args:
        name: of the image.
        before: pixels of the image as it was given, (h, w) or (h, w, 3).
        after: pixels of the painted image.
        difference: codes, 127 where nothing changed.
        most: largest difference, in the model's own numbers.
        words: what was painted and what it did.
        limit_bytes: of the PNG.
    """
    data = b""
    for scale in (2, 1):
        picture = Picture(900, 330, scale=scale)
        picture.text((_INSET, 11), name, bold=True, max_width=860)
        picture.text((_INSET, 32), ", ".join(words), max_width=860)
        table = code_table("diverging")
        centred = np.rint(difference.astype(float) * 252 / 254).astype(int)
        pictures = ((before, "as given"), (after, "as painted"), (table[centred], "difference"))
        for at, (pixels, title) in enumerate(pictures):
            left = _INSET + at * (SIDE_PX + _GAP)
            tall, wide = pixels.shape[:2]
            share = SIDE_PX / max(tall, wide)
            box = (left, _TOP, left + wide * share, _TOP + tall * share)
            picture.pixels(np.asarray(pixels, np.uint8), box)
            picture.rect(box, outline=picture.theme.rule)
            picture.text((left, _TOP + SIDE_PX + 6), title, size=11, color=picture.theme.second)
        left = _INSET + 3 * (SIDE_PX + _GAP) - 12
        marks = ((1.0, f"+{short(most)}"), (0.5, "0"), (0.0, f"−{short(most)}")) if most else ()
        if marks:
            bar = (left, _TOP, left + 12, _TOP + SIDE_PX)
            picture.colour_bar(bar, np.asarray(table[:253], np.uint8), marks)
        data = picture.png(limit_bytes=limit_bytes if scale == 1 else None)
        if len(data) <= limit_bytes:
            break
    return data
