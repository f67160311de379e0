"""What the model said about the captured sample, and what is known to be true."""

import torch
from torch import Tensor

from nbtorchviz.capture.leaves import refusal
from nbtorchviz.capture.shapes import LayoutBook
from nbtorchviz.capture.tensors import HostCopy

MOST_CLASSES = 100_000


class Verdict:
    """Label, predicted class and its softmax probability for one sample of the batch."""

    def __init__(self, sample: int) -> None:
        self.sample = sample
        self._logits: HostCopy | None = None
        self._label: HostCopy | None = None
        self._batch_size: int | None = None

    @property
    def ready(self) -> bool:
        """True when no copy is still on its way from the device."""
        return all(part is None or part.ready for part in (self._logits, self._label))

    def predicted(self, output: list[tuple[str, Tensor]], book: LayoutBook) -> None:
        """Copy the logits of the sample when the root's first output is a float (N, K)."""
        self._batch_size = book.batch_size
        if not output or refusal(output[0][1]) or output[0][1].is_nested:
            return
        logits = output[0][1].detach()
        fits = logits.ndim == 2 and 2 <= logits.shape[1] <= MOST_CLASSES
        if fits and logits.is_floating_point() and 0 < logits.shape[0] == book.batch_size:
            self._logits = HostCopy(logits[min(max(self.sample, 0), logits.shape[0] - 1)])

    def labelled(self, target: object) -> None:
        """Copy the sample's label out of class indices (N,) or class probabilities (N, K)."""
        if not isinstance(target, Tensor) or target.ndim == 0 or refusal(target):
            return
        if self._label is not None or self._batch_size != target.shape[0] or not self._batch_size:
            return
        part = target.detach()[min(max(self.sample, 0), target.shape[0] - 1)]
        whole = not (part.is_floating_point() or part.is_complex())
        if (part.ndim == 0 and whole) or (part.ndim == 1 and part.is_floating_point()):
            self._label = HostCopy(part)

    def read(self) -> tuple[int | None, int | None, float | None]:
        """Return label, prediction and probability; at the boundary."""
        label = prediction = probability = None
        if self._label is not None:
            part = self._label.host()
            label = int(part if part.ndim == 0 else part.argmax())
        if self._logits is not None:
            logits = self._logits.host().to(torch.float32)
            if bool(torch.isfinite(logits).all()):
                prediction = int(logits.argmax())
                probability = float(torch.softmax(logits, 0)[prediction])
        return label, prediction, probability
