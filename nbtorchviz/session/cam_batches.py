"""Items of training batches as images to explain, where a user gave none."""

from typing import TYPE_CHECKING

from nbtorchviz.analysis.normalisation import Normalisation
from nbtorchviz.capture.layers import INPUT
from nbtorchviz.capture.plans import Inputs
from nbtorchviz.session.cam_images import CamImages, cam_images
from nbtorchviz.session.looks import Look
from nbtorchviz.session.pinned import label_of, shows

if TYPE_CHECKING:
    from nbtorchviz.session.session import Session

GATHERED = 4
"""So many items of training batches are pinned where no images were given."""


class BatchImages:
    """Takes one item of each batch that is seen.

    Args:
        session: of the model that is trained.
        owner: id of the viewer that looks.
    """

    def __init__(self, session: "Session", owner: int) -> None:
        self._session, self._owner = session, owner
        self._looks_on = False
        self._batch: Inputs | None = None

    def close(self) -> None:
        """Look at nothing any more."""
        self._session.recorder.looks.drop(self._owner)

    def joined(
        self, images: CamImages | None, normalisation: Normalisation | None
    ) -> CamImages | None:
        """Add the item of the newest training batch to ``images``; None: no other batch came.

        Raises:
            TypeError, ValueError, RuntimeError: it holds no images.
        """
        session = self._session
        if not self._looks_on:  # so that windows read the input
            self._looks_on = True
            session.recorder.looks.set(self._owner, Look(layer=INPUT), urgent=True)
        batch = session.tap.last_batch()
        if batch is None or batch is self._batch:
            return None
        self._batch = batch
        seen = session.recorder.input.get("batch")
        label, name = label_of(seen, batch), f"image {0 if images is None else len(images)}"
        if seen is not None and shows(seen, batch):  # it may be older than this step
            name += f", of step {seen.step}"
        found = cam_images(batch, label, [name], normalisation=normalisation)
        return found if images is None else images.joined(found)
