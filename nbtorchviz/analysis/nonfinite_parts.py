"""The report on the first NaN or infinite value as a header and arrays that views paint."""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.quantise import quantise
from nbtorchviz.analysis.ticks import short
from nbtorchviz.nonfinite import NonFiniteReport, TensorPiece, TensorRange

LIMIT_BYTES = 100_000
_LINE_CHARS = 300
Parts = tuple[dict[str, Any], dict[str, NDArray[Any]]]


def nonfinite_parts(
    report: NonFiniteReport, remedy: str, *, seq: int = 0, limit_bytes: int = LIMIT_BYTES
) -> Parts:
    """Return header and arrays, for ``analysis.packets.pack`` and ``nonfinite_picture``.

    Args:
        report: what is known.
        remedy: one thing to try.
        seq: number that views ack.
        limit_bytes: most bytes of the packet; exact values, then pictures, are left out to fit.

    Returns:
        The header has ``step``, ``title``, ``code``, ``lines``, and of each of ``pieces`` role,
        name, shape, place, range, counts, ``lo`` and ``hi``. Arrays of piece i: ``c{i}`` codes
        (rows, columns), uint8; ``v{i}`` the values, float32.
    """
    after = [] if report.after is None else [report.after]
    pieces = [("before", piece) for piece in report.before] + [("after", it) for it in after]
    header: dict[str, Any] = {
        "version": 1,
        "seq": seq,
        "step": report.step,
        "word": report.word,
        "title": report.title,
        "code": f"{report.line}: {report.code}" if report.line else "",
        "lines": [line[:_LINE_CHARS] for line in _lines(report, remedy)],
        "pieces": [_described(report, role, piece) for role, piece in pieces],
    }
    arrays: dict[str, NDArray[Any]] = {}
    for at, (entry, (_, piece)) in enumerate(zip(header["pieces"], pieces, strict=True)):
        codes, lo, hi = quantise(piece.values[None])
        entry |= {"lo": float(lo[0]), "hi": float(hi[0])}
        arrays[f"c{at}"] = codes[0]
    left = limit_bytes - len(json.dumps(header)) - sum(a.nbytes + 130 for a in arrays.values())
    if sum(piece.values.nbytes + 130 for _, piece in pieces) <= left:
        return header, arrays | {f"v{at}": piece.values for at, (_, piece) in enumerate(pieces)}
    for at in (*range(1, len(pieces) - 1), 0, len(pieces) - 1):  # the last is what came out
        if left < 0 and f"c{at}" in arrays:
            left += arrays.pop(f"c{at}").nbytes + 130
    return header, arrays


def range_words(given: TensorRange) -> str:
    """Return ``"−4 to 8"``, or what there is in place of finite values."""
    if given.lowest is None or given.highest is None:
        return "no finite value"
    if given.lowest == given.highest:
        return f"all {short(given.lowest)}"
    return f"{short(given.lowest)} to {short(given.highest)}"


def _described(report: NonFiniteReport, role: str, piece: TensorPiece) -> dict[str, Any]:
    whole = piece.whole
    total = int(np.prod(whole.shape)) if whole.shape else 1
    counts = [f"{whole.nan:,} NaN"] if whole.nan else []
    counts += [f"{whole.infinite:,} Inf"] if whole.infinite else []
    like = report.after is not None and whole.shape == report.after.whole.shape
    return {
        "role": role,
        "name": piece.name,
        "shape": "×".join(map(str, whole.shape)) or "one number",
        "dtype": whole.dtype,
        "place": piece.place,
        "start": list((0, 0, *piece.start)[-2:]),
        "range": range_words(whole),
        "bad": f"{' and '.join(counts)} of {total:,}" if counts else "",
        "mark": _mark(report.where, piece) if like else None,
    }


def _mark(where: tuple[int, ...], piece: TensorPiece) -> list[int] | None:
    """Row and column of ``where`` in a piece, if it holds that."""
    if len(where) != len(piece.start) or where[:-2] != piece.start[:-2]:
        return None
    at = [(0, 0, *where)[-2:][axis] - (0, 0, *piece.start)[-2:][axis] for axis in (0, 1)]
    inside = all(0 <= index < size for index, size in zip(at, piece.values.shape, strict=True))
    return at if inside else None


def _lines(report: NonFiniteReport, remedy: str) -> list[str]:
    lines = []
    if report.inner and report.direction != "backward":
        lines.append(f"Inside, {report.inner} made it.")
    if report.parameters:
        told = (
            f"{given.name} ({'×'.join(map(str, given.shape)) or 'one number'}) {range_words(given)}"
            for given in report.parameters
        )
        lines.append(f"Parameters of the layer: {'; '.join(told)}.")
    if report.terms:
        told = (f"{name} = {short(value)}" for name, value in report.terms)
        lines.append(f"Terms of the loss: {', '.join(told)}.")
    return [*lines, *report.notes, remedy]
