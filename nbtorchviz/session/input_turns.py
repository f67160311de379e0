"""Maps of the input while a model trains: made in pieces, of a copy, between its steps."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from nbtorchviz.attribution.input_maps import AT_ONCE
from nbtorchviz.attribution.pieces import Pieces
from nbtorchviz.attribution.reading import checked_model
from nbtorchviz.errors import NoMapError
from nbtorchviz.session.cam_compute import CamRequest, CamShot
from nbtorchviz.session.cam_images import CamImages
from nbtorchviz.session.cam_input import compute_input, input_pieces
from nbtorchviz.session.checkup_copy import CannotCopyError, copied, plain_hooks
from nbtorchviz.session.turns import SLICE_S, Turns


class InputTurns(Turns[CamShot]):
    """Makes one set of maps of the input at a time.

    The copy is made at the first piece: the maps are of the weights of that step, whatever the
    training does meanwhile. A model that cannot be copied is run in one piece, as it is.
    """

    _request: CamRequest | None = None
    _step = 0

    def start(
        self,
        images: CamImages,
        request: CamRequest,
        *,
        pass_s: float | None,
        ended: Callable[[CamShot], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Begin soon, in the place of what is under way.

        Args:
            images: what is explained.
            request: how; its method is one of ``INPUT_METHODS``.
            pass_s: seconds that a run of one image takes, so that a piece is no longer than it
                must be; None: not known.
            ended: takes the result.
            failed: takes what went wrong.
        """
        self._request, self._step = request, self.session.step
        at_once = AT_ONCE if pass_s is None else int(SLICE_S / max(pass_s, 1e-6))
        at_once = max(1, min(AT_ONCE, at_once))
        self.begin(lambda: self._pieces(images, request, at_once), ended, failed)

    def state(self) -> dict[str, Any] | None:
        """Return what a view shows of what is under way: JSON values only."""
        request = self._request
        if not self.under_way or request is None:
            return None
        return {
            "method": request.method,
            "share": round(self.share, 3),
            "left_s": self.left_s,
            "step": self._step,
        }

    def _pieces(self, images: CamImages, request: CamRequest, at_once: int) -> Pieces[CamShot]:
        model, step = self.session.model, self.session.step
        self._step = step
        if model is None:
            raise NoMapError("The model is gone.")
        root = checked_model(model)
        try:
            twin = copied(root)
        except CannotCopyError:
            shot = compute_input(model, images, request, step=step)
            return _noted(shot, "Training waited for this: the model cannot be copied.")
        hooks = plain_hooks(root)
        del model, root
        yield 0.0
        shot = yield from input_pieces(twin, images, request, step=step, at_once=at_once)
        if not hooks:
            return shot
        were = "1 hook of yours was" if hooks == 1 else f"{hooks} hooks of yours were"
        return _noted(shot, f"{were} left off the copy that was explained.")


def _noted(shot: CamShot, note: str) -> CamShot:
    return replace(shot, frame=replace(shot.frame, notes=(*shot.frame.notes, note)))
