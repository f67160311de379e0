"""A browser's side of a widget, simulated: it says that it is there, and acks what it gets."""

import queue
import threading
from typing import Any

from nbtorchviz.analysis.packets import unpack

STREAMS = {"picture": "frame", "curve": "curve"}
"""Trait -> stream that its packets are acked on, unless a widget says otherwise."""


class FakeView:
    """Acks every frame of ``widget`` after ``delay_s``, from a thread of its own."""

    def __init__(
        self, widget: Any, delay_s: float = 0.015, *, streams: dict[str, str] = STREAMS
    ) -> None:
        self._widget, self._streams = widget, streams
        self._delay_s = delay_s
        self._queue: queue.Queue[tuple[str, int] | None] = queue.Queue()
        self.frames = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._traits = [name for name in streams if widget.has_trait(name)]
        for name in self._traits:
            widget.observe(self._arrived, name)
        widget.session.sender.flow.wired = True  # as in a kernel: acks are waited for
        self._say({"type": "ready", "visible": True})
        self._thread.start()

    def close(self) -> None:
        """Leave the page."""
        for name in self._traits:
            self._widget.unobserve(self._arrived, name)
        self._stop.set()
        self._queue.put(None)
        self._thread.join()
        self._say({"type": "gone"})

    def _say(self, content: dict[str, Any]) -> None:
        self._widget._on_message(self._widget, {**content, "view": "bench"}, [])

    def _arrived(self, change: dict[str, Any]) -> None:
        header, _ = unpack(change["new"])
        self._queue.put((self._streams[change["name"]], header["seq"]))

    def _run(self) -> None:
        waited = 0.0
        while not self._stop.is_set():
            try:
                item = self._queue.get(timeout=1.0)
            except queue.Empty:
                waited += 1.0
                if waited >= 5.0:
                    self._say({"type": "here", "visible": True})
                    waited = 0.0
                continue
            if item is None:
                return
            self._stop.wait(self._delay_s)
            self.frames += 1
            self._say({"type": "ack", "stream": item[0], "seq": item[1]})
