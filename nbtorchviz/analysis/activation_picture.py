"""Draw an ActivationBrowser as a PNG, from the same frame that its live view paints.

It is what a saved notebook, an HTML export and GitHub show. It says by itself what it shows:
layer, shape, step, scale, input; and in place of a missing picture, the reason.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from nbtorchviz.analysis.colormaps import code_table
from nbtorchviz.analysis.drawing import Picture, Theme, blends, theme_named
from nbtorchviz.analysis.picture_frame import INSET, WIDTH_PX, Arrays, Facts, Frame
from nbtorchviz.analysis.picture_status import draw_header, draw_status
from nbtorchviz.analysis.quantise import LEVELS

LIMIT_BYTES = 100_000
_TALLEST = 1600
_LIVE_ONLY = {"one_way"}
"""States that concern controls, which a picture has none of."""


def activation_picture(
    header: Facts,
    arrays: Arrays,
    state: Facts,
    theme: str = "light",
    *,
    channel: int = 0,
    colormap: str = "viridis",
    normalize: str = "channel",
    limit_bytes: int = LIMIT_BYTES,
) -> bytes:
    """Draw what the browser shows, 900 px wide, as a PNG.

    Args:
        header: of the frame packet; empty before the first frame.
        arrays: of the frame packet.
        state: the widget's ``state`` trait: model, status, chip.
        theme: ``"light"`` or ``"dark"``.
        channel: drawn large.
        colormap: signed values get a zero-centred map instead, unless it is ``"gray"``.
        normalize: ``"channel"``: each on its own scale; else all on one.
        limit_bytes: drawn at 2 device pixels per CSS pixel if that fits, else at 1.
    """
    choice = (channel, colormap, normalize)
    look = theme_named(theme)
    palette = _palette(header, arrays, state, look, colormap)
    data = b""
    for scale in (2, 1):
        picture = _compose(header, arrays, state, look, scale, choice)
        data = picture.png(palette=palette)
        if len(data) <= limit_bytes:
            return data
    return picture.png(limit_bytes=limit_bytes)


def _palette(
    header: Facts, arrays: Arrays, state: Facts, theme: Theme, colormap: str
) -> NDArray[np.uint8]:
    """Choose 256 colours: those of text and marks, many of the colour map, the input's own."""
    marks = (theme.text, theme.second, theme.accent, theme.warn, theme.error, theme.bars)
    flat = (theme.panel, theme.rule, theme.grid, theme.warn_panel, theme.error_panel, theme.live,
            theme.edge, theme.background, "#ffffff", "#000000")  # fmt: skip
    used = _colormap(header, state, colormap)
    rows = code_table(used)
    parts = [
        blends(marks, theme.background),
        blends(flat, theme.background, 1),
        rows[LEVELS + 1 :],
        rows[np.linspace(0, LEVELS, 160).astype(int)],
    ]
    pixels = arrays.get("input")
    if pixels is not None:
        image = Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB")
        own = image.quantize(48, Image.Quantize.MEDIANCUT).getpalette("RGB") or []
        parts.append(np.array(own[: 48 * 3], np.uint8).reshape(-1, 3))
    colors: NDArray[np.uint8] = np.concatenate(parts)
    # Pillow looks colours up in a coarse grid: a neighbour of the background would replace it.
    ground = np.array(ImageColor.getrgb(theme.background)[:3])
    apart = np.abs(colors.astype(int) - ground).max(axis=1)
    kept: NDArray[np.uint8] = colors[(apart == 0) | (apart > 8)][:256]
    return kept


def _colormap(header: Facts, state: Facts, colormap: str) -> str:
    """Gray for what is gone, zero-centred for signed values, else as asked."""
    if (state.get("status") or {}).get("level") == "gone":
        return "gray"
    return "diverging" if header.get("signed") and colormap != "gray" else colormap


def _compose(
    header: Facts,
    arrays: Arrays,
    state: Facts,
    theme: Theme,
    scale: int,
    choice: tuple[int, str, str],
) -> Picture:
    picture = Picture(WIDTH_PX, _TALLEST, theme, scale=scale)
    draw_header(picture, header, state)
    top = 56.0
    status = state.get("status") or {}
    if status and status.get("code") not in _LIVE_ONLY:
        top += draw_status(picture, (INSET, top), WIDTH_PX - 2 * INSET, status) + 16
    view = header.get("view", "none")
    if view == "none" or "planes" not in arrays:
        message = header.get("message") or "; ".join(header.get("notes", ()))
        if message and status.get("code") not in ("waiting", "forward_failed"):
            picture.text((INSET, top), message, size=14, bold=True, max_width=860)
            top += 32
        picture.crop(round(top))
        return picture
    channel, colormap, normalize = choice
    colormap = _colormap(header, state, colormap)
    frame = Frame(picture, header, arrays, channel, colormap, normalize)
    picture.crop(round(max(frame.left(top), frame.right(top))) + 12)
    return picture
