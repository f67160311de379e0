"""The pad of an input editor: an ipycanvas Canvas of the picture's size, drawn from our state."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.live.host import route_over_subshell

MISSING = "The pad needs ipycanvas, which is not installed where this kernel runs."
REMEDY = 'pip install "ipycanvas>=0.14,<0.15"'
Pixels = NDArray[np.uint8]


class Pad:
    """Sends what changed since it last drew, and tells where the pointer went.

    ipycanvas keeps no picture: after a reload, or in a second view that is new, all is drawn again.

    Args:
        height: of the picture.
        width: of the picture.
        pressed: called as ``pressed(kind, x, y)`` with ``"down"``, ``"move"`` or ``"up"``; x and y
            in pixels from the picture's corner.
        ready: called when a page has made the canvas anew.

    Raises:
        ImportError: ipycanvas is not installed.
    """

    def __init__(
        self,
        height: int,
        width: int,
        *,
        pressed: Callable[[str, float, float], None],
        ready: Callable[[], None],
    ) -> None:
        from ipycanvas import Canvas

        self.canvas = Canvas(width=width, height=height)
        if self.canvas.comm is not None:
            route_over_subshell(self.canvas.comm)
        self._pressed, self._ready = pressed, ready
        self._lock = threading.Lock()
        self._drawing = threading.RLock()
        """The sender draws while another thread may remove the canvas, which a garbage collection
        inside may do too."""
        self._drawn: Pixels | None = None
        canvas = self.canvas
        canvas.on_client_ready(self._made)
        canvas.on_mouse_down(lambda x, y: pressed("down", x, y))
        canvas.on_mouse_move(lambda x, y: pressed("move", x, y))
        canvas.on_mouse_up(lambda x, y: pressed("up", x, y))
        canvas.on_mouse_out(lambda x, y: pressed("up", x, y))
        canvas.on_touch_start(lambda at: self._touched("down", at))
        canvas.on_touch_move(lambda at: self._touched("move", at))
        canvas.on_touch_end(lambda _: pressed("up", -1.0, -1.0))
        canvas.on_touch_cancel(lambda _: pressed("up", -1.0, -1.0))

    @property
    def model_id(self) -> str:
        """By which a view finds the canvas."""
        return str(self.canvas.model_id or "")

    def forget(self) -> None:
        """Draw everything next time."""
        with self._lock:
            self._drawn = None

    def patch(self, pixels: Pixels) -> tuple[Pixels, int, int] | None:
        """Return what has to be drawn, as RGBA with its place (x, y); None when nothing has.

        Args:
            pixels: the whole picture, shape (h, w) or (h, w, 3).
        """
        with self._lock:
            drawn, self._drawn = self._drawn, pixels
        if drawn is None:
            return rgba(pixels), 0, 0
        changed = pixels != drawn
        changed = changed.any(-1) if changed.ndim == 3 else changed
        if not changed.any():
            return None
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        top, left = int(rows[0]), int(columns[0])
        part = pixels[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
        return rgba(part), left, top

    def draw(self, patch: tuple[Pixels, int, int]) -> None:
        """Draw what ``patch`` gave, unless the canvas was removed meanwhile."""
        pixels, x, y = patch
        with self._drawing:
            if self.canvas.comm is None:
                return
            # The manager names the canvas only when it changes; a reloaded page has forgotten it.
            manager: Any = self.canvas._canvas_manager
            if hasattr(manager, "_current_canvas"):
                manager._current_canvas = None
            self.canvas.put_image_data(pixels, x, y)

    def close(self) -> None:
        """Remove the canvas."""
        with self._drawing:
            layout = self.canvas.layout
            self.canvas.close()
        layout.close()

    def _made(self) -> None:
        self.forget()
        self._ready()

    def _touched(self, kind: str, places: Any) -> None:
        if places:
            self._pressed(kind, *places[0])


def rgba(pixels: Pixels) -> Pixels:
    """Return pixels with an alpha channel: ipycanvas would send three channels as a lossy JPEG."""
    colours = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    alpha = np.full((*colours.shape[:2], 1), 255, np.uint8)
    return np.concatenate([colours, alpha], axis=2)
