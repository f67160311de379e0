"""Gradients that vanish over depth, or are no numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from nbtorchviz.analysis.findings.finding import HEALTHY, UNSURE, Verdict, sick
from nbtorchviz.analysis.findings.rows import BARELY_BEGUN, ParameterRow
from nbtorchviz.analysis.findings.words import listed, number, plural, times

VANISHED = 1_000.0
"""Fall from the last third of the layers to the first at which gradients vanish. Measured on 30
trainings that learn (CNN, MLP, transformer, LSTM, ViT, ResNet, VGG, MobileNet, DenseNet, ConvNeXt;
SGD and Adam): medians of 0.04 to 98, for single steps up to 226. Trainings that do not: 4,900 (6
layers of sigmoid), 1 million (10), 1,500 (20 of tanh), 430,000 (20 of ReLU, torch's own start)."""
VANISHED_NO_MORE = 300.0
RECOVERED = 3.0
"""Growth of what the first layers get, from which on less of a fall is recovery. It may also come
of the last layers getting little: those of a deep net that is trained on one full batch have soon
learnt how frequent each class is. Measured there: 0.98 to 1.1 (6 and 10 layers of sigmoid, 20 of
ReLU and of tanh, SGD); where Adam gets such a net to learn, 11 to 18,000."""
FEWEST_DEPTH = 3
"""Layers with a weight from which on there is a depth to fall over."""
GROWING = 1e-3
"""Update, as a share of the weight, from which on a layer that has barely begun grows by itself."""


@dataclass(frozen=True, slots=True)
class Depth:
    """Gradients of one step over the depth of the model."""

    layers: Sequence[str]
    """From the input to the output."""
    rms: Sequence[float]
    """Root mean square of the elements of each layer's weight gradient. Not the norm: a layer with
    more elements has a larger norm at the same gradients."""
    saturating: bool = False
    """The model holds sigmoid or tanh layers."""
    sizes: Sequence[float] = ()
    """Each layer's weight against the usual one of the model; none where they are not known."""
    ratios: Sequence[float] = ()
    """Update of each weight as a share of it."""


def vanishing(depth: Depth, *, faintest: float = math.inf) -> Verdict:
    """Compare the first third of the layers with the last third.

    Thirds, because one odd layer (an attention gate, a layer that begins at zero) may get far less
    than all others in a healthy model; gradients vanish when all early layers get little. Layers
    with a gradient of exactly zero are left out, ``zero_gradient`` tells them.

    A layer that grows from zero passes on as little as it holds. A fall by that alone heals by
    itself and is no illness.

    Args:
        depth: of one step.
        faintest: the least ``first_third`` of those in which gradients vanished; infinite: they
            never did.

    Source: Glorot and Bengio 2010, section 4.2 (gradient size against depth); limits measured.
    """
    places = _known(depth)
    if len(places) < FEWEST_DEPTH:
        return UNSURE
    known = [(depth.layers[place], depth.rms[place]) for place in places]
    third = max(1, len(known) // 3)
    first, last = known[:third], known[-third:]
    early = first_third(depth)
    fall = median(rms for _, rms in last) / max(early, 1e-300)
    if fall < VANISHED:
        recovered = math.isinf(faintest) or early >= RECOVERED * faintest
        return HEALTHY if fall < VANISHED_NO_MORE and recovered else UNSURE
    if fall * _passed_on(depth, places[third:]) < VANISHED:
        return UNSURE
    weakest, strongest = min(first, key=_size), max(last, key=_size)
    ratio = times(strongest[1] / weakest[1])
    return sick(
        f"Gradients vanish: {weakest[0]} gets {ratio} times less than {strongest[0]}",
        f"root mean square of the weight gradient per element: {number(weakest[1])} in "
        f"{weakest[0]}, {number(strongest[1])} in {strongest[0]}, over "
        f"{plural(len(known), 'layer')}",
        remedy="Replace the sigmoid or tanh between the hidden layers by nn.ReLU."
        if depth.saturating
        else "",
        layer=weakest[0],
    )


def first_third(depth: Depth) -> float:
    """Return the median root mean square of the first third of the layers; NaN without layers."""
    known = _known(depth)
    first = known[: max(1, len(known) // 3)]
    return median(depth.rms[place] for place in first) if first else math.nan


def _known(depth: Depth) -> list[int]:
    return [place for place, rms in enumerate(depth.rms) if 0 < rms < math.inf]


def _passed_on(depth: Depth, later: Sequence[int]) -> float:
    """Return the share that the one of ``later`` which has grown least passes on; 1 if none is."""
    if not depth.sizes:
        return 1.0
    growing = (depth.sizes[place] for place in later if depth.ratios[place] >= GROWING)
    return min((size for size in growing if size < BARELY_BEGUN), default=1.0)


def _size(pair: tuple[str, float]) -> float:
    return pair[1]


def nonfinite_gradients(rows: Sequence[ParameterRow]) -> Verdict:
    """Look for NaN and Inf in the gradients of one step."""
    ill = [row for row in rows if row.nonfinite > 0 or math.isinf(row.gradient)]
    if not ill:
        return HEALTHY if any(math.isfinite(row.gradient) for row in rows) else UNSURE
    known = sum(not math.isnan(row.gradient) or row.nonfinite > 0 for row in rows)
    # Backward begins at the output: of the ill layers the last one is nearest to the cause.
    return sick(
        f"Gradients are NaN or infinite in {plural(len(ill), 'parameter')} of {known}",
        f"{listed([row.name for row in ill])}; nearest to the loss is {ill[-1].name}",
        layer=ill[-1].layer,
    )


def skipped_steps(*, skipped: bool) -> Verdict:
    """Tell a ``GradScaler`` that never gets through from one that finds its scale."""
    if not skipped:
        return HEALTHY
    return sick(
        "No step is made: the GradScaler skips all of them",
        "each scaled gradient held NaN or infinity",
    )
