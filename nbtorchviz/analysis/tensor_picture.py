"""Draw a tensor as a PNG, from the same packet that its live view paints."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbtorchviz.analysis.drawing import Picture, theme_named
from nbtorchviz.analysis.picture_frame import INSET, WIDTH_PX, Arrays, Facts, Frame
from nbtorchviz.analysis.tensor_packet import MOST_PICTURES
from nbtorchviz.analysis.ticks import count_text, short

LIMIT_BYTES = 100_000
_TALLEST = 1800
_LINES = 3
"""Rows of pictures that are drawn; the rest is a number in words."""
_CAPTION_PX = 16
_SIDES = ((6, 136.0), (20, 80.0), (MOST_PICTURES, 56.0))
"""Up to so many pictures, so large."""


def frame_of(
    header: Facts, arrays: Arrays, sample: int
) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]] | None:
    """Return the frame of one sample as the activation view knows it; None when it is not here."""
    display, (first, count) = header.get("display"), header["held"]
    if not display or not first <= sample < first + count:
        return None
    at = sample - first
    facts = {**display, "layer": header["title"], "show": "value", "seq": header["seq"]}
    facts |= {"range": display["ranges"][at], "quiet": display["quiet"][at], "dead": {}}
    facts["shape"] = _item_shape(header)
    names = ("planes", "lo", "hi", "mean", "std", "zero", "nonfinite", "values")
    return facts, {name: arrays[name][at] for name in names if name in arrays}


def _item_shape(header: Facts) -> list[int]:
    shape = list(header["shape"])[1 if header["batched"] else 0 :]
    return [1, *shape] if header["layout"] in ("HW", "NHW") else shape


def tensor_picture(
    header: Facts,
    arrays: Arrays,
    theme: str = "light",
    *,
    sample: int = 0,
    channel: int = 0,
    colormap: str = "viridis",
    normalize: str = "channel",
    limit_bytes: int = LIMIT_BYTES,
) -> bytes:
    """Draw header, pictures of the samples, and the planes of one sample, 900 px wide.

    Args:
        header: of the packet.
        arrays: of the packet.
        theme: ``"light"`` or ``"dark"``.
        sample: whose planes are drawn, if they are in the packet.
        channel: drawn large.
        colormap: of the planes; values with a sign get a zero-centred one.
        normalize: ``"channel"``, or all on one scale.
        limit_bytes: drawn at 2 device pixels per CSS pixel if that fits, else at 1.
    """
    data = b""
    for scale in (2, 1):
        picture = Picture(WIDTH_PX, _TALLEST, theme_named(theme), scale=scale)
        top = _header(picture, header)
        sample = min(sample, max(0, header["samples"] - 1))
        top += _pictures(picture, header, arrays, sample, top)
        found = frame_of(header, arrays, sample)
        if found is None:
            text = "empty" if not header.get("display") else f"sample {sample} is not drawn here"
            picture.text((INSET, top), text, bold=True)
            top += 28
        else:
            facts, own = found
            colormap_used = "diverging" if facts["signed"] and colormap != "gray" else colormap
            frame = Frame(picture, facts, own, channel, colormap_used, normalize)
            top = max(frame.left(top), frame.right(top))
        picture.crop(round(top) + 12)
        data = picture.png(limit_bytes=limit_bytes if scale == 1 else None)
        if len(data) <= limit_bytes:
            break
    return data


def _header(picture: Picture, header: Facts) -> float:
    theme, stats = picture.theme, header["stats"]
    x = INSET + picture.text((INSET, 11), header["title"] or "tensor", bold=True, max_width=280) + 8
    size = "×".join(map(str, header["shape"])) or "one number"
    read = f", read as {header['layout']}" if header["layout"] else ""
    x += picture.text((x, 11), f"{size}, {header['dtype']}{read}", color=theme.second) + 16
    words = [
        f"{word} {short(stats[name])}"
        for name, word in (("minimum", "min"), ("maximum", "max"), ("mean", "mean"), ("std", "std"))
        if stats[name] is not None
    ]
    x += picture.text((x, 11), ", ".join(words), max_width=max(0, WIDTH_PX - INSET - x)) + 16
    bad = stats["nan"] + stats["posinf"] + stats["neginf"]
    if bad:
        text = f"{count_text(bad)} not finite"
        picture.text((WIDTH_PX - INSET, 11), text, bold=True, color=theme.error, align="right")
    picture.polyline([(0, 40), (WIDTH_PX, 40)], theme.rule)
    return 56.0


def _pictures(picture: Picture, header: Facts, arrays: Arrays, chosen: int, top: float) -> float:
    """Draw the samples with their labels; return the height used."""
    pictures = arrays.get("pictures")
    many = header["samples"] > 1
    colour = (header.get("picture") or {}).get("layout") == "rgb"
    if pictures is None or not (many or colour):
        return _notes(picture, header, [], top)
    theme, labels = picture.theme, header.get("labels")
    tall, wide = pictures.shape[1:3]
    most = next(px for few, px in _SIDES if len(pictures) <= few)
    factor = max(1, int(most * picture.scale // max(tall, wide))) / picture.scale
    factor = min(factor, most / max(tall, wide)) if max(tall, wide) > most else factor
    size = (wide * factor, tall * factor)
    cell = max(size[0], 30.0) + 8
    columns = max(1, int((WIDTH_PX - 2 * INSET + 8) // cell))
    line = size[1] + (_CAPTION_PX if many else 0) + 6
    shown = min(len(pictures), columns * _LINES)
    for index in range(shown):
        row, column = divmod(index, columns)
        left, at = INSET + column * cell, top + row * line
        box = (left, at, left + size[0], at + size[1])
        if index in header["picture"]["blank"]:
            picture.hatch(box, theme.error, gap=5)
            picture.rect(box, outline=theme.edge)
        else:
            picture.pixels(pictures[index], box)
        if not many:
            continue
        color = theme.accent if index == chosen else theme.text
        name = str(index) if labels is None else labels[index]
        fitting = picture.fit(name, cell - 4, size=11)
        place = (left, at + size[1] + 1)
        picture.text(place, fitting, size=11, bold=index == chosen, color=color)
        if index == chosen:
            box = (left - 2, at - 2, left + size[0] + 2, at + size[1] + 2)
            picture.rect(box, outline=theme.accent, width=2)
    used = float(-(-shown // columns) * line)
    few = f"{shown} of {header['samples']} samples" if shown < header["samples"] else ""
    return used + _notes(picture, header, [few, header["picture"]["note"]], top + used) + 8


def _notes(picture: Picture, header: Facts, notes: Sequence[str], top: float) -> float:
    """Say what was done to the numbers before they were drawn; return the height used."""
    text = "; ".join(note for note in [*notes, *header["notes"]] if note)
    if not text:
        return 0.0
    picture.text((INSET, top), text, size=11, color=picture.theme.second, max_width=860)
    return 20.0
