"""Painting on an image of a GradCAMViewer: one editor at a time, shown under the viewer."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from nbtorchviz.arguments import whole
from nbtorchviz.live.host import kernel_loop_call
from nbtorchviz.widgets.cam_streams import CamStreams
from nbtorchviz.widgets.editor_state import Outcome, outcome_of
from nbtorchviz.widgets.input_editor import InputEditor

if TYPE_CHECKING:
    from nbtorchviz.session import Session

EDIT = "edit "
"""Begins what a view asks for: ``"edit 2"``."""


class CamEditing(CamStreams):
    """The part of a GradCAMViewer that knows of its editor."""

    class_names: tuple[str, ...]
    _editor: InputEditor | None = None

    @property
    def editor(self) -> InputEditor | None:
        """The open editor, if any."""
        return self._editor

    @property
    def refusal(self) -> str:
        """Why the newest attempt gave no maps; ``""`` where it did."""
        error = self._desk.error
        return "" if error is None else str(error)[:300] or type(error).__name__

    def edit(self, row: int = 0) -> InputEditor:
        """Paint on one of the images: opens an editor under the viewer and returns it.

        An editor that was open on another image is closed, and that image is as it was again.

        Args:
            row: which image, from 0.

        Raises:
            TypeError, ValueError: there is no such image, or it is no picture.
        """
        images = self._desk.images
        if images is None:
            raise ValueError("There are no images to paint on yet; give some: viewer.show(images).")
        row = whole("row", row)
        if row >= len(images):
            raise ValueError(f"row must be from 0 to {len(images) - 1}, got {row}.")
        if self._editor is not None and self._editor.row == row:
            return self._editor
        self._close_editor()
        self._editor = InputEditor(self, row, images)
        self._state_stream.mark(urgent=True)
        return self._editor

    def explain_edits(
        self, edits: Mapping[int, Tensor], *, draft: bool = False, later: bool = False
    ) -> int:
        """Explain images that were painted on; return the number of this edit, 0: none is left.

        Args:
            edits: pictures (C, H, W) by row.
            draft: more is to come at once.
            later: called beside what the main thread does, so that the model must not run here.
        """
        if self._choice.step is not None:  # maps of earlier steps are of the image as it was
            self._take({"step": None})
        number = self._desk.edit(edits, draft=draft)
        self._compute_edit(later=later)
        return number

    def finish_edit(self, *, later: bool) -> None:
        """Note that the draft which was explained last is the stroke: its other classes are due."""
        self._desk.finish_edit()
        self._compute_edit(later=later)

    def _compute_edit(self, *, later: bool) -> None:
        if not (later and kernel_loop_call(self._desk.run_when_idle)):
            self._desk.run_when_idle()

    def outcome(self, row: int) -> Outcome | None:
        """Return what the newest maps say of an image and of what it was before."""
        return outcome_of(self._desk.shot, row, self._choice.target, self.class_names)

    def forget_editor(self, editor: InputEditor) -> bool:
        """Note that the editor closes; False when it was not this viewer's any more."""
        if self._editor is not editor:
            return False
        self._editor = None
        self._state_stream.mark(urgent=True)
        return True

    def close(self) -> None:
        """Close the editor, then the viewer."""
        self._close_editor()
        super().close()

    def _close_editor(self) -> None:
        if self._editor is not None:
            self._editor.close()

    def _bind(self, session: "Session") -> None:
        self._close_editor()  # another model has taken the place of the one it showed
        super()._bind(session)

    def _computed(self) -> None:
        super()._computed()
        editor = self._editor
        if editor is not None:
            editor.computed()

    def _on_action(self, action: str) -> None:
        if action.startswith(EDIT):
            self.edit(int(action.removeprefix(EDIT)))
        else:
            super()._on_action(action)

    @abstractmethod
    def _take(self, changes: dict[str, Any]) -> None:
        """Take over choices made in the browser or by another widget."""

    def _state(self) -> dict[str, Any]:
        editor = self._editor
        shown = None if editor is None else {"id": editor.model_id, "row": editor.row}
        return {**super()._state(), "editor": shown}
