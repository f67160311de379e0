"""Tell each view which of its moves Python has heard: it then knows what a selection includes."""

import threading
from typing import Any

from nbtorchviz.live.streams import Stream
from nbtorchviz.widgets.base import ObserverWidget

MOST_VIEWS = 8


class HearingWidget(ObserverWidget):
    """Sends the selection again, with the number of the last move of each view, after any move.

    A subclass sets the attributes below before it is bound.
    """

    _lock: threading.RLock
    _revision: int
    _heard: dict[str, int]
    """View -> number of its last move."""
    _selection_stream: Stream

    def _dispatch(self, content: dict[str, Any]) -> None:
        try:
            super()._dispatch(content)
        finally:
            if content.get("type") == "intent":
                with self._lock:
                    self._heard[str(content.get("view", ""))] = int(content.get("n") or 0)
                    self._heard = dict(list(self._heard.items())[-MOST_VIEWS:])
                    self._revision += 1
                self._selection_stream.mark()
