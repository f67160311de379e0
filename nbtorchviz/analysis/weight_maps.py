"""Arrange a parameter for showing: kernels as tiles, matrices as a map, vectors as a strip."""

from dataclasses import replace

import numpy as np

from nbtorchviz.analysis.feature_maps import Display, describe
from nbtorchviz.analysis.layouts import Axes
from nbtorchviz.analysis.quantise import Floats

_MATRICES = {"Embedding": ("entry", "feature"), "EmbeddingBag": ("entry", "feature")}
_KERNEL = ("C", "D", "H", "W")


def inputs_of(values: Floats, axes: Axes) -> int:
    """Return how many input channels one can choose among; 0 where there is no choice."""
    return int(values.shape[1]) if axes == _KERNEL and values.shape[1] > 1 else 0


def kernel_maps(values: Floats, axes: Axes, part: int | None) -> tuple[Floats, Axes]:
    """Return one map per output channel of a convolution's kernels; others as they are.

    Args:
        values: shape (C, D, H, W): output channel, input channel, kernel.
        axes: of the values.
        part: which input channel, clipped to those there are; None: the signed mean over all,
            ``values.mean(axis=1)``.

    Returns:
        Maps of shape (C, H, W), and their axes.
    """
    if axes != _KERNEL:
        return values, axes
    if part is None:
        mean = values.mean(axis=1, dtype=np.float64) if values.shape[1] > 1 else values[:, 0]
        return mean.astype(np.float32, copy=False), ("C", "H", "W")
    return values[:, min(part, values.shape[1] - 1)], ("C", "H", "W")


def describe_weight(
    values: Floats,
    axes: Axes,
    *,
    part: int | None = None,
    channel: int = 0,
    module_type: str = "",
    limit: int = 250_000,
) -> Display:
    """Arrange a parameter, or its gradient, for showing.

    Args:
        values: as ``ParameterCaptured`` carries them.
        axes: of the values.
        part: as in ``kernel_maps``.
        channel: a page of output channels that holds this one is shown where not all fit.
        module_type: class name of the module, for the names of a matrix's rows and columns.
        limit: most values to show.
    """
    shown, axes = kernel_maps(values, axes, part)
    words = _MATRICES.get(module_type, ("output", "input"))
    display = describe(shown, axes, channel=channel, words=words, limit=limit)
    if axes == ("C", "H", "W") and module_type.endswith("1d"):
        return replace(display, rows="input", columns="tap")
    return display
