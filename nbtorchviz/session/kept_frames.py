"""Frames kept in memory, so that a slider shows a layer, or an earlier step, at once.

One bounded store for both: the newest frame of every visited layer answers the Layer slider,
older ones of the same layer answer the Step slider.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.events import GradientCaptured, LayerCaptured, ParameterGradientCaptured

LIMIT_BYTES = 64 * 1024 * 1024
"""Memory for all kept frames of one session."""
FRAMES_PER_LAYER = 64
"""Steps kept of one layer; beyond it every second older one is dropped, so that the rest still
spans the whole run."""

RECENT = 12
"""The newest frames of a layer stay however close together they are: what led to an incident is
among them when it is noticed."""
MOST_INCIDENTS = 4
BEFORE, AFTER = 4, 3
"""Frames of each layer that an incident holds: up to its step, and after it."""
HELD_SHARE = 0.5
"""Of the memory, for frames that incidents hold."""

Slot = tuple[str, str, bool]


@dataclass(frozen=True, slots=True)
class _Kept:
    event: LayerCaptured  # without its values
    codes: NDArray[np.float16]
    scale: np.float32

    @property
    def size_bytes(self) -> int:
        return self.codes.nbytes + 512

    def restore(self) -> LayerCaptured:
        notes = (*self.event.notes, HALF_PRECISION) if self.codes.size else self.event.notes
        return replace(self.event, values=self.codes.astype(np.float32) * self.scale, notes=notes)


HALF_PRECISION = "kept to three digits (half precision)"


def picture_notes(event: LayerCaptured) -> list[str]:
    """Return the notes of an event without what no picture of 256 levels shows."""
    return [note for note in event.notes if note and note != HALF_PRECISION]


_NOTHING = np.empty(0, np.float32)


def _keep(event: LayerCaptured) -> _Kept:
    """Half precision relative to the largest value, so that 1e-9 and 1e9 both survive."""
    magnitudes = np.abs(event.values)
    largest = np.max(magnitudes, initial=0.0, where=np.isfinite(magnitudes))
    scale = np.float32(largest) if largest > 0 else np.float32(1.0)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        codes = (event.values / scale).astype(np.float16)
    return _Kept(replace(event, values=_NOTHING), codes, scale)


def weakest(weights: Sequence[float]) -> int:
    """Place of what is to go: the least weight but for the newest, of equal ones the oldest."""
    before = range(max(1, len(weights) - 1))
    return min(before, key=weights.__getitem__)


class KeptFrames:
    """The newest frame of every layer, and earlier ones as far as the memory bound allows.

    Args:
        limit_bytes: bound on all kept values together; the longest history is thinned first, and
            the newest frame of a layer goes last.
    """

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._frames: dict[Slot, list[_Kept]] = {}
        self._spacing: dict[Slot, int] = {}
        self._first_paths: dict[str, str] = {}
        self._incidents: dict[int, dict[Slot, set[int]]] = {}
        self._weights: dict[int, float] = {}
        """Of the incidents, by step too."""
        self.size_bytes = 0
        """Bytes held now."""
        self.steps_added = 0
        """Steps of which a frame was ever added."""
        self._newest_step = -1

    def add(self, event: LayerCaptured) -> None:
        """Keep a copy of ``event`` in half precision."""
        kept, slot = _keep(event), _slot(event)
        with self._lock:
            self.steps_added += event.step != self._newest_step
            self._newest_step = event.step
            frames = self._frames.setdefault(slot, [])
            leaves = len(frames) - RECENT
            if leaves >= 1 and self._too_near(slot, frames, leaves):
                self._drop(frames, leaves)  # it was only there as one of the newest
            frames.append(kept)
            self.size_bytes += kept.size_bytes
            self._hold_new(slot, event.step)
            if len(frames) > FRAMES_PER_LAYER:
                self._thin(slot, frames)
            while self.size_bytes > self._limit and self._shrink():
                pass

    def hold(self, step: int, weight: float = 0.0) -> None:
        """Keep what is kept around ``step``, and the next few frames, as long as there is room.

        The weakest incident before the newest is let go where there are more than
        ``MOST_INCIDENTS``, or where they hold more than ``HELD_SHARE`` of the memory.

        Args:
            step: of the incident.
            weight: how much it matters.
        """
        with self._lock:
            self._incidents.setdefault(step, {})
            self._weights[step] = max(weight, self._weights.get(step, weight))
            for slot, frames in self._frames.items():
                steps = [kept.event.step for kept in frames]
                until = [at for at in steps if at <= step][-BEFORE:]
                since = [at for at in steps if at > step][:AFTER]
                self._incidents[step][slot] = {*until, *since}
            while len(self._incidents) > MOST_INCIDENTS:
                self._let_go()
            self._fit_held()

    def held(self, layer: str, *, path: str = "", gradient: bool = False) -> dict[int, list[int]]:
        """Return what incidents hold of ``layer``: {step of the incident: steps of frames}."""
        with self._lock:
            slot = (layer, self.path_of(layer, path), gradient)
            return {step: sorted(slots.get(slot, ())) for step, slots in self._incidents.items()}

    def learn_first(self, layer: str, path: str) -> None:
        """Note where in the output of ``layer`` the tensor lies that ``path=""`` stands for."""
        self._first_paths[layer] = path

    def path_of(self, layer: str, path: str = "") -> str:
        """Return where the tensor lies: ``path``, or the place of the first where it is empty."""
        return path or self._first_paths.get(layer, "")

    def newest(self, layer: str, *, path: str = "", gradient: bool = False) -> LayerCaptured | None:
        """Return the last kept frame of ``layer``, or None."""
        with self._lock:
            frames = self._frames.get((layer, self.path_of(layer, path), gradient))
            kept = frames[-1] if frames else None
        return kept.restore() if kept else None

    def at(
        self, step: int, layer: str, *, path: str = "", gradient: bool = False
    ) -> LayerCaptured | None:
        """Return the kept frame of ``layer`` nearest to ``step``, or None when there is none."""
        with self._lock:
            frames = self._frames.get((layer, self.path_of(layer, path), gradient))
            kept = min(frames, key=lambda k: abs(k.event.step - step)) if frames else None
        return kept.restore() if kept else None

    def steps(self, layer: str, *, path: str = "", gradient: bool = False) -> tuple[int, ...]:
        """Steps of the kept frames of ``layer``, oldest first."""
        with self._lock:
            slot = (layer, self.path_of(layer, path), gradient)
            return tuple(k.event.step for k in self._frames.get(slot, ()))

    def visited(self) -> dict[str, float]:
        """When each layer's newest activation was captured: {layer: wall clock in seconds}."""
        with self._lock:
            return {
                layer: frames[-1].event.captured_at_s
                for (layer, _, gradient), frames in self._frames.items()
                if frames and not gradient
            }

    def newest_steps(self) -> dict[str, int]:
        """Step of each layer's newest activation (of its first tensor)."""
        with self._lock:
            return {
                layer: frames[-1].event.step
                for (layer, path, gradient), frames in self._frames.items()
                if frames and not gradient and path == self.path_of(layer)
            }

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._frames.clear()
            self._spacing.clear()
            self._incidents.clear()
            self._weights.clear()
            self.size_bytes = 0

    def _too_near(self, slot: Slot, frames: list[_Kept], index: int) -> bool:
        near = frames[index].event.step - frames[index - 1].event.step < self._spacing.get(slot, 1)
        return near and not self._is_held(slot, frames[index])

    def _is_held(self, slot: Slot, kept: _Kept) -> bool:
        return kept.event.step in self._held_steps(slot)

    def _held_steps(self, slot: Slot) -> set[int]:
        return set().union(*(slots.get(slot, ()) for slots in self._incidents.values()))

    def _hold_new(self, slot: Slot, step: int) -> None:
        for at, slots in self._incidents.items():
            held = slots.setdefault(slot, set())
            if step > at and sum(each > at for each in held) < AFTER:
                held.add(step)
                self._fit_held()
                return

    def _let_go(self) -> None:
        steps = list(self._incidents)
        gone = steps[weakest([self._weights[step] for step in steps])]
        del self._incidents[gone], self._weights[gone]

    def _fit_held(self) -> None:
        while self._incidents and self._held_bytes() > HELD_SHARE * self._limit:
            self._let_go()

    def _held_bytes(self) -> int:
        total = 0
        for slot, frames in self._frames.items():
            if held := self._held_steps(slot):
                total += sum(kept.size_bytes for kept in frames if kept.event.step in held)
        return total

    def _drop(self, frames: list[_Kept], index: int) -> None:
        self.size_bytes -= frames.pop(index).size_bytes

    def _thin(self, slot: Slot, frames: list[_Kept]) -> None:
        older = len(frames) - RECENT
        for index in range(older - 1, 0, -2):
            if not self._is_held(slot, frames[index]):
                self._drop(frames, index)
        span = frames[-1].event.step - frames[0].event.step
        self._spacing[slot] = max(1, 2 * span // FRAMES_PER_LAYER)

    def _shrink(self) -> bool:
        """Drop something; False when nothing is left to drop."""
        sizes = {}
        for slot, frames in self._frames.items():
            sizes[slot] = sum(k.size_bytes for k in frames[:-1])
            if held := self._held_steps(slot):
                sizes[slot] -= sum(k.size_bytes for k in frames[:-1] if k.event.step in held)
        slot = max(sizes, key=sizes.__getitem__)
        frames = self._frames[slot]
        if sizes[slot]:
            free = [at for at, k in enumerate(frames[:-1]) if not self._is_held(slot, k)]
            self._drop(frames, free[1] if len(free) > 1 and free[0] == 0 else free[0])
            return True
        if self._incidents:
            self._let_go()
            return True
        oldest = min(self._frames, key=lambda s: self._frames[s][-1].event.captured_at_s)
        if len(self._frames) == 1:
            return False
        self._drop(self._frames.pop(oldest), 0)
        return True


def _slot(event: LayerCaptured) -> Slot:
    gradient = isinstance(event, GradientCaptured | ParameterGradientCaptured)
    return event.layer, event.path, gradient
