"""Images and their class activation maps as a PNG, drawn without a browser."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nbtorchviz.analysis.cam_frame import NONE, OWN, CamFrame
from nbtorchviz.analysis.colormaps import table
from nbtorchviz.analysis.contours import contour
from nbtorchviz.analysis.drawing import LIGHT, Box, Picture, Theme
from nbtorchviz.analysis.images import InputImage
from nbtorchviz.analysis.ticks import percent

LIMIT_BYTES = 100_000
WIDTH_PX = 900
MOST_ROWS = 4
_SIDE, _TOP, _GAP, _INSET, _FOOT = 112, 56, 16, 16, 32
_FIELD = 112
_SMOOTH_FROM = 64


def cam_picture(
    frame: CamFrame | None,
    images: Sequence[InputImage],
    state: Mapping[str, Any],
    *,
    layer: str,
    target: int | None = None,
    contrast: int | str | None = None,
    names: Sequence[str] = (),
    own: str = "",
    opacity: float = 0.5,
    contour: float = 0.5,
    colormap: str = "viridis",
    signed: bool = False,
    theme: Theme = LIGHT,
    scale: int = 2,
) -> bytes:
    """Return the picture as a PNG of at most 100 KB.

    Args:
        frame: what was computed; None: the state says why there is nothing.
        images: as they are shown; the first 4 are drawn, and the picture says so.
        state: the widget's state, for the model and messages.
        layer: key of the layer drawn.
        target: class explained in all images; None: what the frame says.
        contrast: class it is held against; ``"second"``: the next probable one.
        names: of the classes.
        own: name of a target that is no single class.
        opacity: of the colours over the image.
        contour: share of the maximum at which a line is drawn; 0: none.
        colormap: of positive maps.
        signed: draw negative values too, around a white zero.
        theme: colours.
        scale: device pixels for one of ``WIDTH_PX``.
    """
    rows = 0 if frame is None else min(MOST_ROWS, len(frame.names))
    height = _TOP + rows * (_SIDE + _GAP) + (_FOOT if rows else 72)
    picture = Picture(WIDTH_PX, height, theme, scale=scale)
    if frame is None:
        _nothing(picture, state)
        return picture.png(limit_bytes=LIMIT_BYTES)
    _heading(picture, frame, layer)
    colours = table("diverging" if signed else colormap)
    for row in range(rows):
        cls = frame.explained[row] if target is None else target
        against = _against(frame, row, cls, contrast)
        image = images[row] if row < len(images) else None
        raw = frame.raw(row, layer, cls, against)
        y = _TOP + row * (_SIDE + _GAP)
        boxes = [
            (x, y, x + _SIDE, y + _SIDE)
            for x in (_INSET, 2 * _INSET + _SIDE, 3 * _INSET + 2 * _SIDE)
        ]
        base = _base(image)
        if base is None:
            picture.hatch(boxes[0])
            base = np.full((_FIELD, _FIELD, 3), 255, np.uint8)
        else:
            picture.pixels(_resized(base, scale), boxes[0])
        shown = None if raw is None else _shown(raw, signed=signed)
        most = np.float32(0 if shown is None else np.abs(shown).max())
        if shown is None or most == 0:
            picture.pixels(_resized(base, scale), boxes[1])
            picture.hatch(boxes[2])
        else:
            overlay = _blend(_resized(base, scale), shown / most, colours, opacity, signed)
            picture.pixels(overlay, boxes[1])
            _line(picture, shown, float(most) * contour, boxes[1])
            picture.pixels(_coloured(shown / most, colours, signed), boxes[2])
        given = _Names(names, own)
        _words(picture, frame, row, (cls, against), given, raw, (boxes[2][2] + _INSET, y))
    note = f"{_checked(frame, state, layer)}Colour: value ÷ the map's maximum; "
    note += f"line at {100 * contour:.0f} % of it."
    if len(frame.names) > rows:
        note += f" {len(frame.names) - rows} more images are not drawn."
    notes = {image.note for image in images[:rows] if image.note}
    if notes:
        note += f" Image: {'; '.join(sorted(notes))}."
    at = (_INSET, height - 24)
    picture.text(at, note, size=11, color=theme.second, max_width=WIDTH_PX - 2 * _INSET)
    return picture.png(limit_bytes=LIMIT_BYTES)


def _checked(frame: CamFrame, state: Mapping[str, Any], layer: str) -> str:
    """Say what checks of these maps have found."""
    trust = (state.get("cam") or {}).get("trust") or {}
    shown = (layer, frame.method, frame.step)
    return "".join(
        f"Checked, {frame.names[each['row']]}: {each['verdict']} "
        for each in trust.get("answers", {}).values()
        if each["verdict"] and (each["layer"], each["method"], each["step"]) == shown
        and each["row"] < len(frame.names)
    )  # fmt: skip


def _shown(raw: NDArray[np.float32], *, signed: bool) -> NDArray[np.float32]:
    return np.nan_to_num(raw if signed else np.maximum(raw, np.float32(0)))


def _heading(picture: Picture, frame: CamFrame, layer: str) -> None:
    theme, info = picture.theme, frame.find(layer)
    x = _INSET + picture.text((_INSET, 16), layer, bold=True, max_width=360)
    said = f"step {frame.step}, {frame.method}, eval mode"
    if info is not None:
        said = f"{info.type}, {'×'.join(map(str, info.shape))}    {said}"
    picture.text((x + 12, 16), said, color=theme.second, max_width=WIDTH_PX - x - 28)
    picture.rect((0, 43, WIDTH_PX, 44), fill=theme.rule)


def _nothing(picture: Picture, state: Mapping[str, Any]) -> None:
    message = (state.get("cam") or {}).get("message") or {"title": "No maps yet."}
    picture.text((_INSET, 16), state.get("model") or "Grad-CAM", bold=True)
    picture.text((_INSET, 52), message["title"], bold=True, max_width=WIDTH_PX - 2 * _INSET)
    lines = " ".join([*message.get("lines", []), message.get("code_line", "")])
    for at, line in enumerate(picture.wrap(lines, WIDTH_PX - 2 * _INSET, size=12)[:3]):
        picture.text((_INSET, 72 + 16 * at), line, size=12, color=picture.theme.second)


def _against(frame: CamFrame, row: int, cls: int, contrast: int | str | None) -> int:
    if contrast is None:
        return NONE
    if isinstance(contrast, int):
        return contrast
    return next((each for each, _ in frame.tops[row] if each != cls), NONE)


@dataclass(frozen=True, slots=True)
class _Names:
    classes: Sequence[str]
    own: str

    def of(self, cls: int) -> str:
        if cls == OWN:
            return self.own or "your target"
        return self.classes[cls] if 0 <= cls < len(self.classes) else f"class {cls}"


def _words(
    picture: Picture,
    frame: CamFrame,
    row: int,
    held: tuple[int, int],
    names: _Names,
    raw: NDArray[np.float32] | None,
    at: tuple[float, float],
) -> None:
    theme, (x, y), room = picture.theme, at, WIDTH_PX - at[0] - _INSET
    cls, against = held
    explained = names.of(cls) + ("" if against == NONE else f" − {names.of(against)}")
    wide = picture.text((x, y - 2), frame.names[row], bold=True, max_width=160)
    label = frame.labels[row]
    if label is not None:
        wrong = bool(frame.tops[row]) and frame.tops[row][0][0] != label
        colour = theme.error if wrong else theme.second
        picture.text((x + wide + 12, y - 2), f"label {names.of(label)}", color=colour)
    for place, (each, p) in enumerate(frame.tops[row][:5]):
        line = y + 16 + 16 * place
        on = each == cls
        name = names.of(each)
        picture.text((x, line), name, size=12, bold=on, max_width=room - 200)
        picture.rect((x + room - 180, line + 5, x + room - 60, line + 11), fill=theme.rule)
        if math.isfinite(p):
            ink = theme.accent if on else theme.bars
            picture.rect((x + room - 180, line + 5, x + room - 180 + 120 * p, line + 11), fill=ink)
            picture.text((x + room, line), percent(p, 1), size=12, align="right")
    said = _range(raw, explained)
    picture.text((x, y + _SIDE - 15), said, size=11, color=theme.second, max_width=room)


def _range(raw: NDArray[np.float32] | None, explained: str) -> str:
    if raw is None:
        return f"{explained}: no map was computed"
    finite = raw[np.isfinite(raw)]
    if len(finite) < raw.size:
        return f"{explained}: {raw.size - len(finite)} of {raw.size} values are not finite"
    if not raw.any():
        return f"{explained}: exactly 0, no gradient reaches this layer"
    if float(raw.max()) <= 0:
        return f"{explained}: all {raw.size} values ≤ 0, down to {float(raw.min()):.3g}"
    return f"map of {explained}, {raw.shape[0]}×{raw.shape[1]}: {raw.min():.3g} to {raw.max():.3g}"


def _base(image: InputImage | None) -> NDArray[np.uint8] | None:
    if image is None or image.pixels is None:
        return None
    return np.asarray(Image.fromarray(np.ascontiguousarray(image.pixels)).convert("RGB"))


def _resized(pixels: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Enlarge or shrink to the size drawn: photographs smoothly, small pictures by their pixels."""
    how = (
        Image.Resampling.BILINEAR
        if max(pixels.shape[:2]) > _SMOOTH_FROM
        else Image.Resampling.NEAREST
    )
    side = _SIDE * scale
    return np.asarray(Image.fromarray(pixels).resize((side, side), how))


