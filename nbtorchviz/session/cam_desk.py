"""When and on which thread the maps of one viewer are computed."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from nbtorchviz.analysis.cam_frame import CamFrame
from nbtorchviz.analysis.normalisation import Normalisation
from nbtorchviz.attribution.methods import INPUT_METHODS, name_of
from nbtorchviz.errors import NoMapError
from nbtorchviz.session.budget import Pace
from nbtorchviz.session.cam_batches import GATHERED, BatchImages
from nbtorchviz.session.cam_compute import ALL_CLASSES, TOP, CamRequest, CamShot, compute
from nbtorchviz.session.cam_edits import edited_images
from nbtorchviz.session.cam_images import CamImages
from nbtorchviz.session.cam_input import compute_input
from nbtorchviz.session.cam_tape import CamTape
from nbtorchviz.session.input_turns import InputTurns

if TYPE_CHECKING:
    from nbtorchviz.session.session import Session

PERIOD_S = 1.0
"""Maps are computed no more often than this, unless a user asks."""
SHARE = 0.75
"""Of the session's budget."""
SLOWEST_S = 600.0
UNSEEN_S = 10.0
"""Nobody looks: so often, for the tape."""
PATIENCE_S = 3.0
"""Rather fewer classes than maps less often than this. What a user asked for puts the next maps
off by no more."""
FEWEST = 2
"""The predicted class and the next one have maps however dear they are."""
RETRY_S = 10.0


