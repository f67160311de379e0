"""What is known about the first NaN or infinite value of a training: numbers, and a sentence."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNKNOWN = "unknown"
"""Direction of a report that only says that something was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRange:
    """A tensor in a few numbers."""

    name: str
    """``"x"``, ``"argument 0"``, ``"gradient"``."""
    shape: tuple[int, ...]
    dtype: str
    lowest: float | None = None
    """Of the finite values; None: there is none."""
    highest: float | None = None
    nan: int = 0
    infinite: int = 0

    @property
    def finite(self) -> bool:
        """Whether every value is finite."""
        return not (self.nan or self.infinite)

    @property
    def text(self) -> str:
        """Such as ``"values from -0.03 to 1.2"``."""
        if not self.shape and self.finite and self.lowest is not None:
            return f"the value {_number(self.lowest)}"
        parts = []
        if self.lowest is not None and self.highest is not None:
            parts.append(f"values from {_number(self.lowest)} to {_number(self.highest)}")
        if self.nan:
            parts.append(f"{self.nan} NaN")
        if self.infinite:
            parts.append(f"{self.infinite} infinite")
        return " and ".join(parts) or "no values"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorPiece:
    """A rectangle out of a tensor, small enough to be kept and drawn; owns its memory."""

    name: str
    """``"input 0 of log"``, ``"result of log"``, ``"0.weight in step 3"``."""
    whole: TensorRange
    """All of the tensor."""
    values: NDArray[np.float32]
    """Shape (rows, columns), at most ``MOST_VALUES``; NaN and infinity as they were."""
    start: tuple[int, ...] = ()
    """Index in the tensor of ``values[0, 0]``. Rows run along its last axis but one, columns
    along its last."""

    @property
    def place(self) -> str:
        """Which part it is, as one would index it: ``"[2, 0:64, 0:64]"``; ``""``: all of it."""
        shape = self.whole.shape
        sizes = (1,) * (len(shape) - 2) + self.values.shape[2 - min(len(shape), 2) :]
        if sizes == shape:
            return ""
        ends = zip(self.start, sizes, range(len(shape)), strict=True)
        parts = [
            f"{at}:{at + size}" if axis >= len(shape) - 2 else f"{at}" for at, size, axis in ends
        ]
        return f"[{', '.join(parts)}]"


MOST_VALUES = 4_096
"""Of a tensor that is shown."""


def _number(value: float) -> str:
    return f"{value or 0.0:.4g}"  # not -0


@dataclass(frozen=True, slots=True, kw_only=True)
class NonFiniteReport:
    """Where the first NaN or infinite value came from; owns its memory."""

    step: int
    """The optimizer step during which it happened, from 1: the first step completes 1."""
    word: str
    """``"NaN"`` or ``"Inf"``."""
    direction: str
    """``"forward"``, ``"backward"``, ``"loss"``, ``"parameter"``, ``"input"`` or ``"unknown"``."""
    layer: str = ""
    """Key of the innermost layer, with ``#call``; ``""``: outside every layer. For a parameter
    its name."""
    call: int = 0
    op: str = ""
    """Function that made it: ``"log"``, ``"linear"``, a custom function's class; for a backward
    the forward function whose gradient it is. ``""``: not known."""
    inner: str = ""
    """The operation inside ``op`` where that is made of several: ``"aten.div"``; for a backward
    the autograd node."""
    inputs: tuple[TensorRange, ...] = ()
    """What ``op`` was given in the forward."""
    bad: int = 0
    """Values of the result that are NaN or infinite."""
    total: int = 0
    """Values of the result."""
    line: str = ""
    """``"model.py:12"``: the user's code that called ``op``; ``""``: not known."""
    code: str = ""
    """That line."""
    parameters: tuple[TensorRange, ...] = ()
    """The layer's own parameters that are not among ``inputs``."""
    before: tuple[TensorPiece, ...] = ()
    """The last good values, around the place where it broke: of a forward or a loss what ``op``
    was given, at most three tensors; of a backward the gradient that came in, then what ``op``
    was given in the forward; of a parameter its values in the last step that was looked at;
    where only the loss is known to be bad, the model's output."""
    after: TensorPiece | None = None
    """What came out, with NaN and infinity where they are; None: it was not seen."""
    where: tuple[int, ...] = ()
    """Index of the first NaN (else infinite) value in the tensor that ``after`` is of."""
    terms: tuple[tuple[str, float], ...] = ()
    """Of a loss that is a sum of several: variables of your code that it was made of."""
    seen: str = ""
    """What gave it away: ``"gradient of 0.weight"``."""
    replayed: bool = False
    """Whether running the batch again showed the same."""
    notes: tuple[str, ...] = ()
    """What limits the report, in sentences."""

    @property
    def title(self) -> str:
        """The first sentence: what, when and where."""
        begin = f"First {self.word} at step {self.step}"
        if self.direction == UNKNOWN:
            return f"{begin}: seen in {self.seen}."
        if self.direction == "parameter":
            return f"{begin}, parameter: {self.layer} was {self._count} before the forward."
        if self.direction == "input":
            return f"{begin}, input data: {self._count} of {self.inputs[0].name}."
        if not self.op:
            return f"{begin}, {self.direction}: seen in {self.seen}."
        what = f"{self.op} in {self._where}"
        got = "; ".join(given.text for given in self.inputs[:3])
        if self.direction == "backward":
            told = f" whose input had {got}" if got else ""
            return f"{begin}, backward: the gradient of {what}{told}; {self._count}."
        told = f" got {got}" if got else ""
        result = f"; {self._count}" if self.total else ""
        return f"{begin}, {self.direction}: {what}{told}{result}."

    @property
    def text(self) -> str:
        """All of it in a few sentences."""
        parts = [self.title]
        if self.inner and self.direction != "backward":
            parts.append(f"Inside, {self.inner} made it.")
        if self.line:
            parts.append(f"{self.line}: {self.code}" if self.code else f"{self.line}.")
        if self.terms:
            told = ", ".join(f"{name} = {_number(value)}" for name, value in self.terms)
            parts.append(f"Terms of the loss: {told}.")
        return " ".join((*parts, *self.notes))

    @property
    def _where(self) -> str:
        if self.direction == "loss":
            return self.layer or "the loss"
        return f"{self.layer} (call {self.call})" if self.layer else "the model's own forward"

    @property
    def _count(self) -> str:
        return f"{self.bad:,} of {self.total:,} values {self.word}"
