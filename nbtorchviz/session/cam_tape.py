"""Maps that were computed earlier in a training, to be played back. Bounded in bytes."""

import threading

from nbtorchviz.analysis.cam_frame import CamFrame

MOST_BYTES = 16_000_000
FRAME_BYTES = 128_000
"""A kept frame is no larger: classes are left out, then maps averaged."""


class CamTape:
    """Frames by step. When it is full, every other one is forgotten: the run stays covered.

    Args:
        most_bytes: of all frames together.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._frames: dict[int, CamFrame] = {}

    @property
    def steps(self) -> list[int]:
        """Steps that are kept, rising."""
        with self._lock:
            return sorted(self._frames)

    @property
    def size_bytes(self) -> int:
        """Memory of all frames."""
        with self._lock:
            return sum(frame.size_bytes for frame in self._frames.values())

    def add(self, frame: CamFrame, first: list[int]) -> None:
        """Keep a frame; ``first`` are the slots that matter most. A step counts once.

        A step before the newest one begins a new training, and so a new tape.
        """
        small = frame.within(FRAME_BYTES, first)
        with self._lock:
            if self._frames and frame.step < max(self._frames):
                self._frames.clear()
            self._frames[frame.step] = small
            while len(self._frames) > 2 and self._total() > self._most_bytes:
                steps = sorted(self._frames)
                for step in steps[1:-1:2]:
                    del self._frames[step]

    def at(self, step: int) -> CamFrame | None:
        """Return the newest frame that is not after ``step``; the oldest if all are."""
        with self._lock:
            earlier = [each for each in self._frames if each <= step]
            if not self._frames:
                return None
            return self._frames[max(earlier) if earlier else min(self._frames)]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._frames.clear()

    def _total(self) -> int:
        return sum(frame.size_bytes for frame in self._frames.values())
