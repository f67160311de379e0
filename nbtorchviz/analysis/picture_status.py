"""Header line and state sentences of a static picture."""

from collections.abc import Mapping
from typing import Any

from nbtorchviz.analysis.drawing import Picture

HEADER_PX = 40
_LIVE_MODES = {"live", "background", "one-way", "idle", "", None}
"""Modes that say how controls answer, which a picture has none of."""


def draw_header(picture: Picture, header: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Draw what is shown, from when, and in which state."""
    theme, width = picture.theme, picture.width_px
    picture.polyline([(0, HEADER_PX), (width, HEADER_PX)], theme.rule)
    chip = state.get("chip") or {}
    end = width - 16.0
    mode = chip.get("mode")
    end -= _chip(picture, end, "snapshot" if mode in _LIVE_MODES else str(mode)) + 16
    name = header.get("layer") or state.get("model") or ""
    x = 16 + picture.text((16, 11), str(name), bold=True, max_width=320) + 8
    if header.get("layer") and header.get("view") != "none":
        size = "×".join(map(str, header.get("shape") or ())) or "one number"
        what = f"{header.get('type', '')}, {size}"
        if header.get("show") == "gradient":
            what = f"gradient of the loss w.r.t. {what}"
        x += picture.text((x, 11), what, color=theme.second, max_width=max(0, end - x - 150)) + 16
        picture.polyline([(x, 10), (x, 30)], theme.rule)
        x += 16
        x += picture.text((x, 11), f"step {header.get('step', 0)}") + 8
        word = {"pinned": "pinned input", "twin": "eager copy"}.get(str(header.get("source")), "")
        phase = ", ".join(part for part in (str(header.get("phase", "")), word) if part)
        picture.text((x, 11), phase, color=theme.second, max_width=max(0, end - x))
    elif not header.get("layer"):
        steps = state.get("step") or 0
        picture.text((x, 11), f"step {steps}" if steps else "no step yet", color=theme.second)


def draw_status(
    picture: Picture, at: tuple[float, float], width: float, status: Mapping[str, Any]
) -> float:
    """Draw a state's sentences, and the table of shapes on the way to a failure.

    Returns:
        The height used.
    """
    theme = picture.theme
    level = status.get("level", "info")
    edge = {"error": theme.error, "warn": theme.warn}.get(str(level), theme.second)
    fill = {"error": theme.error_panel, "warn": theme.warn_panel}.get(str(level), theme.panel)
    left, top = at
    lines = [
        line for text in status.get("lines") or () for line in picture.wrap(str(text), width - 40)
    ]
    code = status.get("code_line")
    title = picture.wrap(str(status.get("title", "")), width - 40)
    height = 16 + 20 * len(title) + 18 * len(lines) + (26 if code else 0)
    picture.rect((left, top, left + width, top + height), fill=fill)
    picture.rect((left, top, left + 4, top + height), fill=edge)
    y = top + 8
    for line in title:
        picture.text((left + 20, y), line, bold=True)
        y += 20
    for line in lines:
        picture.text((left + 20, y), line.replace("`", ""), max_width=width - 40)
        y += 18
    if code:
        picture.text((left + 20, y + 4), str(code), color=theme.accent, max_width=width - 40)
    table = status.get("table") or ()
    return height + (_trail(picture, (left, top + height + 16), table) + 16 if table else 0)


def _trail(picture: Picture, at: tuple[float, float], table: Any) -> float:
    """Draw layer, type and shape of what ran; the last row is where it failed."""
    theme = picture.theme
    left, top = at
    rows = list(table)[-16:]
    head = "The batch on its way through the model"
    if len(rows) < len(table):
        head += f", last {len(rows)} of {len(table)} layers"
    picture.text((left, top), head, size=12, color=theme.second)
    for index, (layer, kind, shape) in enumerate(rows):
        y = top + 26 + 24 * index
        last = index == len(rows) - 1
        color = theme.error if last else theme.text
        picture.text((left, y), str(layer), bold=last, color=color, max_width=220)
        picture.text((left + 236, y), str(kind), color=theme.second, max_width=160)
        picture.text((left + 412, y), str(shape), color=color, max_width=440)
    return 26.0 + 24 * len(rows)


def _chip(picture: Picture, right: float, mode: str) -> float:
    theme = picture.theme
    failed = mode in ("error", "forward failed")
    color = theme.error if failed else theme.live if mode == "finished" else theme.second
    width = picture.text_width(mode, size=12) + 38
    box = (right - width, 8.0, right, 32.0)
    picture.rect(box, fill=theme.panel, outline=theme.rule, radius=12)
    picture.dot((right - width + 14, 20), 4, color)
    picture.text((right - width + 26, 12), mode, size=12)
    return width
