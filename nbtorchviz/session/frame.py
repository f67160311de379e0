"""Frame: the picture a widget shows, as numbers."""

from dataclasses import dataclass, replace

import numpy as np

from nbtorchviz.analysis.statistics import summarise
from nbtorchviz.events import (
    FloatArray,
    GradientCaptured,
    LayerCaptured,
    ParameterCaptured,
    ParameterGradientCaptured,
    Statistics,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """What one layer put out for one sample, and when."""

    layer: str
    """Layer key, with ``#call``."""
    call: int
    path: str
    """Where the tensor lay in a structured output; ``""`` for a plain tensor."""
    sample: int
    step: int
    """The optimizer step that this forward belongs to; the first is 1."""
    forward: int
    phase: str
    """``"train"`` or ``"eval"``."""
    show: str
    """``"activation"``, ``"gradient"`` (of the loss with respect to the activation), ``"weight"``
    or ``"weight gradient"``; of the last two ``layer`` is the parameter's name."""
    axes: tuple[str, ...]
    """One letter per axis of ``values``."""
    values: FloatArray
    """float32, the layer's own axis order without the batch axis; read-only."""
    shape: tuple[int, ...]
    """Of the full activation, batch axis included."""
    dtype: str
    """Of the layer's output."""
    statistics: Statistics
    """Of this sample, before pooling; ``sampled`` of its ``count`` values were read."""
    notes: tuple[str, ...] = ()
    """What to know about the numbers: pooled, kept in half precision, layout assumed."""

    def to_numpy(self) -> FloatArray:
        """Return a copy of ``values`` that may be changed."""
        return np.array(self.values)


def shown_of(event: LayerCaptured) -> str:
    """Return what an event's values are, in the words of ``Frame.show``."""
    if isinstance(event, ParameterCaptured):
        return "weight gradient" if isinstance(event, ParameterGradientCaptured) else "weight"
    return "gradient" if isinstance(event, GradientCaptured) else "activation"


def statistics_of(event: LayerCaptured) -> Statistics:
    """Return the numbers of an event, of all its values where they were taken of some of them."""
    numbers = event.statistics
    if numbers.sampled < numbers.count == event.values.size:
        # Half precision makes zeros of the smallest values: their share is that of those read.
        return replace(summarise(event.values), zero_share=numbers.zero_share)
    return numbers


def frame_of(event: LayerCaptured) -> Frame:
    """Return the frame that ``event`` describes."""
    values = event.values.view()
    values.flags.writeable = False
    notes = list(event.notes)
    if event.pooled > 1:
        notes.append(f"average-pooled by {event.pooled}")
    return Frame(
        layer=event.layer,
        call=event.call,
        path=event.path,
        sample=event.sample,
        step=event.step,
        forward=event.forward,
        phase=event.phase,
        show=shown_of(event),
        axes=event.axes,
        values=values,
        shape=event.shape,
        dtype=event.dtype,
        statistics=statistics_of(event),
        notes=tuple(notes),
    )
