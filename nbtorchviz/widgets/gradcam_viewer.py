"""GradCAMViewer: why did the model say that, at every layer, while it learns."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from nbtorchviz.analysis.cam_picture import cam_picture
from nbtorchviz.analysis.normalisation import normalisation_of
from nbtorchviz.arguments import NAMES, flag, named_layer, names
from nbtorchviz.attribution.methods import INPUT_METHODS
from nbtorchviz.attribution.result import CamResult
from nbtorchviz.session import Session, as_session
from nbtorchviz.session.cam_compute import CamRequest
from nbtorchviz.session.cam_desk import CamDesk
from nbtorchviz.session.cam_images import CamImages, cam_images
from nbtorchviz.session.linking import LINKED
from nbtorchviz.session.trust_answers import TrustAnswer
from nbtorchviz.widgets.base import BUNDLE, refuse_unknown
from nbtorchviz.widgets.cam_choice import SELECTED, CamChoice
from nbtorchviz.widgets.cam_editing import CamEditing
from nbtorchviz.widgets.cam_packet import images_packet
from nbtorchviz.widgets.cam_state import cam_state, layer_of, own_name, result_of, summary_of
from nbtorchviz.widgets.cam_trust import PREFIX, CamTrust
from nbtorchviz.widgets.idle_turns import IdleTurns
from nbtorchviz.widgets.selection import KEY

KEYWORDS = (
    "images", "labels", "layer", "target", "contrast", "method", "opacity", "class_names",
    "transforms", "linked", "private",
)  # fmt: skip
COMPUTED = ("layer", "target", "contrast", "method")
"""Changes that may need Python to compute; the browser does all others."""
CANCEL, AGAIN = "input:cancel", "input:again"
"""What views press beside a map of the input: leave it, make it of the weights as they are."""


class GradCAMViewer(CamEditing):
    """Shows where, at any layer, the evidence for a class lies: maps over pinned images.

    Maps of all layers are computed at once and kept in the browser, so that moving over layers,
    classes, opacity and contrast needs no kernel. While the model trains they are computed anew
    at step boundaries, at most once a second and within the session's budget.

    Args:
        model_or_session: a model, or the session that ``watch(model)`` returned.
        images: what is explained, as the model takes it: a batch (N, C, H, W), one image, a list
            of images; 8 at most are shown. None: items of training batches are pinned as they
            come.
        labels: class of each image, if known.
        layer: key of the layer shown first; by default the last that can explain the output.
        target: class index or name; None explains the predicted class of each image. A sequence
            gives one class per image; a callable takes the model's output and returns one score
            per image.
        contrast: class it is held against: why ``target`` and not ``contrast``.
        method: ``"gradcam"``, ``"hirescam"``, ``"layercam"``, ``"xgradcam"`` or ``"gradcam++"``;
            with the extra ``captum`` also ``"integrated_gradients"``, ``"smoothgrad"``,
            ``"occlusion"`` and ``"deeplift"``: maps of the input, computed only when chosen.
        opacity: of the map over the image, from 0 to 1.
        class_names: of the classes; those of ``watch(class_names=...)`` by default.
        transforms: what the images were prepared with (torchvision's v1 or v2, Compose, Normalize,
            ``weights.transforms()``), so that its normalisation can be undone where they are shown.
            By default means in wide use are tried; which one it was is said below the images.
        linked: share layer and step with the other widgets of the session.
        private: keep images and maps out of the notebook that is saved; its editor's too.

    Raises:
        TypeError: the first argument is neither a model nor a session, an unknown keyword, or a
            value of a wrong type.
        LayerNotFoundError: no such layer; the message lists the nearest.
        ValueError: a value that is not accepted; the message says what is.
    """

    _esm = BUNDLE.with_name("gradcam.js")

    def __init__(
        self,
        model_or_session: nn.Module | Session,
        images: object = None,
        *,
        labels: object = None,
        layer: str | None = None,
        target: int | str | Sequence[int] | Callable[[Any], Tensor] | None = None,
        contrast: int | str | None = None,
        method: str = "gradcam",
        opacity: float = 0.5,
        class_names: Sequence[str] | None = None,
        transforms: object = None,
        linked: bool = True,
        private: bool = False,
        **unknown: Any,
    ) -> None:
        compact = bool(unknown.pop("_compact", False))
        refuse_unknown("GradCAMViewer", unknown, KEYWORDS)
        session = as_session(model_or_session, "GradCAMViewer")
        given_names = session.class_names or () if class_names is None else class_names
        self.class_names = names("class_names", given_names, NAMES)
        own = None if target is None or isinstance(target, int | str | np.integer) else target
        self._choice = CamChoice().changed(
            session.layers,
            self.class_names or None,
            layer="" if layer is None else session.tap.find(named_layer(layer, KEY)),
            target=None if own is not None else target,
            contrast=contrast,
            method=method,
            opacity=opacity,
        )
        self._own: Any = own
        self.linked = flag("linked", linked)
        self.private = flag("private", private)
        self._normalisation = normalisation_of(transforms)
        given = self._given = None if images is None else self._read(images, labels)
        self._revision, self._heard = 1, dict[str, int]()
        self._lock = threading.RLock()
        super().__init__(
            session,
            kind="gradcam-viewer",
            options={"compact": compact, "names": list(self.class_names)},
            selection=self._choice.as_trait(1, {}),
            images=b""
            if given is None or self.private
            else images_packet(given.pictures, given.names),
        )

    # What a user asks for ---------------------------------------------------------------------

    @property
    def result(self) -> CamResult | None:
        """The maps shown, raw and as computed; None before there are any.

        Of all images at the chosen layer, at the newest step.
        """
        shot = self._desk.shot
        return None if shot is None else result_of(shot, self._choice)

    @property
    def layer(self) -> str:
        """Key of the layer shown."""
        shot = self._desk.shot
        return self._choice.layer or ("" if shot is None else shot.frame.layer)

    @layer.setter
    def layer(self, key: str) -> None:
        self.select(layer=key)

    @property
    def tape(self) -> list[int]:
        """Steps whose maps are kept and can be shown again."""
        return self._desk.tape.steps

    def select(self, **changes: Any) -> None:
        """Select ``layer``, ``target``, ``contrast``, ``method``, ``opacity`` and so on.

        Raises:
            LayerNotFoundError, TypeError, ValueError: as the constructor.
        """
        refuse_unknown("select", {n: 0 for n in changes if n not in SELECTED}, SELECTED)
        self._take(changes)
        self._tell(changes, by_user=False)
        self._desk.run_when_idle()

    def _take(self, changes: dict[str, Any]) -> None:
        self._choose(changes)
        with self._lock:
            self._revision += 1
        self._selection_stream.mark(urgent=True)

    def show(self, images: object, labels: object = None) -> None:
        """Explain other images from now on.

        Raises:
            TypeError, ValueError: as the constructor.
        """
        given = self._read(images, labels)
        self._close_editor()
        self._given = given
        self._desk.show(self._given)
        self._images_stream.mark(urgent=True)
        self._desk.run_when_idle()

    def trust(self, check: str = "faithfulness", *, image: int = 0) -> TrustAnswer:
        """Check whether the map that is shown can be trusted; the model is copied, not touched.

        Args:
            check: ``"faithfulness"`` blurs and shows the picture's pixels in the map's order, and
                in that of random maps; ``"weights"`` replaces weights by random ones from the head
                down; ``"methods"`` compares Grad-CAM, HiResCAM and LayerCAM.
            image: which of the images.

        Returns:
            The answer: ``.text`` says of which map, what follows, the numbers and their source,
            ``.result`` holds the numbers.

        Raises:
            NoMapError: no such map can be checked; the message says why.
            RunRefusedError: another thread trains the model now.
            TypeError, ValueError: no such check or image.
        """
        return self._trust.now(check, image)

    def _read(self, images: object, labels: object) -> CamImages:
        return cam_images(images, labels, normalisation=self._normalisation)

    def summary(self) -> str:
        """Return model, layer, step, per image classes and the map's maximum, finished checks."""
        said = summary_of(self.session, self._desk, self._choice, self.class_names)
        return "\n  ".join([said, *self._trust.lines()])

    def snapshot(self) -> bytes:
        """Return images and maps as a PNG, drawn here from the same numbers."""
        desk, choice = self._desk, self._choice
        frame = None if desk.shot is None else desk.shot.frame
        if frame is not None and choice.step is not None:
            frame = desk.tape.at(choice.step) or frame
        pictures = () if desk.shown is None else desk.shown.pictures
        return cam_picture(
            frame,
            pictures,
            self._state(),
            layer=self.layer if frame is None else layer_of(frame, choice),
            target=choice.target,
            contrast=choice.contrast,
            names=self.class_names,
            own="" if desk.shot is None else own_name(desk.shot, self.class_names),
            opacity=choice.opacity,
            contour=choice.contour,
            colormap=choice.colormap,
            signed=choice.sign == "signed",
        )

    # Session and streams ----------------------------------------------------------------------

    def _bind(self, session: Session) -> None:
        super()._bind(session)
        self._desk = CamDesk(
            session,
            CamRequest(
                method=self._choice.method,
                target=self._choice.target,
                contrast=self._choice.contrast,
                layer=self._choice.layer,
                own=self._own,
            ),
            self._given,
            owner=self.owner,
            shy=bool(self.options.get("compact")),
            seen=self._is_seen,
            told=self._computed,
            first=self._first,
        )
        self._desk.normalisation = self._normalisation
        self._open_streams(self._given)
        self._trust = CamTrust(
            self._desk, lambda: self._choice, self.class_names, self._state_stream.mark
        )
        jobs = session.recorder.jobs
        for key, job in ((self.owner, self._desk), ((self.owner, PREFIX), self._trust.desk)):
            jobs.add(key, job)
            self._bound.callback(jobs.drop, key)
        self._idle = IdleTurns(self._desk.piece_when_idle)
        self._bound.callback(self._trust.desk.cancel)
        self._bound.callback(self._desk.close)
        self._desk.run_when_idle()

    def _ready_for_picture(self) -> bool:
        return self._desk.gathering

    def cell_ended(self) -> None:
        """Show the maps of the last step, then refresh the picture in the notebook."""
        self._desk.refresh()
        super().cell_ended()

    # What a user moves ------------------------------------------------------------------------

    def _on_action(self, action: str) -> None:
        if action.startswith(PREFIX):
            self._trust.act(action)
        elif action == CANCEL:
            self._desk.cancel()
            shot = self._desk.shot
            if shot is not None and shot.frame.method != self._choice.method:
                self._take({"method": shot.frame.method})
        elif action == AGAIN:
            self._desk.ask()
            self._idle.keep_going()
        else:
            super()._on_action(action)

    def _tick(self) -> None:
        super()._tick()
        self._trust.keep_going()
        if self._desk.turns.under_way or self._desk.blank:
            self._idle.keep_going()

    def _on_intent(self, name: str, value: Any) -> None:
        if name in SELECTED:
            self._choose({name: value})
            self._state_stream.mark()
            self._idle.keep_going()
            if name in LINKED:
                self._tell({name: value})

    def _choose(self, changes: dict[str, Any]) -> None:
        """Check and take a selection; ask for what was not computed."""
        with self._lock:
            known, names = self.session.layers, self.class_names or None
            self._choice = choice = self._choice.changed(known, names, **changes)
        desk, shot = self._desk, self._desk.shot
        if changes.get("step") is not None:
            self._older_stream.mark(urgent=True)
        asked = {name: getattr(choice, name) for name in COMPUTED if name in changes}
        if not asked:
            return
        again = "method" in asked and choice.method in INPUT_METHODS  # they do not follow training
        if asked.keys() == {"layer"} and choice.method in INPUT_METHODS:
            desk.note(**asked)
            return
        ready = shot is not None and result_of(shot, choice) is not None
        if ready and not (again and shot is not None and shot.frame.step != self.session.step):
            desk.note(**asked)
            self._maps_stream.mark(urgent=True)  # of what is sent, this now comes first
        else:
            desk.ask(**asked)

    def _follow(self, moved: dict[str, Any]) -> None:
        """Show the layer and step of another widget, as far as there are maps of them."""
        shot, changes = self._desk.shot, dict(moved)
        if shot is None or changes.get("layer") not in (*shot.keys, *shot.others):
            changes.pop("layer", None)
        if changes.get("step") is not None and not self.tape:
            del changes["step"]
        changes.pop("sample", None)
        if changes:
            self._take(changes)

    def _state(self) -> dict[str, Any]:
        state = cam_state(super()._state(), self.session, self._desk)
        state["cam"]["trust"] = self._trust.state()
        return state
