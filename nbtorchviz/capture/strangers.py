"""Tell the forward that is sampled from those that other threads run of the same model beside it.

An actor, a server or an evaluation on a thread of its own calls the very modules whose hooks wait
for the batch of a training step.
"""

import sys
import threading

import torch
from torch import nn

_CALL = nn.Module._call_impl.__code__


class Strangers:
    """Threads that are inside a root forward which is not the sampled one."""

    def __init__(self) -> None:
        self._inside: set[int] = set()
        self._owner = threading.get_ident()
        """Thread of the last root forward that was none of theirs."""

    def began(self, *, inside: bool, sampling: bool) -> bool:
        """Whether the root forward that begins on this thread is a stranger's.

        Args:
            inside: a root forward began and has not ended.
            sampling: some step is being sampled, from its forward to its end.
        """
        thread, owner = threading.get_ident(), self._owner
        self._inside.discard(thread)
        if thread == owner:
            return False
        # One that was interrupted never ends: training may go on on another thread.
        inside = inside and _in_forward(owner)
        if sampling and (inside or not torch.is_grad_enabled()):
            self._inside.add(thread)
            return True
        if inside:
            self._inside.add(owner)
        self._owner = thread
        return False

    def ended(self) -> bool:
        """Whether the root forward that ended on this thread was a stranger's."""
        thread = threading.get_ident()
        if thread not in self._inside:
            return thread != self._owner
        self._inside.discard(thread)
        return True

    def here(self) -> bool:
        """Whether the caller is part of a stranger's forward."""
        return bool(self._inside) and threading.get_ident() in self._inside


def _in_forward(thread: int) -> bool:
    """Whether a thread is inside any module's call just now."""
    frame = sys._current_frames().get(thread)
    while frame is not None:
        if frame.f_code is _CALL:
            return True
        frame = frame.f_back
    return False
