"""The controls of a training as a PNG, drawn without a browser: state, breakpoints, knobs."""

from collections.abc import Mapping, Sequence
from typing import Any

from nbtorchviz.analysis.drawing import LIGHT, Picture, Theme
from nbtorchviz.analysis.picture_status import HEADER_PX, draw_header

LIMIT_BYTES = 100_000
WIDTH_PX = 900
MOST_ROWS = 12
_ROW, _STATE = 22, 40
_MIDDLE, _EDGE = WIDTH_PX // 2, 16


def controls_picture(state: Mapping[str, Any], *, theme: Theme = LIGHT, scale: int = 2) -> bytes:
    """Return the picture as a PNG of at most 100 KB.

    Args:
        state: of the widget; its ``controls`` part is drawn.
        theme: colours.
        scale: device pixels for one of ``WIDTH_PX``.
    """
    controls: Mapping[str, Any] = state.get("controls") or {}
    left, right = _breakpoints(controls), _knobs(controls)
    rows = max(len(left), len(right), 2)
    picture = Picture(WIDTH_PX, HEADER_PX + _STATE + 36 + _ROW * rows + 12, theme, scale=scale)
    draw_header(picture, {}, state)
    _state(picture, controls)
    top = HEADER_PX + _STATE
    picture.polyline([(_MIDDLE, top), (_MIDDLE, picture.height_px)], theme.rule)
    for x, title, table in ((0, "Breakpoints", left), (_MIDDLE, "Knobs", right)):
        picture.text((x + _EDGE, top + 10), title, bold=True)
        _table(picture, x + _EDGE, top + 36, table)
    return picture.png(limit_bytes=LIMIT_BYTES)


def _state(picture: Picture, controls: Mapping[str, Any]) -> None:
    theme = picture.theme
    phase = controls.get("phase", "")
    bottom = HEADER_PX + _STATE
    picture.rect((0, HEADER_PX + 1, WIDTH_PX, bottom), fill=theme.panel)
    colour = {"running": theme.live, "paused": theme.accent, "stopping": theme.warn}
    picture.dot((22, HEADER_PX + 20), 4.5, colour.get(str(phase), theme.bars))
    title = str(controls.get("title", ""))
    x = 36 + picture.text((36, HEADER_PX + 11), title, bold=True, max_width=300) + 12
    why = str(controls.get("why", ""))
    picture.text((x, HEADER_PX + 11), why, color=theme.second, max_width=WIDTH_PX - x - _EDGE)


def _table(picture: Picture, x: float, top: float, rows: Sequence[tuple[str, str]]) -> None:
    theme = picture.theme
    for index, (name, said) in enumerate(rows):
        y = top + _ROW * index
        width = picture.text((x, y), name, max_width=_MIDDLE - 2 * _EDGE)
        left = max(x + 140, x + width + 12)
        room = x + _MIDDLE - 2 * _EDGE - left
        if said and room > 24:
            picture.text((left, y), said, color=theme.second, max_width=room)


def _breakpoints(controls: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = list(controls.get("breakpoints") or ())
    rows = [(each["text"], f"{hits_text(each['hits'])}, {each['state']}") for each in found]
    return _cut(rows, "breakpoints") or [("No breakpoint.", "")]


def _knobs(controls: Mapping[str, Any]) -> list[tuple[str, str]]:
    values = [*(controls.get("settings") or ()), *(controls.get("dropout") or ())]
    rows = [(each["title"], f"{each['value']}  {each['where']}".strip()) for each in values]
    if frozen := controls.get("frozen"):
        rows.append(("Frozen", ", ".join(frozen)))
    changes = list(controls.get("changes") or ())[:3]
    rows += [(f"after step {each['step']}", each["text"]) for each in changes]
    return _cut(rows, "rows") or [("No optimizer is known yet.", "")]


def _cut(rows: list[tuple[str, str]], what: str) -> list[tuple[str, str]]:
    if len(rows) <= MOST_ROWS:
        return rows
    return [*rows[: MOST_ROWS - 1], (f"{len(rows) - MOST_ROWS + 1} more {what}", "")]


def hits_text(hits: int) -> str:
    """Count hits in words."""
    return "1 hit" if hits == 1 else f"{hits or 'no'} hits"
