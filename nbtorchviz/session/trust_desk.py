"""Checks of one map: when and on which thread they run, how far they are, what they said."""

import threading
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from nbtorchviz.attribution.explain import gradcam
from nbtorchviz.attribution.reading import checked_model, own_inputs
from nbtorchviz.attribution.result import CamResult
from nbtorchviz.attribution.trust import (
    Pieces,
    agreement_pieces,
    faithfulness_pieces,
    weight_dependence_pieces,
)
from nbtorchviz.attribution.trust_results import Agreement, Dependence, Faithfulness
from nbtorchviz.errors import NoMapError, RunRefusedError
from nbtorchviz.session.budget import Pace
from nbtorchviz.session.checkup_copy import CannotCopyError, copied, plain_hooks
from nbtorchviz.session.trust_answers import TrustAnswer, TrustQuestion, picture_of

if TYPE_CHECKING:
    from nbtorchviz.session.session import Session

SHARE = 0.2
"""Of the time of a training, while a check that a user asked for is under way."""
SLICE_S = 0.05
"""At a boundary pieces are done until so much time is gone, at least one."""


class TrustDesk:
    """Runs one check at a time, on a copy of the model, in pieces.

    A forward draws from the process's random streams even in eval mode in some models, and the
    guard that puts them back must not overlap a training step: so pieces run on the thread that
    trains, between two steps, for at most ``SHARE`` of the time; on the kernel's main thread where
    nothing trains.

    Args:
        session: the watched model.
        told: called after every piece, on the thread that did it.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        session: "Session",
        *,
        told: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.session = session
        self.answers: dict[str, TrustAnswer] = {}
        """The last answer of each check."""
        self._told, self._clock = told, clock
        self._lock, self._busy = threading.Lock(), threading.Lock()
        self._asked: TrustQuestion | None = None
        self._pieces: Generator[float, None, TrustAnswer] | None = None
        self._share = self._worked_s = 0.0
        self._pace = Pace(SHARE, 0.0, clock=clock)

    # What a user asks for ---------------------------------------------------------------------

    def ask(self, question: TrustQuestion) -> None:
        """Begin a check soon, in the place of one under way; from any thread."""
        with self._lock:
            self._asked, self._pieces = question, None
            self._share = self._worked_s = 0.0
            self._pace.begin()
        self.session.recorder.hurry_jobs()

    def cancel(self) -> None:
        """Leave the check under way."""
        with self._lock:
            self._asked = self._pieces = None

    @property
    def asked(self) -> TrustQuestion | None:
        """What is being checked."""
        return self._asked

    def now(self, question: TrustQuestion) -> TrustAnswer:
        """Check on this thread and return when it is done.

        Raises:
            RunRefusedError: another thread trains the model.
            ValueError, NoMapError: as ``nbtorchviz.attribution.trust``.
        """
        if self.session.running or self.session.recorder.trains_elsewhere():
            raise RunRefusedError(
                "Another thread trains this model. Press the button in the widget: it checks "
                "between two steps. Or call trust() when the run has ended."
            )
        pieces = self._check(question)
        while True:
            try:
                next(pieces)
            except StopIteration as ended:
                answer: TrustAnswer = ended.value
                self.answers[question.check] = answer
                self._told()
                return answer

    def state(self) -> dict[str, Any]:
        """Return what a view shows: JSON values only."""
        asked = self._asked
        return {
            "running": None
            if asked is None
            else {
                "check": asked.check,
                "share": round(self._share, 3),
                "left_s": self._left_s(),
                "about": asked.about,
            },
            "answers": {check: answer.as_state() for check, answer in self.answers.items()},
        }

    def _left_s(self) -> float | None:
        if self._share < 0.05:
            return None
        return round(self._worked_s * (1 - self._share) / self._share, 1)

    # Job --------------------------------------------------------------------------------------

    def due(self) -> bool:
        """Whether pieces are to be done at this boundary."""
        return self._asked is not None and self._pace.due()

    def run(self) -> None:
        """Do pieces at a boundary, on the thread that trains."""
        began = self._clock()
        while self._piece() and self._clock() - began < SLICE_S:
            pass
        self._pace.begin()
        self._pace.spent(self._clock() - began)

    def run_when_idle(self) -> bool:
        """Do one piece on this thread if nothing trains; return whether to come back for more."""
        session = self.session
        if self._asked is None or session.closed:
            return False
        if session.running or session.recorder.trains_elsewhere():
            return False
        return self._piece()

    def _piece(self) -> bool:
        """Do one piece; return whether there are more."""
        if not self._busy.acquire(blocking=False):
            return False
        try:
            with self._lock:
                asked = self._asked
                if asked is None:
                    return False
                if self._pieces is None:
                    self._pieces = self._check(asked)
                pieces = self._pieces
            began = self._clock()
            share, answer = 1.0, None
            try:
                share = next(pieces)
            except StopIteration as ended:
                answer = ended.value
            except Exception as error:  # the widget says it
                answer = self._failed(asked, error)
            with self._lock:
                if self._pieces is not pieces:  # cancelled, or asked for something else
                    return self._asked is not None
                self._share = share
                self._worked_s += self._clock() - began
                if answer is not None:
                    self.answers = {**self.answers, asked.check: answer}
                    self._asked = self._pieces = None
        finally:
            self._busy.release()
        self._told()
        return answer is None

    def _check(self, asked: TrustQuestion) -> Generator[float, None, TrustAnswer]:
        """Copy the model, make the map, check it."""
        model, step = self.session.model, self.session.step
        if model is None:
            raise NoMapError("The model is gone.")
        root = checked_model(model)
        hooks = plain_hooks(root)
        try:
            twin = copied(root)
        except CannotCopyError as error:
            raise RunRefusedError(f"The model cannot be copied to be checked: {error}.") from None
        del model, root
        yield 0.0
        result = gradcam(
            twin, asked.inputs, target=asked.target, layer=asked.layer, method=asked.method
        )
        yield 0.0
        found = yield from self._pieces_of(asked, twin, result)
        were = "1 hook of yours was" if hooks == 1 else f"{hooks} hooks of yours were"
        note = f"{were} left off the copy" if hooks else ""
        return TrustAnswer(question=asked, step=step, result=found, note=note)

    def _pieces_of(
        self, asked: TrustQuestion, twin: Any, result: CamResult
    ) -> Pieces[Faithfulness] | Pieces[Dependence] | Pieces[Agreement]:
        if asked.check == "faithfulness":
            image = picture_of(own_inputs(twin, asked.inputs))
            if image is None:
                raise NoMapError("This check needs a model that takes one picture and no more.")
            return faithfulness_pieces(twin, image.detach(), result)
        if asked.check == "weights":
            return weight_dependence_pieces(twin, asked.inputs, result)
        return agreement_pieces(twin, asked.inputs, result)

    def _failed(self, asked: TrustQuestion, error: Exception) -> TrustAnswer:
        problem = str(error)[:600]
        if not isinstance(error, NoMapError | RunRefusedError | TypeError | ValueError):
            problem = f"{type(error).__name__}: {problem}"
        return TrustAnswer(question=asked, step=self.session.step, result=None, problem=problem)
