"""What the rows of an output with the axes (T, D) are, and how tokens lay in the image."""

from collections.abc import Iterable

from nbtorchviz.analysis.layouts import STATES, WEIGHTS

_PREFIX_TOKENS = (1, 0, 2, 4, 5)
"""Class token; none; class and distillation token; four registers; class token and registers."""


def row_words(notes: Iterable[str]) -> tuple[str, str]:
    """Say what a row and a column of an output with the axes (T, D) are.

    Args:
        notes: of its layout, among others.
    """
    for note, words in ((STATES, ("state", "feature")), (WEIGHTS, ("query", "key"))):
        if note in notes:
            return words
    return "token", "feature"


def patch_grid(tokens: int, image_hw: tuple[int, int] | None) -> tuple[int, int, int] | None:
    """Arrange tokens as the grid of square patches they were cut from.

    Args:
        tokens: how many, prefix tokens included.
        image_hw: height and width of the input image; without an image there is no grid.

    Returns:
        (prefix tokens, grid height, grid width), or None when no square patch fits.
    """
    if image_hw is None or min(image_hw) < 2:
        return None
    height, width = image_hw
    for prefix in _PREFIX_TOKENS:
        rest = tokens - prefix
        for rows in range(2, int(max(rest, 0) ** 0.5 * (height / width) ** 0.5 + 1.5)):
            columns = rest // rows
            if rows * columns != rest or columns < 2 or height % rows or width % columns:
                continue
            if height // rows == width // columns >= 2:
                return prefix, rows, columns
    return None
