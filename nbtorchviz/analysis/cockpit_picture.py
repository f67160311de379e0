"""What stands above a stored cockpit: model, step, epoch, and what was found."""

from collections.abc import Mapping
from typing import Any

from nbtorchviz.analysis.drawing import LIGHT, Picture, Theme

WIDTH_PX = 900
MOST = 3
"""Findings that are written out."""
_LINE, _TOP = 22, 44


def cockpit_heading(
    state: Mapping[str, Any], gradients: Mapping[str, Any], theme: Theme = LIGHT, scale: int = 2
) -> bytes:
    """Return a PNG with a line about the model and one for each of the worst findings.

    Args:
        state: of the cockpit's header.
        gradients: ``findings_state`` of its session.
        theme: colours.
        scale: device pixels for one of ``WIDTH_PX``.
    """
    findings = [each for each in gradients["findings"] if each["active"]]
    findings.sort(key=lambda each: each["severity"] != "problem")
    told, more = findings[:MOST], len(findings) - MOST
    judged = gradients["judged"] is not None
    lines = len(told) or int(judged)
    picture = Picture(WIDTH_PX, _TOP + _LINE * lines + 8 * bool(lines), theme, scale=scale)
    x = 16 + picture.text((16, 12), state["model"], bold=True, max_width=400) + 10
    x += picture.text((x, 12), f"{state['parameters']:,} parameters", color=theme.second) + 24
    epoch = "" if state["epoch"] is None else f", epoch {state['epoch']:g}"
    picture.text((x, 12), f"step {state['step']}{epoch}" if state["step"] else "no step yet")
    picture.rect((0, 39, WIDTH_PX, 40), fill=theme.rule)
    for row, each in enumerate(told):
        y, ill = _TOP + _LINE * row, each["severity"] == "problem"
        picture.dot((22, y + 9), 4, theme.error if ill else theme.warn)
        left = row == MOST - 1 and more > 0
        used = picture.text((34, y), each["title"], max_width=WIDTH_PX - (150 if left else 50))
        if left:
            picture.text((46 + used, y), f"and {more} more", color=theme.second)
    if judged and not told:
        picture.text((16, _TOP), "Nothing wrong was found.", color=theme.live)
    return picture.png()
