"""Whether root forwards are seen, and counting steps without hearing each of them."""

import weakref

from torch.optim import Optimizer

from nbtorchviz.capture.boundaries import StepListener, dispatcher
from nbtorchviz.capture.steps import Steps


class Coasting(StepListener):
    """What any thread may ask of a course that runs on the training thread."""

    def __init__(self, steps: Steps) -> None:
        self.closed = self.looking = False
        self.dozing = False
        """The root hooks are off although somebody looks: steps are heard, forwards are not."""
        self._steps = steps
        self._coasting = False
        """Whether steps may just be counted; any thread may end that, only ``coast`` begins it."""
        self._counting: weakref.ref[Optimizer] | None = None
        """Whose."""

    def coast(self, steps: int) -> None:
        """Just count the next ``steps`` steps: nothing is due before, and the forwards go unseen.

        What may come up meanwhile ends it with ``attend()``; ask for that after this call.
        """
        counting = self._steps.counting
        optimizer = None if counting is None else counting()
        if optimizer is None or steps < 1:
            return
        self._counting = weakref.ref(optimizer, lambda _: dispatcher.tell_all())
        self._steps.tally.left = steps
        self._coasting = True
        dispatcher.tally(self, optimizer, self._steps.tally)
        if not self.unseeing or self._steps.counting is not counting:
            self.attend()  # a widget was opened just now, the hooks were woken, another was named

    def ignores(self, optimizer: Optimizer) -> bool:
        """Whether steps of this optimizer mean nothing here."""
        return self.closed or (not self.reading and self._steps.ignores(optimizer))

    @property
    def unseeing(self) -> bool:
        """Whether root forwards go unseen: nobody looks, or the hooks rest."""
        return self.dozing or not self.looking

    @property
    def coasts(self) -> int:
        """How many steps more will just be counted, unless somebody ends it."""
        return self._steps.tally.left if self._coasting else 0

    def attend(self) -> None:
        """Hear the very next step again, from any thread."""
        self._coasting = False
        self._steps.tally.left = 0  # another thread may be putting it back in its place
        dispatcher.tell_all()

    def _coasts_over(self, optimizer: Optimizer) -> bool:
        """Just count a step that others had to be told of."""
        tally = self._steps.tally
        if not (self._coasting and tally.left and self._counting):
            return False
        if self._counting() is not optimizer:
            return False
        tally.left -= 1
        tally.count += 1
        return True