class CamDesk:
    """Computes maps of pinned images: at step boundaries, or at once where nothing trains.

    Args:
        session: the watched model.
        request: what is to be explained.
        images: None: gather items of the training batches.
        owner: id of the viewer.
        shy: do nothing before somebody looks for the first time: a tab that is never opened.
        seen: whether somebody looks.
        told: called after every attempt, on the thread that computed.
        first: returns the slots of a frame that are looked at.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        session: "Session",
        request: CamRequest,
        images: CamImages | None,
        *,
        owner: int,
        shy: bool = False,
        seen: Callable[[], bool],
        told: Callable[[], None],
        first: Callable[[CamFrame], list[int]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.session, self.request, self.images = session, request, images
        self.normalisation: Normalisation | None = None
        """To undo in the items of training batches."""
        self.gathering = images is None
        self.shot: CamShot | None = None
        self.tape = CamTape()
        self.error: Exception | None = None
        """Why the last attempt gave nothing."""
        self._seen, self._told, self._first, self._clock = seen, told, first, clock
        self._wanted = images is not None
        self._busy = threading.Lock()
        self.turns = InputTurns(session, told=told, clock=clock)
        """Maps of the input under way."""
        self._pace = Pace(1.0, 0.0, clock=clock)
        self._pace.slowest_s = SLOWEST_S
        self._began = self._at = self._failed_at = float("-inf")
        self._counted = -1
        self._slot_s: float | None = None
        self._editing = threading.Lock()
        self._edits: dict[int, Tensor] = {}
        self._edits_made = self._edit = 0
        self._draft = False
        self._whole_tape = self.tape
        self._shy, self._batches = shy, BatchImages(session, owner)

    def close(self) -> None:
        """Look at nothing any more."""
        self.gathering = False
        self.turns.cancel()
        self._batches.close()

    @property
    def wanted(self) -> bool:
        """Whether a user waits for maps."""
        return (self._wanted or self.turns.under_way) and self.images is not None

    @property
    def blank(self) -> bool:
        """Whether somebody looks and has seen no maps yet."""
        return self.shot is None and self.error is None and self._seen()

    @property
    def pass_s(self) -> float | None:
        """Seconds that a forward or a backward of one image took, roughly; None: not known."""
        if self._slot_s is None or self.images is None:
            return None
        return self._slot_s / len(self.images)

    def ask(self, **changes: Any) -> None:
        """Change the request; what was computed stays until new maps are there."""
        self.request = replace(self.request, **changes)
        self.turns.cancel()
        self._wanted, self._failed_at = True, float("-inf")
        self.session.recorder.hurry_jobs()

    def cancel(self) -> None:
        """Leave the maps of the input that are under way or waited for."""
        if self._in_turns():
            self._wanted = False
            self.turns.cancel()
            self._told()

    def _in_turns(self) -> bool:
        return self.request.method in INPUT_METHODS and not self._edits

    def note(self, **changes: Any) -> None:
        """Change the request for the next time; what is computed already holds it."""
        self.request = replace(self.request, **changes)
        if changes.keys() != {"layer"}:  # which maps of the input have none of
            self.turns.cancel()

    @property
    def shown(self) -> CamImages | None:
        """The images that the newest maps are of, or will be."""
        return self.images if self.shot is None else self.shot.images

    def edit(self, edits: Mapping[int, Tensor], *, draft: bool = False) -> int:
        """Compute maps of images that were painted on, from now on.

        Maps of earlier steps belong to the images as they were: they are set aside, and are back
        when no edit is left.

        Args:
            edits: the new pictures (C, H, W) by row; none: the images are shown as they were.
            draft: more is to come at once, so that few classes do.

        Returns:
            The number of this edit, as shots carry it; 0 when no edit is left.
        """
        with self._editing:
            self._edits, self._draft = dict(edits), draft
            self._edits_made += 1
            number = self._edit = self._edits_made if edits else 0
            self.tape = CamTape() if edits else self._whole_tape
        self.turns.cancel()
        self._wanted, self._failed_at = True, float("-inf")
        self.session.recorder.hurry_jobs()
        return number

    def finish_edit(self) -> None:
        """Compute the other classes too: no more is to come at once."""
        with self._editing:
            self._draft = False
        self._wanted = True
        self.session.recorder.hurry_jobs()

    def show(self, images: CamImages) -> None:
        """Compute maps of other images from now on."""
        self.close()
        with self._editing:
            self.images, self.shot = images, None
            self._edits, self._edit, self._draft = {}, 0, False
            self.tape = self._whole_tape
        self.tape.clear()
        self._wanted, self._failed_at = True, float("-inf")

    # Job --------------------------------------------------------------------------------------

    def due(self) -> bool:
        """Whether maps are to be computed at this boundary."""
        if self._shy and not self._seen():
            return False
        self._shy = False
        if self.gathering:
            self._gather()
        if self.images is None or self.session.recorder.failure is not None:
            return False
        now = self._clock()
        if now - self._failed_at < RETRY_S:
            return False
        if self._wanted:
            return True
        if self.request.method in INPUT_METHODS:  # dear: only when asked
            return self.turns.due()
        every = self.session.recorder.every
        if every is not None:
            return self.session.step != self._counted and self.session.step % every == 0
        if now - self._began < PERIOD_S or not self._pace.due():
            return False
        return self._seen() or now - self._at >= UNSEEN_S

    def run(self) -> None:
        """Compute at a boundary, on the thread that trains, as many classes as there is budget."""
        if self._in_turns():
            self._begin_turns()
            self.turns.run()
            return
        self._pace.share = SHARE * self.session.budget.share
        self._compute(self._affordable() if self.session.recorder.every is None else None)

    def run_when_idle(self) -> bool:
        """Compute now, on this thread, if nothing trains; False: a boundary does it later."""
        session = self.session
        if session.running or session.recorder.trains_elsewhere() or session.closed:
            return False
        if self._shy and not self._seen():
            return True
        if self.gathering and self.images is None:  # opened after training: of its last batch
            self._gather()
        if self.images is not None and session.model is not None and self._wanted:
            self._compute(None)
        return True

    def piece_when_idle(self) -> bool:
        """Do a piece of maps of the input, or all of others; return whether there is more."""
        if not self._in_turns():
            self.run_when_idle()
            return False
        if self.session.running or self.session.recorder.trains_elsewhere():
            return False
        self._begin_turns()
        return self.turns.run_when_idle()

    def refresh(self) -> bool:
        """Compute again if steps were made since, as ``run_when_idle``."""
        if self.shot is None or self.shot.frame.step == self.session.step:
            return False
        if self.request.method in INPUT_METHODS:
            return False
        self._wanted = True
        return self.run_when_idle()

    # ------------------------------------------------------------------------------------------

    def _begin_turns(self) -> None:
        images = self.images
        if not self._wanted or images is None:
            return
        self._wanted = False
        self.turns.start(
            images, self.request, pass_s=self.pass_s, ended=self._ended, failed=self._failed
        )

    def _ended(self, shot: CamShot) -> None:
        self.shot, self.error = shot, None
        self.tape.add(shot.frame, self._first(shot.frame))

    def _failed(self, error: Exception) -> None:
        self.error, self._failed_at = error, self._clock()

    def _compute(self, ranks: int | None) -> None:
        if not self._busy.acquire(blocking=False):
            return
        began, asked = self._clock(), self._wanted
        try:
            self._wanted = False
            model = self.session.model
            with self._editing:
                images, tape, edit, draft = self.images, self.tape, self._edit, self._draft
                edits = self._edits
            if model is None or images is None:
                return
            if edits:
                images = edited_images(images, edits)
            dear = self.request.method in INPUT_METHODS
            if edits and dear:
                raise NoMapError(
                    f"{name_of(self.request.method)} takes too many runs to follow a brush: choose "
                    "Grad-CAM or another method of layers while you paint."
                )
            if draft:
                ranks = FEWEST
            self._counted, self._began = self.session.step, began
            self._pace.begin()
            if dear:
                shot = compute_input(model, images, self.request, step=self.session.step)
            else:
                shot = compute(
                    model,
                    images,
                    self.request,
                    step=self.session.step,
                    before=self._before(),
                    ranks=self._all() if ranks is None else ranks,
                )
            self.shot, self.error = replace(shot, edit=edit), None
            tape.add(shot.frame, self._first(shot.frame))
        except Exception as error:
            self._failed(error)
        finally:
            self._at = self._clock()
            self._busy.release()
            self._spent(self._at - began, asked=asked)
        self._told()

    def _before(self) -> CamShot | None:
        """Return the last maps of layers."""
        dear = self.shot is not None and self.shot.frame.method in INPUT_METHODS
        return None if dear else self.shot

    def _spent(self, seconds: float, *, asked: bool) -> None:
        # The first maps cost many times what the next ones do: they would put those off for long.
        self._pace.spent(min(seconds, self._pace.share * PATIENCE_S) if asked else seconds)
        if self._before() is not None and self.shot is not None and self.error is None:
            each = seconds / (1 + len(self.shot.passes))
            self._slot_s = each if self._slot_s is None else 0.5 * (self._slot_s + each)

    def _affordable(self) -> int:
        """So many classes of each image as are computed within ``PATIENCE_S`` of budget."""
        if self._slot_s is None:
            return FEWEST
        allowed_s = SHARE * self.session.budget.share * PATIENCE_S
        return max(FEWEST, min(self._all(), int(allowed_s / max(self._slot_s, 1e-6)) - 1))

    def _all(self) -> int:
        known = ALL_CLASSES if self.shot is None else self.shot.frame.classes_known
        return known if known <= ALL_CLASSES else TOP

    def _gather(self) -> None:
        """Pin the item of the newest training batch, if it is another one."""
        try:
            found = self._batches.joined(self.images, self.normalisation)
        except (TypeError, ValueError, RuntimeError) as error:
            self.error = error
            self.close()
            return
        if found is None:
            return
        self.images, self.shot, self._wanted = found, None, True
        if len(found) >= GATHERED:
            self.close()
