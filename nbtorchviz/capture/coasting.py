"""Whether root forwards are seen, and counting steps without hearing each of them."""

import weakref

from torch.optim import Optimizer

from nbtorchviz.capture.boundaries import Steps


class Coasting:
    """What any thread may ask of a course that runs on the training thread."""

    def __init__(self, steps: Steps) -> None:
        self.looking = False
        self.dozing = False
        """The root hooks are off although somebody looks: steps are heard, forwards are not."""
        self._steps = steps
        self._coasting = False
        """Whether steps may just be counted; any thread may end that, only ``coast`` begins it."""
        self._coasts = 0
        """For how many steps more."""
        self._counting: weakref.ref[Optimizer] | None = None

    def coast(self, steps: int) -> None:
        """Just count the next ``steps`` steps: nothing is due before, and the forwards go unseen.

        What may come up meanwhile ends it with ``attend()``; ask for that after this call.
        """
        self._coasts, self._counting = steps, self._steps.counting
        self._coasting = True
        if not self.unseeing:  # a widget was opened just now, or the hooks were woken
            self._coasting = False

    @property
    def unseeing(self) -> bool:
        """Whether root forwards go unseen: nobody looks, or the hooks rest."""
        return self.dozing or not self.looking

    def attend(self) -> None:
        """Hear the very next step again, from any thread."""
        self._coasting = False
