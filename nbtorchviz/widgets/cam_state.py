"""What a GradCAMViewer says about itself: result, summary, and in words why there is no map."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from nbtorchviz.analysis.cam_frame import NONE, OWN, CamFrame
from nbtorchviz.analysis.ticks import percent
from nbtorchviz.attribution.input_maps import runs_of
from nbtorchviz.attribution.methods import ALL_METHODS, INPUT_METHODS, INSTALL, has_captum
from nbtorchviz.attribution.result import CamResult
from nbtorchviz.errors import NoMapError
from nbtorchviz.session import Session
from nbtorchviz.session.cam_compute import ONE_SCORE, SECOND, CamShot
from nbtorchviz.session.cam_desk import CamDesk
from nbtorchviz.session.cam_images import first_batch
from nbtorchviz.widgets.cam_choice import CamChoice

LINE = "nbv.GradCAMViewer(model, images)"


def held(frame: CamFrame, row: int, choice: CamChoice) -> tuple[int, int]:
    """Return the class explained in an image, and the one that it is held against."""
    cls = frame.explained[row] if choice.target is None else choice.target
    if choice.contrast == SECOND:
        return cls, next((each for each, _ in frame.tops[row] if each != cls), NONE)
    return cls, NONE if choice.contrast is None else int(choice.contrast)


def layer_of(frame: CamFrame, choice: CamChoice) -> str:
    """Return the layer that is shown: the chosen one, or the input where the method maps that."""
    return frame.layer if frame.method in INPUT_METHODS else choice.layer or frame.layer


def about_time(seconds: float) -> str:
    """Say how long something takes, in few steps, so that it does not flicker."""
    rough = next((each for each in (1, 2, 3, 5, 10, 20, 30, 60) if seconds <= each), None)
    if rough is None:
        return f"about {seconds / 60:.0f} min"
    return "under 1 s" if rough == 1 else f"about {rough} s"


def _costs(desk: CamDesk) -> dict[str, str]:
    """How long the methods take that are computed only when asked."""
    if desk.pass_s is None or desk.images is None:
        return {}
    each = desk.pass_s * len(desk.images)
    return {method: about_time(runs_of(method) * each) for method in INPUT_METHODS}


def result_of(shot: CamShot, choice: CamChoice) -> CamResult | None:
    """Return the raw maps of what is chosen; None where they were not computed."""
    frame, key = shot.frame, layer_of(shot.frame, choice)
    if key not in shot.keys or frame.method != choice.method:
        return None
    maps, targets = [], list[int | str]()
    for row in range(len(frame.names)):
        cls, against = held(frame, row, choice)
        slots = [frame.slot(row, cls), frame.slot(row, against), frame.slot(row, cls, against)]
        one, other, both = (
            None if slot is None else shot.passes[slot][key].maps[row] for slot in slots
        )
        if against == NONE:
            found = one
        elif both is None and frame.linear and one is not None and other is not None:
            found = one - other
        else:
            found = both
        if found is None:
            return None
        maps.append(found)
        name = shot.own if cls == OWN else cls
        targets.append(name if against == NONE else f"{name} - {against}")
    first = shot.passes[0][key]
    return CamResult(
        maps=np.stack(maps),
        layer=key,
        call=first.call,
        method=frame.method,
        targets=tuple(targets),
        logits=first.logits,
        axes=first.axes,
        notes=first.notes,
    )


def summary_of(
    session: Session, desk: CamDesk, choice: CamChoice, names: Sequence[str] = ()
) -> str:
    """Return layer, step and, per image, classes and the largest value, as stable text."""
    title = f"GradCAMViewer of {session.model_name}"
    result = None if desk.shot is None else result_of(desk.shot, choice)
    if desk.shot is None or (result is None and desk.error is not None):
        return f"{title}: {_missing(session, desk)['title']}{_reason(desk)}"
    frame = desk.shot.frame
    layer = layer_of(frame, choice)
    lines = [f"{title}: {frame.method} of {layer}, step {frame.step}, eval mode"]
    for row, image in enumerate(frame.names):
        cls, against = held(frame, row, choice)
        why = named(cls, names, own_name(desk.shot, names))
        if against != NONE:
            why += f" − {named(against, names)}"
        line = f"{image}: {why}"
        if frame.tops[row] and frame.classes_known > 1:
            best, p = frame.tops[row][0]
            line = f"{image}: predicted {named(best, names)} ({percent(p, 1)}), map of {why}"
        if result is not None:
            line += f", max {float(np.nanmax(result.maps[row])):.3g}"
        lines.append(line)
    return "\n  ".join(lines)


def _reason(desk: CamDesk) -> str:
    """The first line of what went wrong, after a space."""
    said = str(desk.error or "").strip().splitlines()[:1]
    return "".join(f" {line[:300]}" for line in said)


def own_name(shot: CamShot, names: Sequence[str]) -> str:
    """Name a target that is no single class: of two classes the second is what a score is for."""
    return f"the score of {names[1]}" if shot.own == ONE_SCORE and len(names) == 2 else shot.own


def named(cls: int, names: Sequence[str], own: str = "") -> str:
    """Return the name of a class."""
    if cls == OWN:
        return own or "your target"
    return names[cls] if 0 <= cls < len(names) else f"class {cls}"


def cam_state(state: dict[str, Any], session: Session, desk: CamDesk) -> dict[str, Any]:
    """Add to the state of all views what a GradCAMViewer's view needs: JSON values only."""
    shot = desk.shot
    message = None
    if shot is None or desk.error is not None:
        message = _missing(session, desk)
    status = state.get("status") or {}
    if status.get("code") == "waiting":  # there is something to see without any step
        state["status"] = None
        if shot is not None:
            state["chip"] |= {"mode": "idle", "why": "Computed once; training computes it anew."}
    steps = desk.tape.steps
    cam = {
        "message": message,
        "steps": steps,
        "methods": list(ALL_METHODS),
        "absent": {} if has_captum() else dict.fromkeys(INPUT_METHODS, INSTALL),
        "costs": _costs(desk),
        "busy": desk.wanted,
        "turns": desk.turns.state(),
    }
    return {**state, "cam": cam}


def _missing(session: Session, desk: CamDesk) -> dict[str, Any]:
    """Say why there are no maps, and what to do."""
    error = desk.error
    if error is not None:
        title = "No map can be drawn." if isinstance(error, NoMapError) else "No maps."
        if not isinstance(error, NoMapError | TypeError | ValueError):
            title = f"The maps could not be computed: {type(error).__name__}."
        lines = [str(error)[:600]]
        given = None if desk.images is None else first_batch(desk.images.inputs)
        if given is not None and given.dtype is torch.uint8:
            lines.append(
                "The images are uint8: give them as the model is trained on them, often "
                "images.float() / 255."
            )
        return _block("error", title, lines)
    if desk.images is None:
        lines = [
            "Give some, as the model takes them; or run your training loop: items of its batches "
            "are pinned here."
        ]
        return _block("info", "No images yet.", lines, LINE)
    if session.tap.gone:
        return _block("gone", "Model gone before any map was computed.", [])
    if session.running:
        return _block("info", "Maps come with the next step of the background run.", [])
    return _block("info", "Maps come with the next step.", [])


def _block(level: str, title: str, lines: list[str], code: str = "") -> dict[str, Any]:
    return {"level": level, "title": title, "lines": lines, "code_line": code}
