"""From recorded moves and paints to delays."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

Record = Mapping[str, Any]


def delays_ms(
    moves: Sequence[Record],
    paints: Sequence[Record],
    answers: Callable[[Record, Record], bool],
) -> list[float | None]:
    """Pair each move with the first later paint that answers it.

    Args:
        moves: As ``NotebookPage.moves()`` returns them.
        paints: As ``NotebookPage.paints()`` returns them, in order of time.
        answers: Says whether a paint shows what a move asked for.

    Returns:
        One delay per move, None where no paint ever answered.
    """
    return [
        next(
            (p["at"] - move["at"] for p in paints if p["at"] >= move["at"] and answers(move, p)),
            None,
        )
        for move in moves
    ]


def floor_answers(move: Record, paint: Record) -> bool:
    """Say whether the bare label shows the number of the bare slider."""
    return paint["target"] == "floor" and paint.get("text") == f"v={move['value']}"


def typical_ms(delays: Sequence[float | None]) -> float:
    """Return the median; raises ValueError when a move was never answered."""
    answered = [delay for delay in delays if delay is not None]
    if not answered or len(answered) < len(delays):
        raise ValueError(f"{len(answered)} of {len(delays)} moves were answered")
    return median(answered)
