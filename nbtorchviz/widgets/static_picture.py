"""The picture that stays in a saved notebook, beside the live view."""

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any

from nbtorchviz.analysis.drawing import TRUEST
from nbtorchviz.live.host import detect

VIEW = "application/vnd.jupyter.widget-view+json"
NOTHING = {"text/html": ""}
"""An output of no height."""
PRIVATE = "private: no pixels are saved"
"""In place of the picture of a widget that was made with ``private=True``."""


class StaticPicture:
    """One display of a widget: its live view, and a PNG for readers without a kernel.

    JupyterLab and Notebook 7 show the view that an output names, or an error line once its kernel
    is gone, and never the PNG of the same output. There the PNG is an output of its own below, and
    ``static/src/common.css`` hides it as long as there is a view. Elsewhere both are one output.

    The text is fixed at the first display, so that notebook tests compare equal; no HTML goes
    along, since JupyterLab and nbconvert would then show that instead of the picture.

    Args:
        bundle: returns what the widget would be displayed as; a mapping, or (mapping, metadata).
        summary: returns the text.
        snapshot: returns the PNG; None: what it would show is private.
        private: whether the text says that no pixels are saved.
    """

    def __init__(
        self,
        bundle: Callable[[], Any],
        summary: Callable[[], str],
        snapshot: Callable[[], bytes | None],
        *,
        private: bool = False,
    ) -> None:
        self.busy = False
        """A user's pointer or focus is in the view: updating its output would rebuild it."""
        self._bundle, self._summary, self._snapshot = bundle, summary, snapshot
        self._private = private
        self._apart = detect().lab_like
        self._handle: Any = None
        self._text = ""

    def display(self) -> None:
        """Show the widget in the current cell."""
        from IPython.display import display

        self._text = f"{self._summary()}\n{PRIVATE}" if self._private else self._summary()
        if self._apart:
            display(self._view(), raw=True)
        self._handle = display(self._still(), raw=True, display_id=True)

    def refresh(self) -> bool:
        """Replace the PNG in the notebook by a new one, unless the user is in the view."""
        if self._handle is None or (self.busy and not self._apart):
            return False
        self._handle.update(self._still(), raw=True)
        return True

    def _view(self) -> dict[str, Any]:
        bundle = self._bundle()
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        view = {key: value for key, value in dict(data or {}).items() if key == VIEW}
        return {**view, "text/plain": self._text}

    def _still(self) -> dict[str, Any]:
        picture = self._snapshot()
        still = {} if picture is None else {"image/png": base64.b64encode(picture).decode()}
        if not self._apart:
            return {**self._view(), **still}
        return {**still, "text/plain": self._text} if still else dict(NOTHING)


def stacked(pictures: Sequence[bytes]) -> bytes:
    """Return PNGs one below the other as one PNG, as wide as the narrowest, on the first's ground.

    One that was too large for its file is drawn with half the pixels: the others follow it.
    """
    from PIL import Image

    images = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in pictures]
    width = min(image.width for image in images)
    images = [
        image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
        for image in images
    ]
    whole = Image.new("RGB", (width, sum(i.height for i in images)), images[0].getpixel((0, 0)))
    top = 0
    for image in images:
        whole.paste(image, (0, top))
        top += image.height
    out = io.BytesIO()
    colours = whole.quantize(256, TRUEST, dither=Image.Dither.NONE)
    colours.save(out, "PNG", optimize=True)
    return out.getvalue()


class Notice:
    """A line in the cell's output that is empty until there is something to say."""

    def __init__(self) -> None:
        self._handle: Any = None
        self.text = ""
        """What it says now."""

    def reserve(self) -> None:
        """Keep a place, of no height, below the widget in the current cell."""
        from IPython.display import display

        self._handle = display(NOTHING, raw=True, display_id=True)

    def say(self, text: str) -> None:
        """Show ``text`` there; ``""`` takes it away again. Without a place nothing is shown."""
        if self._handle is None or text == self.text:
            return
        self.text = text
        self._handle.update({"text/plain": text} if text else NOTHING, raw=True)
