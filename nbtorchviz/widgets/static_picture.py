"""The picture that stays in a saved notebook, beside the live view."""

import base64
from collections.abc import Callable
from typing import Any

VIEW = "application/vnd.jupyter.widget-view+json"


class StaticPicture:
    """One display of a widget: its live view, and a PNG for readers without a kernel.

    The text is fixed at the first display, so that notebook tests compare equal; no HTML goes
    along, since JupyterLab and nbconvert would then show that instead of the picture.

    Args:
        summary: returns the text.
        snapshot: returns the PNG.
    """

    def __init__(self, summary: Callable[[], str], snapshot: Callable[[], bytes]) -> None:
        self.busy = False
        """A user's pointer or focus is in the view: updating the output would rebuild it."""
        self._summary, self._snapshot = summary, snapshot
        self._handle: Any = None
        self._text = ""

    def display(self, bundle: Any) -> None:
        """Show the widget in the current cell.

        Args:
            bundle: what the widget would be displayed as; a mapping, or (mapping, metadata).
        """
        from IPython.display import display

        self._text = self._summary()
        self._handle = display(self._filled(bundle), raw=True, display_id=True)

    def refresh(self, bundle: Any) -> bool:
        """Replace the PNG in the notebook by a new one, unless the user is in the view."""
        if self._handle is None or self.busy:
            return False
        self._handle.update(self._filled(bundle), raw=True)
        return True

    def _filled(self, bundle: Any) -> dict[str, Any]:
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        filled = {key: value for key, value in dict(data or {}).items() if key == VIEW}
        filled["image/png"] = base64.b64encode(self._snapshot()).decode()
        filled["text/plain"] = self._text
        return filled
