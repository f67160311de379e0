"""InputEditor: paint on an image, and see what the model makes of it."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from nbtorchviz.analysis.editor_picture import editor_picture
from nbtorchviz.analysis.images import DisplayRule
from nbtorchviz.analysis.packets import unpack
from nbtorchviz.analysis.painting import Kind, Painting, Point, Stroke
from nbtorchviz.arguments import real
from nbtorchviz.live.host import in_subshell, kernel_loop_call
from nbtorchviz.session.cam_edits import edit_pin, picture_of
from nbtorchviz.session.cam_images import CamImages
from nbtorchviz.widgets.base import BUNDLE
from nbtorchviz.widgets.editor_arguments import Places, points_of, values_of, width_of
from nbtorchviz.widgets.editor_pad import MISSING, REMEDY, Pad
from nbtorchviz.widgets.editor_state import MOST_SIDE, Outcome, words_of
from nbtorchviz.widgets.editor_streams import EditorStreams

if TYPE_CHECKING:
    from nbtorchviz.widgets.gradcam_viewer import GradCAMViewer

TOOLS: tuple[Kind, ...] = ("brush", "erase", "rectangle")


class InputEditor(EditorStreams):
    """Paints on one image of a GradCAMViewer; the viewer then explains the painted image.

    Made by ``viewer.edit(row)``. Predictions and maps follow each stroke: at once where nothing
    trains, else at the next step. Widgets that show the same image as the session's pinned input
    follow too. Nothing that is painted touches the tensor that was given.

    Coordinates are those of ``plt.imshow``: x counts columns, y rows, whole numbers are the centres
    of pixels. Values are the model's own, after any normalisation.

    Args:
        viewer: whose image it is.
        row: which one.
        images: the images of the viewer, as they were given.

    Raises:
        ValueError: the image is no picture.
    """

    _esm = BUNDLE.with_name("editor.js")

    linked = False
    _made = False
    """Until the end of ``__init__``: ``Widget.__del__`` closes what was refused half-way too."""

    def __init__(self, viewer: "GradCAMViewer", row: int, images: CamImages) -> None:
        picture = picture_of(images, row)
        everything = torch.stack([picture_of(images, each) for each in range(len(images))])
        lowest = everything.movedim(1, 0).flatten(1).to("cpu", torch.float64).nan_to_num(np.inf)
        self.painting = Painting(picture, background=lowest.amin(1).clamp(max=1e38).tolist())
        self.viewer, self.row, self.name = viewer, row, images.names[row]
        self.private = viewer.private
        plain = DisplayRule(scale=(1.0,), offset=(0.0,), note="")
        self._rule = images.pictures[row].rule or plain
        height, width = self.painting.size
        unit = self._rule.unit(self._planes(self.painting.original)).clip(0, 1)
        self._tool: Kind = "brush"
        self._size = float(max(1, round(max(height, width) / 14)))
        self._ink: list[float] = [0.0 if unit.mean() > 0.5 else 1.0] * len(unit)
        """Brightness of each colour, from 0 to 1, with which the pad's brush paints."""
        self._painting_lock = threading.RLock()
        self._drawing = False
        self._edit, self._pinned = 0, picture
        self._here = threading.local()
        self._scale = -(-max(height, width) // MOST_SIDE)
        """Pixels of the picture for one of the pad."""
        shown = self._pixels(picture).shape
        with suppress(ImportError):  # the view says what to install
            self._pad = Pad(*shown[:2], pressed=self._pressed, ready=self._redraw)
        compact = bool(viewer.options.get("compact"))
        super().__init__(
            viewer.session,
            kind="input-editor",
            options={
                "compact": compact,
                "name": self.name,
                "size": [height, width],
                "pad": list(shown[:2]),
                "colours": len(unit),
            },
            pad="" if self._pad is None else self._pad.model_id,
        )
        self._made = True
        self._result_stream.mark(urgent=True)

    # What a user does -------------------------------------------------------------------------

    @property
    def image(self) -> Tensor:
        """The picture as it is now, (C, H, W) in the model's numbers; a copy."""
        with self._painting_lock:
            return self.painting.image.clone()

    @property
    def original(self) -> Tensor:
        """The picture as it was given; a copy."""
        return self.painting.original.clone()

    @property
    def difference(self) -> Tensor:
        """The picture minus the original, float32."""
        with self._painting_lock:
            return self.painting.difference

    def brush(
        self,
        points: Places,
        *,
        size: float | None = None,
        value: float | Sequence[float] | None = None,
    ) -> None:
        """Paint a line through ``points``.

        Args:
            points: one or more (x, y).
            size: width in pixels, at least 1; by default that of the pad's brush.
            value: of the model's input, one number or one per channel; by default the pad's.

        Raises:
            TypeError, ValueError: no such points, size or value, or all of it is outside.
        """
        channels = self.painting.channels
        values = self._ink_values() if value is None else values_of(value, channels)
        self._do("brush", points_of(points), self._width(size), values)

    def erase(self, points: Places, *, size: float | None = None) -> None:
        """Paint a line in the mean of the image, of each channel its own.

        Args:
            points: one or more (x, y).
            size: width in pixels, at least 1; by default that of the pad's brush.

        Raises:
            TypeError, ValueError: no such points or size, or all of it is outside.
        """
        self._do("erase", points_of(points), self._width(size), self.painting.mean)

    def rectangle(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Occlude a rectangle, both corners included, with the mean of the image.

        Args:
            x0: column of one corner.
            y0: row of one corner.
            x1: column of the other corner.
            y1: row of the other corner.

        Raises:
            TypeError, ValueError: no such corners, or all of it is outside.
        """
        corners = points_of([(x0, y0), (x1, y1)])
        self._do("rectangle", corners, 1.0, self.painting.mean)

    def blank(self) -> None:
        """Begin with an empty picture: of each channel the smallest value of all images."""
        self._do("blank", (), 1.0, self.painting.background)

    def reset(self) -> None:
        """Return to the image as it was given; ``undo`` takes this back."""
        self._do("reset", (), 1.0, ())

    def undo(self) -> bool:
        """Take the newest stroke back, exactly; False when there is none."""
        with self._painting_lock:
            self._drawing = False
            found = self.painting.undo()
        if found:
            self._changed()
        return found

    def summary(self) -> str:
        """Return how much was painted and what it did as stable text."""
        return f"InputEditor of {self.name}: {'; '.join(words_of(self.painting, self._outcome()))}"

    def snapshot(self) -> bytes:
        """Return the image before and after, and the difference, as a PNG."""
        header, arrays = unpack(self._packet(0))
        before, after = (
            self._pixels(each) for each in (self.painting.original, self.painting.image)
        )
        words = words_of(self.painting, self._outcome())
        return editor_picture(
            self.name, before, after, arrays["difference"], most=header["most"], words=words
        )

    def close(self) -> None:
        """Close the editor; the viewer explains the image as it was given again."""
        if self._made and self.viewer.forget_editor(self) and self.painting.changed:
            self._follow_pin(self._pinned, self.painting.original)
            self.viewer.explain_edits({}, later=self._heard)
        if self._pad is not None:
            pad, self._pad = self._pad, None
            pad.close()
        super().close()

    # Strokes ----------------------------------------------------------------------------------

    def _do(
        self, kind: Kind, points: tuple[Point, ...], size: float, values: Sequence[float]
    ) -> None:
        stroke = Stroke(kind=kind, points=points, size=size, values=tuple(values))
        height, width = self.painting.size
        if points and not self.painting.mask(stroke).any():
            raise ValueError(
                f"All of it is outside of the picture: x must be from 0 to {width - 1} and y from "
                f"0 to {height - 1}, got {[tuple(point) for point in points][:4]}."
            )
        with self._painting_lock:
            self._drawing = False
            self.painting.add(stroke)
        self._changed()

    def _pressed(self, kind: str, x: float, y: float) -> None:
        """Follow the pointer on the pad; called on the thread that takes messages."""
        try:
            with self._hearing():
                self._draw(kind, (self._scale * x - 0.5, self._scale * y - 0.5))
        except Exception as error:  # ipywidgets would write it to a log that nobody reads
            self.session.fault("painting", error)

    def _draw(self, kind: str, point: Point) -> None:
        with self._painting_lock:
            if kind == "down":
                self._drawing = changed = True
                self.painting.add(self._begun(point))
            elif not self._drawing:
                return
            elif kind == "move":
                changed = self.painting.extend(point)
            else:
                self._drawing = changed = False
                self.viewer.finish_edit(later=self._heard)
            if changed:
                self._changed(draft=True)

    def _begun(self, point: Point) -> Stroke:
        values = self._ink_values() if self._tool == "brush" else self.painting.mean
        points = (point, point) if self._tool == "rectangle" else (point,)
        return Stroke(kind=self._tool, points=points, size=self._size, values=values)

    @contextmanager
    def _hearing(self) -> Iterator[None]:
        """While a message is taken on this thread, the model must wait for the main loop."""
        before, self._here.heard = self._heard, True
        try:
            yield
        finally:
            self._here.heard = before

    @property
    def _heard(self) -> bool:
        return bool(getattr(self._here, "heard", False)) or in_subshell()

    def _changed(self, *, draft: bool = False) -> None:
        """Show the new picture, and have it explained."""
        with self._painting_lock:
            image = self.painting.image
            edits = {self.row: image} if self.painting.changed else {}
            old, self._pinned = self._pinned, image
            self._pad_stream.mark(urgent=True)
            self._follow_pin(old, image)
            self._edit = self.viewer.explain_edits(edits, draft=draft, later=self._heard)
        self._result_stream.mark(urgent=True)

    def _follow_pin(self, old: Tensor, new: Tensor) -> None:
        """Let widgets that show this image as the pinned input show the new one."""
        if not edit_pin(self.session, old, new):
            return
        if not (self._heard and kernel_loop_call(self.session.probe_when_idle)):
            self.session.probe_when_idle()

    def _ink_values(self) -> tuple[float, ...]:
        """The pad's colour in the model's numbers, one per channel."""
        channels, ink = self.painting.channels, self._ink
        if len(ink) == 1:
            return (self._rule.value(ink[0]),) * channels
        drawn = [self._rule.value(each, at) for at, each in enumerate(ink)]
        return (*drawn, *self.painting.mean[len(drawn) :])

    def _outcome(self) -> Outcome | None:
        return self.viewer.outcome(self.row)

    def _width(self, size: float | None) -> float:
        return self._size if size is None else width_of(size, max(self.painting.size))

    # From the view ----------------------------------------------------------------------------

    def _dispatch(self, content: dict[str, Any]) -> None:
        if content.get("type") == "ready" and self._pad is not None:
            self._pad.forget()  # the page may be new
        with self._hearing():
            super()._dispatch(content)

    def _on_intent(self, name: str, value: Any) -> None:
        with self._painting_lock:
            if name == "tool" and value in TOOLS:
                self._tool = value
            elif name == "size":
                self._size = self._width(value)
            elif name == "ink":
                ink = [real("ink", each, "from 0 to 1", lambda x: 0 <= x <= 1) for each in value]
                self._ink = ink if len(ink) == len(self._ink) else self._ink
            elif name == "stroke":  # by keyboard
                kind, x, y = value
                self._draw(str(kind), (float(x), float(y)))

    def _on_action(self, action: str) -> None:
        if action == "close":
            self.close()
        elif action in ("blank", "reset", "undo"):
            getattr(self, action)()

    def _state(self) -> dict[str, Any]:
        """Add to the state of all views what this one needs."""
        missing = [MISSING, REMEDY] if self._pad is None else None
        with self._painting_lock:
            editor = {
                "tool": self._tool,
                "size": self._size,
                "ink": list(self._ink),
                "low": self._rule.value(0.0),
                "high": self._rule.value(1.0),
                "missing": missing,
                "refusal": self.viewer.refusal,
            }
        return {**super()._state(), "editor": editor}

    def __repr__(self) -> str:
        return f"<InputEditor of {self.name}>"
