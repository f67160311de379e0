"""Checks of one map: what is under way, and what they said."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nbtorchviz.attribution.explain import gradcam
from nbtorchviz.attribution.pieces import Pieces, finished
from nbtorchviz.attribution.reading import checked_model, own_inputs
from nbtorchviz.attribution.result import CamResult
from nbtorchviz.attribution.trust import (
    agreement_pieces,
    faithfulness_pieces,
    weight_dependence_pieces,
)
from nbtorchviz.attribution.trust_results import Agreement, Dependence, Faithfulness
from nbtorchviz.errors import NoMapError, RunRefusedError
from nbtorchviz.session.checkup_copy import CannotCopyError, copied, plain_hooks
from nbtorchviz.session.trust_answers import TrustAnswer, TrustQuestion, picture_of
from nbtorchviz.session.turns import Turns

if TYPE_CHECKING:
    from nbtorchviz.session.session import Session


class TrustDesk(Turns[TrustAnswer]):
    """Runs one check at a time, on a copy of the model, in pieces.

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
        super().__init__(session, told=told, clock=clock)
        self.answers: dict[str, TrustAnswer] = {}
        """The last answer of each check."""
        self._question: TrustQuestion | None = None

    def ask(self, question: TrustQuestion) -> None:
        """Begin a check soon, in the place of one under way; from any thread."""
        self._question = question
        self.begin(
            lambda: self._check(question),
            lambda answer: self._answered(question, answer),
            lambda error: self._answered(question, self._failed(question, error)),
        )

    @property
    def asked(self) -> TrustQuestion | None:
        """What is being checked."""
        return self._question if self.under_way else None

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
        answer = finished(self._check(question))
        self._answered(question, answer)
        self._told()
        return answer

    def _answered(self, question: TrustQuestion, answer: TrustAnswer) -> None:
        self.answers = {**self.answers, question.check: answer}

    def state(self) -> dict[str, Any]:
        """Return what a view shows: JSON values only."""
        asked = self.asked
        return {
            "running": None
            if asked is None
            else {
                "check": asked.check,
                "share": round(self.share, 3),
                "left_s": self.left_s,
                "about": asked.about,
            },
            "answers": {check: answer.as_state() for check, answer in self.answers.items()},
        }

    def _check(self, asked: TrustQuestion) -> Pieces[TrustAnswer]:
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
