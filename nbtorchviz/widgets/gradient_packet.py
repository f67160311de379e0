"""Pack what a GradientInspector's view paints; ``static/src/gradient_packet.js`` has the format.

Norms travel as logarithms in 16 bits, counts in 8. What does not fit is thinned so that no spike is
lost: of neighbouring steps the one with the larger gradient stays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.events import Histogram, LayerInfo

STATES = ("", "frozen", "unused", "no optimizer", "skipped (inf)", "sparse", "shard")
NAN, INF, NONE = 65533, 65534, 65535
"""Codes that are no norms; 0 is the norm 0."""
PER_OCTAVE, LOWEST_EXPONENT = 264, -120
"""Codes from one power of two to the next: a norm read back is off by 0.14 % at most."""
COUNTS_PER_OCTAVE = 16
"""Counts up to 20 come back exactly, larger ones within 2.2 %; 60,000 is the largest."""
FINE_SHARE = 0.75
"""Of the columns, for the steps that are shown where a view shows only some."""
STRIP_SHARE, STRIP_COLUMNS, LEAST_COLUMNS = 0.35, 512, 8
"""Of a packet, for histograms over time; and how many columns one has at most and at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """Histograms of one quantity over time, oldest first, at least one."""

    layer: str
    of: str
    """``"weight"`` or another parameter's own name: its gradient; ``"@gradient"``: d loss/d output
    of the layer; ``"@activation"``: the output itself."""
    steps: Sequence[int]
    histograms: Sequence[Histogram]
    elements: int = 0
    """Of the whole tensor; a ``Histogram.count`` of them were read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientHistory:
    """Norms of P parameters and L layers at C sampled steps, 0 or more; NaN: not measured."""

    layers: Sequence[LayerInfo]
    """In execution order."""
    parameters: Sequence[tuple[str, int]]
    """Full name and number of elements."""
    steps: NDArray[np.int64]
    """Shape (C,), rising."""
    norms: Mapping[str, NDArray[np.float32]]
    """``gradient`` (after clipping), ``weight``, ``update`` and, where the user clips, ``raw``
    (before clipping): shape (P, C). ``activation`` (d loss/d output): shape (L, C)."""
    broken: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    """By the same names and shapes, where the tensor held NaN. An infinite norm stays as it is."""
    states: NDArray[np.uint8]
    """Index into ``STATES``, shape (P, C)."""
    learning_rates: NDArray[np.float32]
    """Of each parameter now, shape (P,)."""


def gradient_parts(
    history: GradientHistory,
    strips: Sequence[Strip] = (),
    *,
    seq: int,
    limit_bytes: int = 260_000,
    shown: tuple[float, float | None] | None = None,
    **about: Any,
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return header and arrays of one packet, for ``analysis.packets.pack``.

    Args:
        history: all that is kept; thinned here to what fits.
        strips: those of the selected layer first: each takes up to half of the room that is left.
        seq: number that views ack.
        limit_bytes: most bytes of the packet. Names of layers and parameters take what they take.
        shown: first and last step that views show (None: up to the newest): more columns of
            those, fewer of the others. By default all alike.
        about: the rest of the header: phase, captured_at_s, zones, flags, gaps.
    """
    header: dict[str, Any] = {"version": 1, "seq": seq, "samples": len(history.steps), **about}
    header |= {"words": STATES, "strips": [], "parameters": _parameters(history)}
    header["layers"] = [
        [info.key, info.type, int(info.block), info.detail] for info in history.layers
    ]
    names = sum(len(str(row)) + 4 for rows in ("layers", "parameters") for row in header[rows])
    arrays: dict[str, NDArray[Any]] = {"learning_rate": history.learning_rates}
    room = int(STRIP_SHARE * limit_bytes)
    for i, strip in enumerate(strips):
        described, steps, codes = _strip(strip, room // 2)
        if len(steps) < min(LEAST_COLUMNS, len(strip.steps)):
            break
        header["strips"].append(described)
        arrays |= {f"strip{i}": codes, f"strip{i}_steps": steps}
        room -= codes.nbytes + steps.nbytes + 300
    used = 3000 + names + sum(array.nbytes + 200 for array in arrays.values())
    column = 4 + len(history.parameters) + 2 * sum(len(each) for each in history.norms.values())
    most = max(2, (limit_bytes - used) // column)
    kept = _kept(_total(history), history.steps, most, shown)
    arrays |= {"steps": history.steps[kept].astype(np.uint32), "state": history.states[:, kept]}
    for name, norms in history.norms.items():
        broken = history.broken.get(name)
        arrays[name] = norm_codes(norms[:, kept], None if broken is None else broken[:, kept])
    return header, arrays


def norm_codes(
    norms: NDArray[np.float32], broken: NDArray[np.bool_] | None = None
) -> NDArray[np.uint16]:
    """Write norms, at least 0 or NaN, as codes; ``broken`` marks those of tensors with NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        octaves = np.log2(norms.astype(np.float64)) - LOWEST_EXPONENT
    codes = 1 + np.clip(np.nan_to_num(np.rint(octaves * PER_OCTAVE)), 0, NAN - 2)
    for where, code in ((norms == 0, 0), (np.isinf(norms), INF), (np.isnan(norms), NONE)):
        codes[where] = code
    if broken is not None:
        codes[broken] = NAN
    return np.asarray(codes, dtype=np.uint16)


def kept_columns(size: NDArray[np.float64], most: int) -> NDArray[np.intp]:
    """Halve the columns until ``most``, at least 2, are left: of two neighbours the larger stays.

    Of equals the later stays, and the newest column always. Infinity is largest.
    """
    kept = np.arange(len(size))
    while len(kept) > most:
        newest, rest = kept[-1:], kept[:-1]
        a, b = rest[: len(rest) // 2 * 2].reshape(-1, 2).T
        odd = rest[2 * len(a) :]
        kept = np.concatenate([np.where(size[a] > size[b], a, b), odd, newest])
    return kept


def _kept(
    size: NDArray[np.float64],
    steps: NDArray[np.int64],
    most: int,
    shown: tuple[float, float | None] | None,
) -> NDArray[np.intp]:
    """Columns to send: of the shown steps as many as fit, of the others some, and the newest."""
    if shown is None or most < 4 or len(steps) <= most:
        return kept_columns(size, most)
    first = int(np.searchsorted(steps, shown[0]))
    last = len(steps) if shown[1] is None else int(np.searchsorted(steps, shown[1], side="right"))
    inside = np.arange(first, max(first, last))
    others = np.setdiff1d(np.arange(len(steps)), inside)
    fine = max(2, int(FINE_SHARE * most))
    rooms = ((inside, fine), (others, max(2, most - fine)))
    kept = [part[kept_columns(size[part], room)] for part, room in rooms if len(part)]
    return np.sort(np.concatenate(kept))


def _parameters(history: GradientHistory) -> list[tuple[int, str, int]]:
    """Layer (-1: none), name within it and elements of each parameter."""
    place = {info.key: i for i, info in enumerate(history.layers)}
    split = [(full, *full.rpartition("."), int(count)) for full, count in history.parameters]
    return [
        (place.get(layer, -1), name if layer in place else full, count)
        for full, layer, _, name, count in split
    ]


def _total(history: GradientHistory) -> NDArray[np.float64]:
    """Norm of all gradients at each step, infinite where one of them is not finite."""
    total = np.sqrt(np.nansum(history.norms["gradient"].astype(np.float64) ** 2, axis=0))
    broken = history.broken.get("gradient")
    return total if broken is None else np.where(broken.any(axis=0), np.inf, total)


def _strip(strip: Strip, room: int) -> tuple[dict[str, Any], NDArray[np.uint32], NDArray[np.uint8]]:
    """Description, steps and codes of a strip: from most negative over zero to most positive."""
    found = strip.histograms
    negative = np.array([each.counts_negative for each in found])
    positive = np.array([each.counts_positive for each in found])
    special = np.array([[each.zeros, each.nan, each.posinf, each.neginf] for each in found])
    used = np.flatnonzero((negative + positive).any(axis=0))
    first, last = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
    left, right = negative[:, first:last][:, ::-1], positive[:, first:last]
    counts = np.concatenate([left, special[:, :1], right, special[:, 1:]], axis=1)
    codes = np.rint(COUNTS_PER_OCTAVE * np.log2(1.0 + counts)).clip(0, 255).astype(np.uint8)
    most = min(STRIP_COLUMNS, room // (codes.shape[1] + 4))
    nonfinite = special[:, 1:].sum(axis=1).astype(np.float64)
    kept = kept_columns(nonfinite, most) if most >= 2 else np.arange(0)
    about = {"layer": strip.layer, "of": strip.of, "elements": strip.elements}
    about |= {"lowest": found[-1].lowest_exponent + first, "bins": last - first}
    about |= {"read": found[-1].count}
    return about, np.asarray(strip.steps, np.uint32)[kept], codes[kept]
