"""What can happen during training: frozen dataclasses of numpy arrays and builtins.

Events own their memory and are enough to draw every picture without the model. Fields are only
ever added, with a default; ``SCHEMA_VERSION`` grows when a meaning changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.measures import EXPONENTS as EXPONENTS
from nbtorchviz.measures import LOWEST_EXPONENT as LOWEST_EXPONENT
from nbtorchviz.measures import Histogram as Histogram
from nbtorchviz.measures import Statistics as Statistics
from nbtorchviz.nonfinite import NonFiniteReport

SCHEMA_VERSION = 1

FloatArray = NDArray[np.float32]


def _no_numbers() -> FloatArray:
    """Stand for "not measured" in fields added later."""
    return np.zeros(0, dtype=np.float32)


def _no_counts() -> NDArray[np.int64]:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every event carries."""

    step: int = 0
    """Optimizer steps finished when this was true (a log: at the call)."""
    forward: int = 0
    """Root forwards seen so far; the first is 1. 0 where no forward belongs to the event."""
    micro: int = 0
    """Which root forward within the step, from 0 (gradient accumulation)."""
    elapsed_s: float = 0.0
    """Seconds since the session began, monotonic clock."""
    phase: str = "train"
    """``"train"`` or ``"eval"``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerInfo:
    """One row of the layer tree."""

    key: str
    """``"layer1.0.relu"``, or ``"layer1.0.relu#1"`` for the second call of that module."""
    type: str
    """Class name: ``"Conv2d"``. ``"input"`` has type ``"input"``."""
    depth: int
    """Nesting: 0 for ``input`` and the root's children."""
    block: bool
    """True when other listed layers lie inside it."""
    shape: tuple[int, ...] | None = None
    """Shape of the first output tensor without the batch axis; None before the first forward."""
    called: bool | None = None
    """False: not called in the last surveyed forward. None: no forward yet."""
    detail: str = ""
    """Short configuration such as ``"16→32, 3×3"``; may be empty."""
    paths: tuple[str, ...] = ("",)
    """Where tensors lie in a structured output: ``("0", "1.0", "1.1")`` for an LSTM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAttached(Event):
    """A model is being watched, or its list of layers became known or changed."""

    model: str
    """Class name."""
    parameters: int
    layers: tuple[LayerInfo, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalarLogged(Event):
    """One number was logged, such as the training loss."""

    name: str
    """As given to ``log``: ``"loss"``, ``"val_loss"``, ``"loss/val"``."""
    value: float
    """NaN and infinity are kept, so that divergence shows."""
    epoch: float | None = None
    run: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCaptured(Event):
    """What a layer put out for one sample: the body of the two events below."""

    layer: str
    """Layer key, with ``#call``."""
    call: int = 0
    path: str = ""
    """Where the tensor lay in a structured output; ``""`` for a plain tensor."""
    sample: int = 0
    batch_size: int = 1
    sample_word: str = "sample"
    """``"sample"`` where the batch axis is known, else ``"row"``."""
    axes: tuple[str, ...] = ()
    """One letter per axis of ``values``: C, H, W, D, L, T, F."""
    values: FloatArray
    """float32 host copy in the layer's own axis order, batch axis removed."""
    shape: tuple[int, ...] = ()
    """Shape of the full activation, batch axis included, before pooling."""
    dtype: str = "float32"
    """dtype of the layer's output."""
    statistics: Statistics
    """Of this sample, before pooling."""
    channel_zero: NDArray[np.bool_] | None = None
    """Per channel, whether it was zero for the whole batch (for "dead"); None when not measured."""
    pooled: int = 1
    """Spatial factor by which ``values`` were average-pooled; 1 = not."""
    source: str = "batch"
    """``"batch"`` (training batch), ``"pinned"``, ``"probe"`` or ``"twin"`` (eager copy)."""
    watched: bool = True
    """False for layers kept only so that a slider can show them at once."""
    captured_at_s: float = 0.0
    """Wall clock (``time.time()``), for "0.4 s ago"."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationCaptured(LayerCaptured):
    """A layer's output, as it was before any in-place operation overwrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientCaptured(LayerCaptured):
    """Gradient of the loss with respect to a layer's output."""

    backwards: int = 1
    """How many backward passes were added up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterCaptured(LayerCaptured):
    """What a parameter held before a step: ``layer`` is its full name, there is no sample.

    ``axes`` of a convolution's kernels are C (output channels), D (input channels), H, W, and
    C, H, W where ``path`` names the part that was read; T, D are rows and columns of a matrix.
    """

    state: str = ""
    """As in ``ParameterStatisticsCaptured.states``, or ``"not stepped"``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterGradientCaptured(ParameterCaptured):
    """Gradient of the loss with respect to a parameter, as the optimizer found it.

    Accumulated, unscaled, after the user's clipping. ``values`` is empty, shape (0,), where
    there is none: ``state`` says why.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class InputCaptured(Event):
    """The input sample that the captured layers saw, with what is known about it."""

    sample: int = 0
    batch_size: int = 1
    sample_word: str = "sample"
    axes: tuple[str, ...] = ()
    values: FloatArray | None = None
    """First input tensor, batch axis removed; None when there is none."""
    shape: tuple[int, ...] = ()
    label: int | None = None
    prediction: int | None = None
    probability: float | None = None
    """Softmax probability of ``prediction``."""
    source: str = "batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerStatisticsCaptured(Event):
    """Sampled statistics of many layers of one forward, and of its backward.

    Every sequence or array is as long as ``layers``, or empty where nothing was measured.
    """

    layers: tuple[str, ...]
    """Layer keys, with ``#call``, in the order in which they were called."""
    statistics: Sequence[Statistics]
    """Of the activations, from a few thousand values each."""
    gradients: Sequence[Statistics | None] = ()
    """Of d loss / d activation; None where no gradient arrived."""
    gradient_norms: FloatArray = field(default_factory=_no_numbers)
    """L2 of d loss / d activation, ``sqrt(mean(g**2) * count)`` of what was read; NaN: none."""
    histograms: Sequence[Histogram | None] = ()
    """Of the activations."""
    gradient_histograms: Sequence[Histogram | None] = ()
    training: tuple[bool, ...] = ()
    """Per layer, its module's ``training`` flag during the forward."""
    batch_spreads: FloatArray = field(default_factory=_no_numbers)
    """Largest standard deviation over the batch axis among the positions read, same position of
    each sample; 0: every sample gave the same. NaN: one sample, no batch axis, or not read this
    time: while the output differs from sample to sample, four times a second at most."""
    still: bool = False
    """No optimizer step was ever seen, and the parameters hold what they held at the sample
    before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterStatisticsCaptured(Event):
    """Norms of parameters, of their gradients and updates, at the optimizer's step.

    Every sequence or array is as long as ``parameters``, or empty where nothing was measured.
    """

    parameters: tuple[str, ...]
    """``"conv1.weight"``, in ``named_parameters`` order; a tied one once."""
    gradient_norms: FloatArray
    """L2 norm per parameter, unscaled, after the user's clipping; NaN where there is none."""
    raw_gradient_norms: FloatArray = field(default_factory=_no_numbers)
    """Before clipping; NaN where not known."""
    norms: FloatArray = field(default_factory=_no_numbers)
    """L2 of the weights before the step; with ``every=None`` at most a second older."""
    update_norms: FloatArray = field(default_factory=_no_numbers)
    """L2 of (after the step - before); of more than 2,048 values estimated from 512, within some
    10 %, worse where a step changes few of them (an embedding). NaN where not measured this time,
    or where none of the 512 had a gradient."""
    learning_rates: FloatArray = field(default_factory=_no_numbers)
    """Of the parameter's group; NaN: in no optimizer."""
    counts: NDArray[np.int64] = field(default_factory=_no_counts)
    """Elements."""
    states: tuple[str, ...] = ()
    """``""``, or ``"frozen"``, ``"unused"`` (no gradient), ``"no optimizer"``,
    ``"skipped (inf)"``, ``"sparse"``, ``"shard"``."""
    nonfinite: NDArray[np.int64] = field(default_factory=_no_counts)
    """Non-finite gradient values among those read."""
    histograms: Sequence[Histogram | None] = ()
    """Of the gradients."""
    skipped: bool = False
    """The step was skipped by a ``GradScaler``; ``step`` is that of the last one that was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatmapComputed(Event):
    """A class activation map of one image at one layer."""

    layer: str
    method: str
    target: int
    values: FloatArray
    """Raw map, shape (H, W), in units of the class score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardFailed(Event):
    """The user's model raised in its forward; the exception went on to the user."""

    layer: str
    """Key of the innermost layer that raised."""
    error: str
    """Type and message, at most 500 characters."""
    title: str = ""
    """``"Forward failed at fc (Linear 256→10: got 64×2304)."``"""
    detail: str = ""
    remedy: str = ""
    trail: tuple[tuple[str, str, str], ...] = ()
    """(layer, type, shape) of what ran before, in order, the failing layer last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverheadMeasured(Event):
    """What watching costs."""

    share: float
    """Our time as a share of wall time over the last seconds, 0 to 1."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """Seconds by channel: ``"capture"``, ``"boundary"``, ``"sender"``, ``"messages"``."""
    samples_per_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRaised(Event):
    """Something of ours failed; training went on."""

    where: str
    """What failed, in words: ``"hook of layer1.0.relu"``."""
    message: str
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingRaised(Event):
    """A rule found something wrong with the training, or took that back."""

    rule: str
    """``"vanishing_gradients"``."""
    layer: str = ""
    """Layer or parameter; ``""`` for the whole model."""
    title: str
    """One sentence that says what is wrong."""
    evidence: str
    """Numbers, with their steps."""
    remedy: str
    """One thing to try."""
    severity: str
    """``"problem"`` or ``"hint"``."""
    since_step: int
    """Step at which it was first seen."""
    active: bool = True
    """False: the finding was taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NonFiniteFound(Event):
    """A NaN or an infinite value was seen for the first time, and traced as far as possible."""

    report: NonFiniteReport


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """The first step of a training run."""

    run: int
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(Event):
    """A run ended."""

    run: int
    how: str = "finished"
    """``"finished"``, ``"stopped"``, ``"failed"`` or ``"interrupted"``."""
