"""Notice a model whose hooks are never called although it trains."""

from nbtorchviz.capture.windows import Window

BLIND_STEPS = 2
UNSEEN = "2 steps passed and no hook was called: compiled, scripted, or .forward()?"


class Blindness:
    """Counts the steps of which nothing was heard."""

    def __init__(self) -> None:
        self._steps = 0

    def stepped(self, window: Window | None, *, unseen: bool) -> bool:
        """Take note of a step.

        Args:
            window: what was open during it.
            unseen: no root forward was heard since the step before.

        Returns:
            Whether it is time to say so; nothing was heard of the last two steps.
        """
        deaf = window is not None and bool(window.plan.wants) and not window.hook_calls
        if deaf or unseen:
            self._steps += 1
        elif window is not None:
            self._steps = 0
        return self._steps == BLIND_STEPS
