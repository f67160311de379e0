"""Notice a model whose hooks are never called although it trains."""

from nbtorchviz.capture.subject import Subject
from nbtorchviz.capture.windows import Window

BLIND_STEPS = 2
UNSEEN = "2 steps passed and no hook was called: compiled, scripted, or .forward()?"


class Blindness:
    """Counts the steps of which nothing was heard, and tells the subject that it is so.

    Args:
        subject: the model.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._steps = 0

    def stepped(self, window: Window | None, *, unseen: bool) -> bool:
        """Take note of a step.

        Args:
            window: what was open during it.
            unseen: no root forward was heard since the step before.

        Returns:
            Whether the forwards of this model are known to go unheard.
        """
        deaf = window is not None and bool(window.plan.wants) and not window.hook_calls
        if deaf or unseen:
            self._steps += 1
        elif window is not None:
            self._steps = 0
        if self._steps == BLIND_STEPS and self._subject.compiled_how is None:
            self._subject.note_compiled(UNSEEN)
        return unseen and self._subject.compiled_how is not None
