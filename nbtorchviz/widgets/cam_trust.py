"""The question "Can I trust this map?" of a GradCAMViewer: buttons, words, progress."""

from collections.abc import Callable, Sequence
from typing import Any

from nbtorchviz.analysis.cam_frame import OWN, CamFrame
from nbtorchviz.arguments import refusal, whole
from nbtorchviz.attribution.methods import INPUT_METHODS
from nbtorchviz.attribution.result import CamResult
from nbtorchviz.errors import NoMapError
from nbtorchviz.session.cam_desk import CamDesk
from nbtorchviz.session.trust_answers import (
    CHECKS,
    FORWARDS,
    TrustAnswer,
    TrustQuestion,
    one_row,
    picture_of,
)
from nbtorchviz.session.trust_desk import TrustDesk
from nbtorchviz.session.turns import SHARE
from nbtorchviz.widgets.cam_choice import CamChoice
from nbtorchviz.widgets.cam_state import about_time, held, named
from nbtorchviz.widgets.idle_turns import IdleTurns

PREFIX = "trust:"
"""Of what views press: ``"trust:weights:0"`` checks image 0, ``"trust:cancel"`` stops."""


class CamTrust:
    """Asks for checks of the map that is shown, and says which are possible.

    Args:
        desk: has the maps.
        choice: returns what is selected.
        names: of the classes.
        told: called when there is news.
    """

    def __init__(
        self,
        desk: CamDesk,
        choice: Callable[[], CamChoice],
        names: Sequence[str],
        told: Callable[[], None],
    ) -> None:
        self._maps, self._choice, self._names = desk, choice, names
        self.desk = TrustDesk(desk.session, told=told)
        self._idle = IdleTurns(self.desk.run_when_idle)

    def now(self, check: str, row: int) -> TrustAnswer:
        """Check at once, on this thread."""
        if check not in CHECKS:
            listed = f"one of {', '.join(map(repr, CHECKS))}"
            raise refusal("check", listed, check, typed=isinstance(check, str))
        return self.desk.now(self._question(check, row))

    def act(self, action: str) -> None:
        """Do what was pressed in a view; nothing is run here."""
        check, _, row = action.removeprefix(PREFIX).partition(":")
        if check == "cancel":
            self.desk.cancel()
        elif check in CHECKS:
            try:
                self.desk.ask(self._question(check, int(row or 0)))
            except ValueError:  # what is shown changed meanwhile: the state says why it cannot be
                return
            self.keep_going()

    def keep_going(self) -> None:
        """See to it that a check under way goes on where nothing trains; from any thread."""
        if self.desk.under_way:
            self._idle.keep_going()

    def state(self) -> dict[str, Any]:
        """Return what views show: JSON values only."""
        checks = [
            {"id": check, "refusal": self.refusal(check), "cost": self._cost(check)}
            for check in CHECKS
        ]
        return {"checks": checks, "share": SHARE, **self.desk.state()}

    def lines(self) -> list[str]:
        """Return a line for each finished check: of which map, and what follows."""
        answers = self.desk.answers.values()
        return [f"{each.about}: {each.result.verdict}" for each in answers if each.result]

    def refusal(self, check: str) -> str:
        """Say why a check cannot be made of what is shown; ``""`` if it can."""
        shot, choice = self._maps.shot, self._choice()
        if self._maps.session.tap.gone:
            return "The model is gone."
        if shot is None:
            return "There is no map yet."
        if shot.p.shape[1] < 2:
            return "It needs class scores, and this model puts out none."
        if choice.contrast is not None:
            return "It is for one class: choose “nothing” to hold it against."
        if choice.target is None and OWN in shot.frame.explained:
            return "It is for one class: choose one in place of your target."
        if choice.method in INPUT_METHODS:
            return "It is for maps of layers: choose another method."
        key = choice.layer or shot.frame.layer
        if key not in shot.keys:
            return f"No map of {key} was computed."
        return self._not_a_picture(shot.passes[0][key]) if check == "faithfulness" else ""

    def _not_a_picture(self, result: CamResult) -> str:
        images = self._maps.images
        if result.axes != ("H", "W"):
            return f"It blurs pixels, and this map is over {', '.join(result.axes)}."
        if images is None or picture_of(images.inputs) is None:
            return "It needs a model that takes pictures and nothing else."
        return ""

    def _cost(self, check: str) -> str:
        runs, pass_s = FORWARDS[check], self._maps.pass_s
        if pass_s is None:
            return f"{runs} runs"
        return f"{runs} runs, {about_time(runs * pass_s)}"

    def _question(self, check: str, row: int) -> TrustQuestion:
        """Return the question about the map that is shown of one image.

        Raises:
            NoMapError, ValueError: it cannot be asked; the message says why.
        """
        if said := self.refusal(check):
            raise NoMapError(f"{check!r}: {said}")
        shot, choice = self._maps.shot, self._choice()
        assert shot is not None
        images = shot.images  # painted on, if they were
        if whole("image", row) >= len(images):
            raise ValueError(f"image must be from 0 to {len(images) - 1}, got {row}.")
        frame: CamFrame = shot.frame
        if choice.step is not None:
            frame = self._maps.tape.at(choice.step) or frame
        target, _ = held(frame, row, choice)
        return TrustQuestion(
            check=check,
            inputs=one_row(images.inputs, row, len(images) + len(images.unedited)),
            image=images.names[row],
            row=row,
            layer=choice.layer or shot.frame.layer,
            target=target,
            target_name=named(target, self._names),
            method=choice.method,
        )