def _field(shown: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Resize bilinearly with half-pixel centres, as the live view does."""
    rows, columns = (_axis(size, side) for size in shown.shape)
    (top, bottom, down), (left, right, along) = rows, columns
    above = shown[top][:, left] * (1 - along) + shown[top][:, right] * along
    below = shown[bottom][:, left] * (1 - along) + shown[bottom][:, right] * along
    return np.asarray(above * (1 - down[:, None]) + below * down[:, None], np.float32)


def _axis(size: int, side: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    at = np.maximum((np.arange(side) + 0.5) * size / side - 0.5, 0)
    low = np.minimum(np.floor(at).astype(np.intp), size - 1)
    return low, np.minimum(low + 1, size - 1), at - low


def _coloured(
    share: NDArray[np.float32], colours: NDArray[np.uint8], signed: bool
) -> NDArray[np.uint8]:
    at = (share + 1) / 2 if signed else share
    return np.asarray(colours[np.rint(255 * np.clip(at, 0, 1)).astype(int)])


def _blend(
    base: NDArray[np.uint8],
    share: NDArray[np.float32],
    colours: NDArray[np.uint8],
    opacity: float,
    signed: bool,
) -> NDArray[np.uint8]:
    field = _field(share, len(base))
    alpha = (opacity * np.abs(field))[..., None]
    mixed = base * (1 - alpha) + _coloured(field, colours, signed) * alpha
    return np.rint(mixed).astype(np.uint8)


def _line(picture: Picture, shown: NDArray[np.float32], level: float, box: Box) -> None:
    """White on black where the map crosses a level, and its negative."""
    if level <= 0:
        return
    field = _field(shown, _FIELD)
    for values in (field, -field):
        pieces = contour(values, level)
        if not len(pieces):
            continue
        points = np.full((len(pieces), 3, 2), np.nan)
        points[:, :2] = pieces * (_SIDE / _FIELD) + np.array(box[:2])
        for colour, width in (("#000000", 3.0), ("#ffffff", 1.25)):
            picture.polyline(points.reshape(-1, 2), colour, width=width, clip=box)
