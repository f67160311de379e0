"""What is selected in an ActivationBrowser: one value, changed as a whole and checked at once."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from nbtorchviz.analysis.colormaps import NAMES as COLORMAPS
from nbtorchviz.arguments import flag, named_layer, refusal, whole, word
from nbtorchviz.errors import LayerNotFoundError
from nbtorchviz.session.looks import Look
from nbtorchviz.session.statistics_log import LAYER_FIELDS

CHOICES = {
    "show": ("activation", "gradient"),
    "colormap": tuple(COLORMAPS),
    "normalize": ("channel", "layer"),
    "order": ("index", "mean", "zero"),
    "overview": ("", *LAYER_FIELDS),
}
"""Accepted words. ``normalize``: each channel on its own scale, or all on one."""
_NUMBERS = ("sample", "channel", "slice", "step")
_FLAGS = ("hold", "pinned")
KEY = "the key of a layer, such as 'conv1' (see session.layers)"
"""What names a layer, for messages of all widgets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What one widget shows and how."""

    layer: str
    """Layer key, with ``#call``."""
    path: str = ""
    sample: int = 0
    channel: int = 0
    slice: int = 0
    show: str = "activation"
    colormap: str = "viridis"
    normalize: str = "channel"
    order: str = "index"
    overview: str = ""
    """Statistic of all layers over the steps, in place of the maps; ``""``: the maps."""
    hold: bool = False
    """Keep this picture while training goes on."""
    pinned: bool = False
    """Show the pinned input instead of items of the training batches."""
    step: int | None = None
    """A kept step that is shown; None = the newest."""

    @property
    def call(self) -> int:
        """Which call of the module, from 0."""
        _, _, call = self.layer.rpartition("#")
        return int(call) if call.isdecimal() and call != self.layer else 0

    @property
    def look(self) -> Look:
        """What the session must read for this selection."""
        return Look(
            layer=self.layer,
            path=self.path,
            sample=self.sample,
            gradient=self.show == "gradient",
            pinned=self.pinned,
        )

    def as_trait(self, revision: int) -> dict[str, Any]:
        """Return the ``selection`` trait; views take it over when ``rev`` grows."""
        return {"rev": revision, "call": self.call, **asdict(self)}

    def changed(self, layers: Sequence[str], **changes: Any) -> "Selection":
        """Return a copy with ``changes``, each checked.

        Args:
            layers: keys that exist.
            changes: fields of this class; ``call`` picks another call of the same module.

        Raises:
            LayerNotFoundError: no such layer.
            ValueError, TypeError: a value that is not accepted; the message says what is.
        """
        if "layer" in changes:
            named_layer(changes["layer"], KEY)
        if "call" in changes:
            call = whole("call", changes.pop("call"))
            name, hash_sign, number = changes.get("layer", self.layer).rpartition("#")
            if not (hash_sign and number.isdecimal()):
                name = changes.get("layer", self.layer)
            changes["layer"] = f"{name}#{call}" if call else name
        if "layer" in changes:
            layer = changes["layer"]
            if layer not in layers:
                raise LayerNotFoundError(layer, layers)
            if layer != self.layer:
                changes.setdefault("path", "")
                changes.setdefault("slice", 0)
        for name, accepted in CHOICES.items():
            if name in changes and changes[name] not in accepted:
                words = f"one of {', '.join(map(repr, accepted))}"
                raise refusal(name, words, changes[name], typed=True)
        for name in _NUMBERS:
            if name in changes and not (name == "step" and changes[name] is None):
                changes[name] = whole(name, changes[name])
        for name in _FLAGS:
            if name in changes:
                changes[name] = flag(name, changes[name])
        if "path" in changes:
            word("path", changes["path"], "a place in the output, such as '1.0'")
        return replace(self, **changes)
