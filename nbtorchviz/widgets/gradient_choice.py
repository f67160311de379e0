"""What is selected in a GradientInspector: one value, checked as a whole."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from nbtorchviz.arguments import named_layer, refusal, whole
from nbtorchviz.errors import LayerNotFoundError
from nbtorchviz.widgets.selection import KEY

VIEWS = ("flow", "time", "ratio", "histograms", "maps")
"""Norms by depth, norms by step, update-to-weight ratio, distribution of the values, the values."""
CHOICES = {
    "view": VIEWS,
    "drawn": ("lines", "heat"),
    "rows": ("", "weights", "all"),
    "normalize": ("channel", "layer"),
}
MOST_PICKED = 32
OUTPUT = "@gradient"
"""Of what is shown: the gradient of the loss with respect to the layer's output."""
GRADIENT = ".grad"
"""Ends what is shown where it is the gradient of a parameter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientChoice:
    """What one GradientInspector shows."""

    view: str = "flow"
    layer: str = ""
    """Layer key, or a parameter's full name where its module is no layer; ``""``: none yet."""
    of: str = ""
    """The layer's parameter whose values are shown, ``"@gradient"`` or ``"@activation"``."""
    step: int | None = None
    """A kept step; None = the newest."""
    metric: str = "gradient"
    drawn: str = "lines"
    rows: str = ""
    picked: tuple[str | None, ...] | None = None
    """Rows drawn as lines, by colour; None: chosen by the view."""
    shown: str = ""
    """Of what maps are shown: ``"@gradient"`` (of the layer's output), a parameter's own name, or
    that and ``".grad"``; what the layer does not have stands for ``"@gradient"``."""
    part: int | None = None
    """Input channel of the kernels that are shown; None: the mean over all."""
    sample: int = 0
    channel: int = 0
    """The enlarged map."""
    normalize: str = "channel"
    """Each map on its own scale, or all on that of the ``"layer"``."""
    range: tuple[float, float | None] | None = None
    """Steps shown over time, None as their end: up to the newest. None: the whole run."""

    @property
    def tensor(self) -> tuple[object, ...]:
        """What decides which tensor the maps view shows."""
        return self.view, self.layer, self.shown, self.part, self.sample, self.step

    def as_trait(self, revision: int, heard: dict[str, int]) -> dict[str, Any]:
        """Return the ``selection`` trait; views take it over when ``rev`` grows."""
        return {"rev": revision, "heard": heard, **asdict(self)}

    def changed(self, known: Sequence[str], **changes: Any) -> "GradientChoice":
        """Return a copy with ``changes``, each checked.

        Args:
            known: layer keys and parameter names that exist.
            changes: fields of this class.

        Raises:
            LayerNotFoundError: no such layer.
            TypeError, ValueError: a value that is not accepted; the message says what is.
        """
        for name, accepted in CHOICES.items():
            if name in changes and changes[name] not in accepted:
                words = f"one of {', '.join(map(repr, filter(None, accepted)))}"
                raise refusal(name, words, changes[name], typed=True)
        if changes.get("layer", "") != "":
            layer = named_layer(changes["layer"], KEY)
            if layer not in known:
                raise LayerNotFoundError(layer, known)
        for name in ("of", "metric", "shown"):
            if name in changes and not isinstance(changes[name], str):
                raise refusal(name, "text", changes[name])
        for name in ("step", "part", "sample", "channel"):
            if name in changes and (changes[name] is not None or name in ("sample", "channel")):
                changes[name] = whole(name, changes[name])
        if changes.get("range") is not None:
            changes["range"] = _stretch(changes["range"])
        if changes.get("picked") is not None:
            picked = [None if row is None else str(row) for row in changes["picked"]]
            changes["picked"] = tuple(picked[:MOST_PICKED])
        return replace(self, **changes)


def _stretch(given: Any) -> tuple[float, float | None]:
    """Check a stretch of steps."""
    words = "two steps, the first and the last (None: the newest)"
    if not isinstance(given, list | tuple) or len(given) != 2:
        raise refusal("range", words, given)
    first, last = given
    good = isinstance(first, int | float) and (last is None or isinstance(last, int | float))
    if not good or not math.isfinite(first) or (last is not None and not first < last):
        raise refusal("range", words, given)
    return float(first), None if last is None else float(last)


def check_shown(shown: object, parameters: Iterable[str] | None) -> None:
    """Refuse what no layer of a model has; a layer without it shows its output's gradient.

    Args:
        shown: as in ``GradientChoice``.
        parameters: names of the model's; None: it is gone.

    Raises:
        ValueError: neither empty, nor ``"@gradient"``, nor the own name of any parameter.
    """
    if parameters is None or not isinstance(shown, str) or shown in ("", OUTPUT):
        return
    own = sorted({name.rpartition(".")[2] for name in parameters})
    if shown.removesuffix(GRADIENT) not in own:
        words = ", ".join(repr(each) for name in own for each in (name, name + GRADIENT))
        raise refusal("shown", f"{OUTPUT!r} or, of this model, {words}", shown, typed=True)
