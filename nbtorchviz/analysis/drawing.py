"""Draw pictures without a browser: text, lines, tiles, colour bars and hatches, with Pillow.

Coordinates are CSS pixels from the top left; ``scale`` device pixels stand for one. The colours
and sizes are those of the widgets, so that a saved picture looks like the live one.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw

from nbtorchviz.analysis.fonts import runs

Point = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""
Align = Literal["left", "center", "right"]

_SMOOTH = 3  # supersampling of lines: Pillow draws them without anti-aliasing


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of one theme, as measured for contrast in the design."""

    background: str
    text: str
    second: str
    accent: str
    warn: str
    error: str
    live: str
    bars: str
    edge: str
    grid: str
    panel: str
    rule: str
    warn_panel: str
    error_panel: str
    train: str
    train_raw: str
    val: str
    earlier: str


LIGHT = Theme(
    background="#ffffff", text="#212121", second="#616161", accent="#1976d2", warn="#a84300",
    error="#c62828", live="#2e7d32", bars="#616161", edge="#8a8a8a", grid="#ececec",
    panel="#f5f5f5", rule="#e0e0e0", warn_panel="#fff3e3", error_panel="#fdeae8",
    train="#0d47a1", train_raw="#5f93d3", val="#a84300", earlier="#767676",
)  # fmt: skip
DARK = Theme(
    background="#111111", text="#e0e0e0", second="#b0b0b0", accent="#64b5f6", warn="#ffb74d",
    error="#ff8a80", live="#81c784", bars="#9e9e9e", edge="#8a8a8a", grid="#262626",
    panel="#1e1e1e", rule="#3a3a3a", warn_panel="#33260f", error_panel="#3a1a18",
    train="#90caf9", train_raw="#3f77ad", val="#ffb74d", earlier="#8f8f8f",
)  # fmt: skip


TRUEST = Image.Quantize.MAXCOVERAGE
"""How colours are reduced to 256: at most 6 of 255 off in pictures with maps, measured; by their
frequency, as Pillow does by default, 70: rare ones, such as those of a colour bar, are lost."""


def theme_named(name: str) -> Theme:
    """Return the ``"light"`` or ``"dark"`` theme."""
    if name not in ("light", "dark"):
        raise ValueError(f"theme must be 'light' or 'dark', got {name!r}")
    return DARK if name == "dark" else LIGHT


