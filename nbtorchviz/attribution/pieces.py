"""Long computations in pieces, so that other things can happen between them."""

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")
Pieces = Generator[float, None, T]
"""Yields the share that is done after each piece, returns the result."""


def finished(pieces: Pieces[T]) -> T:
    """Do all pieces and return the result."""
    while True:
        try:
            next(pieces)
        except StopIteration as ended:
            result: T = ended.value
            return result
