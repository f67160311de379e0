"""What capture is asked for, what it hands back, and the two protocols between it and a session."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nbtorchviz.events import LayerInfo, Statistics

if TYPE_CHECKING:
    from nbtorchviz.capture.parameters import ParameterStatistics
    from nbtorchviz.capture.spreads import LayerStatistics
    from nbtorchviz.capture.weights import WeightRead

Summarise = Callable[..., Statistics]


@dataclass(frozen=True, slots=True)
class Want:
    """One picture that somebody waits for."""

    key: str
    """Layer key with call: ``"layer1.0.relu#1"``; or ``"input"``."""
    path: str = ""
    """Tensor leaf of a structured output; ``""`` = its first floating tensor, else its first."""
    sample: int = 0
    """Index along the batch axis, clipped to the batch."""
    limit: int = 250_000
    """Most values to return; beyond it they are average-pooled, and ``Caught.pooled`` says so."""
    gradient: bool = False
    """Also the gradient of the loss with respect to this activation."""
    exact: bool = True
    """Statistics of every element of the sample up to 4M elements, else of <= 2,048 of them."""
    watched: bool = True
    """False for layers kept only so that a slider can show them at once."""


@dataclass(frozen=True, slots=True)
class WeightWant:
    """One parameter whose values and gradient somebody waits to see."""

    name: str
    """``"conv1.weight"``."""
    part: int | None = None
    """Input channel to read where all kernels hold more than ``limit`` values; None: their mean."""
    limit: int = 250_000
    """Most values to copy of each; matrices beyond it are average-pooled."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one window, that is one root forward and its backward, is to catch."""

    wants: tuple[Want, ...] = ()
    survey: bool = False
    """Record execution order, call counts, shapes and tensor paths of all modules."""
    statistics: bool = False
    """Sampled statistics of the output of every called layer, and of the gradient it gets."""
    parameters: bool = False
    """Norms of all parameters, their gradients and updates, at the step of this forward."""
    weights: tuple[WeightWant, ...] = ()
    """Parameters to read whole, at the same step."""
    exact: bool = False
    """Norms of weights are those of this step; else they may be a second old."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Arguments of one root forward, owned: nothing else writes to these tensors."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    sample: int = 0
    """Which sample of its batch the (only) item was."""
    batch_size: int = 1


@dataclass(slots=True)
class Caught:
    """One tensor leaf of one call of one layer, for one sample; owns its memory."""

    key: str
    call: int
    path: str
    sample: int
    batch_size: int
    sample_word: str
    """``"sample"`` where the batch axis is known, else ``"row"``."""
    axes: tuple[str, ...]
    values: NDArray[Any]
    """float32 without the batch axis. Empty, shape (0,), when there is nothing to
    show: ``notes`` says why (meta tensor, batched by vmap, ...)."""
    shape: tuple[int, ...]
    """Of the whole tensor, batch axis included, before pooling."""
    dtype: str
    """Of the layer's output."""
    statistics: Statistics
    """Of this sample, before pooling."""
    pooled: int = 1
    channel_zero: NDArray[np.bool_] | None = None
    """Per channel, whether it was zero for the whole batch; None when not measured."""
    notes: tuple[str, ...] = ()
    watched: bool = True
    gradient: "Caught | None" = None
    backwards: int = 0
    """How many backward passes were added up in ``gradient``."""


@dataclass(slots=True)
class Catch:
    """Everything that one window caught."""

    forward: int
    micro: int
    phase: str
    step: int = 0
    """Optimizer steps finished at the boundary that completed this catch."""
    caught: list[Caught] = field(default_factory=list)
    input: Caught | None = None
    label: int | None = None
    prediction: int | None = None
    probability: float | None = None
    survey: tuple[LayerInfo, ...] | None = None
    statistics: "LayerStatistics | None" = None
    still: bool = False
    """No step was ever seen, and the parameters hold what they held at the sample before."""
    cost_s: float = 0.0
    """Time spent in our hooks and in turning copies into arrays."""
    source: str = "batch"
    """``"batch"``, ``"probe"`` or ``"twin"`` (eager run of a compiled model)."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Boundary:
    """A step, or without an optimizer a root forward, finished."""

    step: int
    forward: int
    micro: int
    kind: str
    """``"step"`` or ``"forward"``."""
    catch: Catch | None = None
    cost_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ForwardFailure:
    """The user's model raised in its forward; fields as in ``events.ForwardFailed``."""

    layer: str
    error: str
    title: str = ""
    detail: str = ""
    remedy: str = ""
    trail: tuple[tuple[str, str, str], ...] = ()
    step: int = 0
    forward: int = 0
    micro: int = 0
    phase: str = "train"


class PlanSource(Protocol):
    """Who says what to capture; asked on the training thread only."""

    def wanted_phase(self) -> str:
        """Return ``"train"``, ``"eval"`` or ``"any"``."""

    def next_plan(self, phase: str) -> Plan | None:
        """Return what to catch in the root forward that begins now, or None. Must be cheap."""


class CatchSink(Protocol):
    """Who hears what happened; called on the training thread only."""

    def at_boundary(self, boundary: Boundary) -> None:
        """Hear that a step, or without an optimizer a root forward, finished."""

    def step_passed(self, cost_s: float, kind: str) -> None:
        """Hear of a step in which nothing was caught, instead of ``at_boundary``: most are.

        Args:
            cost_s: seconds spent in our hooks since the last boundary. Must be cheap.
            kind: ``"step"`` or ``"forward"``.
        """

    def parameters_read(self, read: "ParameterStatistics", step: int, cost_s: float) -> None:
        """Hear what the optimizers did to the parameters in the step that completed ``step``."""

    def weights_read(self, read: "list[WeightRead]", step: int, cost_s: float) -> None:
        """Hear what the wanted parameters and their gradients held at that step."""

    def step_completed(self) -> None:
        """Hear that another optimizer has completed a step whose boundary is past.

        What it did to the parameters was handed over just before; this is no boundary more.
        """

    def forward_began(self, phase: str, matched: bool) -> None:
        """Hear that a root forward began. Must be cheap."""

    def forward_failed(self, failure: ForwardFailure) -> None:
        """Hear why the user's forward raised."""

    def fault(self, where: str, error: BaseException) -> None:
        """Hear that something of ours failed; training went on."""
