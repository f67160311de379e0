"""What is selected in a GradCAMViewer: one value, checked as a whole."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from nbtorchviz.arguments import named_layer, real, refusal, whole
from nbtorchviz.attribution.methods import ALL_METHODS, need_captum
from nbtorchviz.errors import LayerNotFoundError
from nbtorchviz.session.cam_compute import SECOND
from nbtorchviz.widgets.selection import KEY

SIGNS = ("positive", "signed")
COLORMAPS = ("viridis", "cividis", "magma", "gray")
SELECTED = (
    "layer", "target", "contrast", "method", "opacity", "contour", "colormap", "sign", "step",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CamChoice:
    """What one GradCAMViewer shows."""

    layer: str = ""
    """``""``: the last layer that can explain the output."""
    target: int | None = None
    """Class explained in all images; None: the predicted one of each, or what was given."""
    contrast: int | str | None = None
    """Class it is held against; ``"second"``: the next probable one of each image."""
    method: str = "gradcam"
    opacity: float = 0.5
    contour: float = 0.5
    """Share of a map's maximum at which a line is drawn; 0: none."""
    colormap: str = "viridis"
    sign: str = "positive"
    step: int | None = None
    """A kept step; None: the newest."""

    def as_trait(self, revision: int, heard: dict[str, int]) -> dict[str, Any]:
        """Return the ``selection`` trait; views take it over when ``rev`` grows."""
        return {"rev": revision, "heard": heard, **asdict(self)}

    def changed(
        self, known: Sequence[str], names: Sequence[str] | None, **changes: Any
    ) -> "CamChoice":
        """Return a copy with ``changes``, each checked.

        Args:
            known: layer keys that exist.
            names: of the classes, where they are known.
            changes: fields of this class.

        Raises:
            LayerNotFoundError: no such layer.
            TypeError, ValueError: a value that is not accepted; the message says what is.
            ImportError: the method is captum's, and captum is not installed.
        """
        words = {"method": ALL_METHODS, "sign": SIGNS, "colormap": COLORMAPS}
        for name, accepted in words.items():
            if name in changes and changes[name] not in accepted:
                listed = f"one of {', '.join(map(repr, accepted))}"
                raise refusal(name, listed, changes[name], typed=isinstance(changes[name], str))
        need_captum(changes.get("method", ""))
        if changes.get("layer", "") != "":
            layer = named_layer(changes["layer"], KEY)
            if layer not in known:
                raise LayerNotFoundError(layer, known)
        if "target" in changes:
            changes["target"] = class_index("target", changes["target"], names)
        if "contrast" in changes and changes["contrast"] != SECOND:
            changes["contrast"] = class_index("contrast", changes["contrast"], names)
        for name in ("opacity", "contour"):
            if name in changes:
                changes[name] = real(name, changes[name], "from 0 to 1", lambda x: 0 <= x <= 1)
        if changes.get("step") is not None:
            changes["step"] = whole("step", changes["step"])
        return replace(self, **changes)


def class_index(name: str, given: object, names: Sequence[str] | None) -> int | None:
    """Return a class given by its index or name; None stays.

    Raises:
        TypeError, ValueError: it is neither, or no class has this name.
    """
    if given is None:
        return None
    if isinstance(given, str):
        if names is None:
            raise ValueError(f"{name}={given!r} is a name, and no class_names=[...] were given.")
        if given not in names:
            near = [each for each in names if given.lower() in each.lower()][:5]
            hint = f" Like it: {', '.join(map(repr, near))}." if near else ""
            raise ValueError(f"No class is called {given!r} ({len(names)} names).{hint}")
        return list(names).index(given)
    index = whole(name, given)
    if names and index >= len(names):
        raise ValueError(f"{name} must be a class from 0 to {len(names) - 1}, got {index}.")
    return index