class Picture:
    """A picture in the making; ``png()`` hands it over."""

    def __init__(
        self, width_px: int, height_px: int, theme: Theme = LIGHT, *, scale: int = 1
    ) -> None:
        self.width_px, self.height_px = width_px, height_px
        self.theme, self.scale = theme, scale
        size = (width_px * scale, height_px * scale)
        self.image = Image.new("RGB", size, theme.background)
        self._draw = ImageDraw.Draw(self.image)

    def text(
        self,
        at: Point,
        text: str,
        *,
        size: float = 13,
        color: str | None = None,
        bold: bool = False,
        align: Align = "left",
        max_width: float | None = None,
    ) -> float:
        """Write one line with its top at ``at`` and return its width.

        Args:
            at: left, centre or right end by ``align``, and the top of a line of 1.25 ``size``.
            text: cut with an ellipsis at ``max_width``.
            size: of the letters.
            color: the theme's text colour by default.
            bold: thicker strokes.
            align: which part of the line lies at ``at``.
            max_width: no limit by default.
        """
        if max_width is not None:
            text = self.fit(text, max_width, size=size, bold=bold)
        width = self.text_width(text, size=size, bold=bold)
        shift = {"left": 0.0, "center": width / 2, "right": width}[align]
        x, baseline = (at[0] - shift) * self.scale, (at[1] + size) * self.scale
        for font, piece in runs(text, round(size * self.scale)):
            for offset in (0.0, 0.5 * self.scale) if bold else (0.0,):
                self._draw.text(
                    (x + offset, baseline), piece, color or self.theme.text, font, anchor="ls"
                )
            x += font.getlength(piece)
        return width

    def text_width(self, text: str, *, size: float = 13, bold: bool = False) -> float:
        """Width of one line of text."""
        pieces = runs(text, round(size * self.scale))
        width = sum(font.getlength(piece) for font, piece in pieces)
        return width / self.scale + (0.5 if bold and text else 0.0)

    def fit(self, text: str, width: float, *, size: float = 13, bold: bool = False) -> str:
        """Cut ``text`` so that it fits, with an ellipsis."""
        if self.text_width(text, size=size, bold=bold) <= width:
            return text
        while text and self.text_width(f"{text}…", size=size, bold=bold) > width:
            text = text[:-1]
        return f"{text.rstrip()}…"

    def wrap(self, text: str, width: float, *, size: float = 13) -> list[str]:
        """Break ``text`` at spaces into lines that fit."""
        lines = [""]
        for word in text.split():
            longer = f"{lines[-1]} {word}".strip()
            if not lines[-1] or self.text_width(longer, size=size) <= width:
                lines[-1] = longer
            else:
                lines.append(word)
        return lines

    def rect(
        self,
        box: Box,
        *,
        fill: str | None = None,
        outline: str | None = None,
        width: float = 1,
        radius: float = 0,
    ) -> None:
        """Draw a filled or outlined rectangle; its edge lies inside ``box``."""
        left, top, right, bottom = (round(value * self.scale) for value in box)
        if right <= left or bottom <= top:
            return
        self._draw.rounded_rectangle(
            (left, top, right - 1, bottom - 1),
            radius * self.scale,
            fill,
            outline,
            max(1, round(width * self.scale)),
        )

    def polyline(
        self,
        points: Sequence[Point] | NDArray[Any],
        color: str,
        *,
        width: float = 1,
        dash: tuple[float, ...] = (),
        clip: Box | None = None,
    ) -> None:
        """Draw a smooth line through ``points``; NaN breaks it, ``clip`` cuts it off.

        Args:
            points: x and y of each.
            color: of the line.
            width: of the line.
            dash: lengths of stroke, gap, stroke, gap ...; unbroken by default.
            clip: nothing is drawn outside.
        """
        path = np.asarray(points, float).reshape(-1, 2)
        good = path[np.isfinite(path).all(axis=1)]
        if not len(good):
            return
        bounds = np.array(clip or (0, 0, self.width_px, self.height_px), float)
        reach = width / 2 + 2
        bounds[:2] = np.maximum(bounds[:2], good.min(axis=0) - reach)
        bounds[2:] = np.minimum(bounds[2:], good.max(axis=0) + reach)
        left, top, right, bottom = (round(value * self.scale) for value in bounds.tolist())
        if right <= left or bottom <= top:
            return
        ratio = self.scale * _SMOOTH
        mask = Image.new("L", ((right - left) * _SMOOTH, (bottom - top) * _SMOOTH))
        draw = ImageDraw.Draw(mask)
        shift = np.array([left, top], float) * _SMOOTH
        for piece in _pieces(path):
            far = 4.0 * (max(mask.size) + 1)
            placed = np.clip(piece * ratio - shift, -far, far)
            for stroke in _dashes(placed, dash, ratio):
                flat = [tuple(point) for point in stroke.tolist()]
                draw.line(flat, 255, max(1, round(width * ratio)), joint="curve")
        mask = mask.reduce(_SMOOTH)
        self.image.paste(color, (left, top, right, bottom), mask)

    def dot(self, at: Point, radius: float, color: str, *, hollow: bool = False) -> None:
        """Draw a disc, or a ring filled with the background."""
        self._shape("ellipse", at, radius, color)
        if hollow:
            self._shape("ellipse", at, radius - 1.25, self.theme.background)

    def triangle(self, at: Point, radius: float, color: str, *, down: bool = False) -> None:
        """Draw a triangle that points up, or down, around ``at``."""
        self._shape("down" if down else "up", at, radius, color)

    def hatch(self, box: Box, color: str | None = None, *, gap: float = 6) -> None:
        """Fill a box with diagonal lines: no value here, never a value of zero."""
        left, top, right, bottom = box
        span = bottom - top
        reach = int((right - left + span) // gap) + 1
        lines: list[Point] = []
        for index in range(reach + 1):
            start = left - span + index * gap
            lines += [(start, top), (start + span, bottom), (np.nan, np.nan)]
        self.polyline(np.array(lines), color or self.theme.edge, width=1, clip=box)

    def pixels(self, rgb: NDArray[np.uint8], box: Box) -> None:
        """Show an (h, w) or (h, w, 3) image in ``box`` without smoothing its pixels."""
        left, top, right, bottom = (round(value * self.scale) for value in box)
        size = (max(1, right - left), max(1, bottom - top))
        image = Image.fromarray(np.ascontiguousarray(rgb)).convert("RGB")
        self.image.paste(image.resize(size, Image.Resampling.NEAREST), (left, top))

    def colour_bar(
        self, box: Box, table: NDArray[np.uint8], marks: Iterable[tuple[float, str]]
    ) -> None:
        """Draw a colour bar, lowest at the bottom, with marks at shares from 0 to 1."""
        _, top, right, bottom = box
        self.pixels(table[::-1, None, :], box)
        for share, label in marks:
            y = bottom - share * (bottom - top)
            self.polyline([(right, y), (right + 4, y)], self.theme.edge)
            middle = min(max(y, top + 6), bottom - 6)
            self.text((right + 6, middle - 8), label, size=11)

    def crop(self, height_px: int) -> None:
        """Cut the picture off below ``height_px``."""
        self.height_px = min(height_px, self.height_px)
        size = (0, 0, self.image.width, self.height_px * self.scale)
        self.image = self.image.crop(size)
        self._draw = ImageDraw.Draw(self.image)

    def png(
        self, *, limit_bytes: int | None = None, palette: NDArray[np.uint8] | None = None
    ) -> bytes:
        """Return the picture as a palette PNG.

        Args:
            limit_bytes: with colours chosen here, fewer are taken while the file is larger; 16
                are the fewest. No limit by default.
            palette: at most 256 RGB rows to use; by default the picture's most common colours.
        """
        if palette is not None:
            holder = Image.new("P", (1, 1))
            holder.putpalette(np.ascontiguousarray(palette[:256]).tobytes())
            return _encode(self.image.quantize(palette=holder, dither=Image.Dither.NONE))
        data = b""
        for colors in (256, 128, 64, 32, 16):
            data = _encode(self.image.quantize(colors, TRUEST, dither=Image.Dither.NONE))
            if limit_bytes is None or len(data) <= limit_bytes:
                break
        return data

    def _shape(self, kind: str, at: Point, radius: float, color: str) -> None:
        reach = int(np.ceil(radius + 1))
        side = 2 * reach * self.scale * _SMOOTH
        mask = Image.new("L", (side, side))
        draw = ImageDraw.Draw(mask)
        middle, size = side / 2, radius * self.scale * _SMOOTH
        if kind == "ellipse":
            draw.ellipse((middle - size, middle - size, middle + size, middle + size), 255)
        else:
            sign = 1 if kind == "up" else -1
            tip, base = middle - sign * size, middle + sign * size * 0.7
            draw.polygon([(middle, tip), (middle - size, base), (middle + size, base)], 255)
        corner = (round((at[0] - reach) * self.scale), round((at[1] - reach) * self.scale))
        small = mask.reduce(_SMOOTH)
        self.image.paste(color, (*corner, corner[0] + small.width, corner[1] + small.height), small)


def blends(colors: Iterable[str], background: str, steps: int = 4) -> NDArray[np.uint8]:
    """Return each colour and its blends with the background, as smooth edges need them."""
    far = np.array([ImageColor.getrgb(color)[:3] for color in colors], float)
    near = np.array(ImageColor.getrgb(background)[:3], float)
    shares = (np.arange(1, steps + 1) / steps)[:, None, None]
    mixed = near + (far - near) * shares
    return np.unique(np.rint(mixed).astype(np.uint8).reshape(-1, 3), axis=0)


def _encode(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _pieces(points: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Split at points that are not finite."""
    good = np.isfinite(points).all(axis=1)
    cuts = np.flatnonzero(np.diff(good)) + 1
    parts = np.split(points, cuts)
    return [part for part in parts if len(part) and np.isfinite(part[0]).all()]


def _dashes(
    path: NDArray[np.float64], dash: tuple[float, ...], ratio: float
) -> list[NDArray[np.float64]]:
    """Cut a path into strokes of these lengths along it."""
    if len(path) == 1:
        return [np.repeat(path, 2, axis=0) + np.array([[-0.5, 0], [0.5, 0]])]
    if not dash:
        return [path]
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    edges = ratio * np.cumsum([0, *dash])
    rounds = np.arange(0, along[-1], edges[-1])[:20_000]
    starts, ends = (np.add.outer(rounds, edges[side:-1:2]).ravel() for side in (0, 1))
    strokes = []
    for start, end in zip(starts, ends.clip(max=along[-1]), strict=True):
        if start >= along[-1]:
            break
        inside = along[(along > start) & (along < end)]
        at = np.concatenate([[start], inside, [end]])
        strokes.append(np.stack([np.interp(at, along, path[:, axis]) for axis in (0, 1)], axis=1))
    return strokes
