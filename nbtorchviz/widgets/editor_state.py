"""What an input editor says: how much was painted, and what that did to the prediction."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.analysis.cam_frame import OWN
from nbtorchviz.analysis.packets import pack
from nbtorchviz.analysis.painting import Painting
from nbtorchviz.analysis.quantise import pool
from nbtorchviz.analysis.ticks import percent
from nbtorchviz.session.cam_compute import CamShot
from nbtorchviz.widgets.cam_state import named

MOST_CLASSES = 5
MOST_SIDE = 224
_AFTER, _BEFORE = 4, 2
"""So many of the most probable classes after and before the edit are shown."""
MIDDLE = 127
"""Code of a difference of 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Probability of one class."""

    cls: int
    name: str
    before: float | None
    """Of the unedited image, by the same weights; None where nothing was edited."""
    after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the model makes of the edited image."""

    step: int
    edit: int
    """Which edit it is of; smaller than the newest: it is still being computed."""
    explained: Change | None
    """The class that the map explains; None where the model gives no class scores."""
    flip: tuple[str, str] | None
    """Predicted before and now, where the edit made that another class."""
    changes: tuple[Change, ...]
    """Most probable first."""


def outcome_of(
    shot: CamShot | None, row: int, cls: int | None, names: Sequence[str]
) -> Outcome | None:
    """Return what is known of image ``row``; None before anything was computed.

    Args:
        shot: the newest maps.
        row: the image.
        cls: class that is explained; None: the predicted one.
        names: of the classes.
    """
    if shot is None:
        return None
    if shot.p.shape[1] < 2:
        return Outcome(step=shot.frame.step, edit=shot.edit, explained=None, flip=None, changes=())
    after, before = shot.p[row], shot.unedited.get(row)

    def change(index: int) -> Change:
        return Change(
            cls=index,
            name=named(index, names),
            before=None if before is None else float(before[index]),
            after=float(after[index]),
        )

    first = np.argsort(-after, kind="stable")[:_AFTER].tolist()
    earlier = [] if before is None else np.argsort(-before, kind="stable").tolist()
    chosen = shot.frame.explained[row] if cls is None else cls
    if chosen == OWN or chosen >= len(after):
        chosen = first[0]
    wanted = dict.fromkeys([chosen, *first[:1], *earlier[:_BEFORE], *first])
    shown = sorted(list(wanted)[:MOST_CLASSES], key=lambda index: -after[index])
    return Outcome(
        step=shot.frame.step,
        edit=shot.edit,
        explained=change(chosen),
        flip=(named(earlier[0], names), named(first[0], names))
        if earlier and earlier[0] != first[0]
        else None,
        changes=tuple(map(change, shown)),
    )


def signed_difference(painting: Painting) -> NDArray[np.float32]:
    """Return of each pixel the largest change over the channels, with its sign: (h, w)."""
    difference = np.nan_to_num(painting.difference.cpu().numpy(), posinf=0.0, neginf=0.0)
    largest = np.abs(difference).argmax(0)[None]
    return np.asarray(np.take_along_axis(difference, largest, axis=0)[0], np.float32)


def result_packet(painting: Painting, outcome: Outcome | None, *, seq: int, edit: int) -> bytes:
    """Return one packet for the editor's view; ``static/src/editor_view.js`` reads it.

    Args:
        painting: what was painted.
        outcome: what the model makes of it.
        seq: number that views ack.
        edit: number of the newest edit.
    """
    difference = signed_difference(painting)
    explained = None if outcome is None else outcome.explained
    most = float(np.abs(difference).max())
    factor = -(-max(difference.shape) // MOST_SIDE)
    small = pool(difference, factor) if factor > 1 else difference
    codes = np.rint(MIDDLE + MIDDLE * small / (most or 1.0)).clip(0, 2 * MIDDLE)
    header: dict[str, Any] = {
        "version": 1,
        "seq": seq,
        "edit": edit,
        "changed": painting.changed,
        "pixels": int(math.prod(painting.size)),
        "channels": painting.channels,
        "most": most,
        "strokes": len(painting.strokes),
        "computed": outcome is not None and outcome.edit == edit,
        "step": None if outcome is None else outcome.step,
        "explained": None if explained is None else explained.cls,
        "flip": None if outcome is None else outcome.flip,
        "classes": [] if outcome is None else [_listed(each) for each in outcome.changes],
    }
    return pack(header, {"difference": codes.astype(np.uint8)})


def _listed(change: Change) -> list[Any]:
    return [change.cls, change.name, _number(change.before), _number(change.after)]


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def words_of(painting: Painting, outcome: Outcome | None) -> list[str]:
    """Return what was painted and what it did as sentences without their full stop."""
    pixels = math.prod(painting.size)
    if not painting.changed:
        said = ["no pixel changed"]
    else:
        share = 100 * painting.changed / pixels
        said = [f"{painting.changed} of {pixels} pixels changed ({share:.1f} %)"]
    change = None if outcome is None else outcome.explained
    if outcome is None or change is None:
        return said
    if outcome.flip is not None:
        said.append(f"now predicted {outcome.flip[1]}, before {outcome.flip[0]}")
    before = "" if change.before is None else f"{_percent(change.before)} → "
    return [*said, f"{change.name}: {before}{_percent(change.after)}"]


def _percent(share: float) -> str:
    return percent(share, 1) if math.isfinite(share) else "not a number"
