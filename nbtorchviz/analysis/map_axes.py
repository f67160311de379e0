"""Bring any layer's output into the order (N, C, spatial axes) that map formulas need."""

from dataclasses import dataclass

from torch import Tensor

from nbtorchviz.analysis.layouts import Axes, Layout
from nbtorchviz.analysis.tokens import patch_grid

_PERMUTED: dict[Axes, tuple[int, Axes]] = {
    ("C", "H", "W"): (0, ("H", "W")),
    ("H", "W", "C"): (2, ("H", "W")),
    ("C", "L"): (0, ("L",)),
    ("C", "D", "H", "W"): (0, ("D", "H", "W")),
    ("T", "D"): (1, ("T",)),
}
"""Axes of one sample -> where its channels are, and what is left without them."""


@dataclass(frozen=True, slots=True)
class MapAxes:
    """How an output becomes a map."""

    axes: Axes
    """Of the map, without N: ("H", "W"), ("L",), ("D", "H", "W") or ("T",)."""
    shape: tuple[int, ...]
    """Sizes of ``axes``."""
    batch_axis: int | None
    channel_axis: int
    """Among the axes of one sample."""
    prefix: int = 0
    """Tokens before the patches: class token, distillation token, registers."""
    note: str = ""

    def arrange(self, output: Tensor) -> Tensor:
        """Return ``output`` itself, a view or a copy of it, as (N, C, *shape)."""
        if self.batch_axis == 0 == self.channel_axis and output.shape[2:] == self.shape:
            return output
        batched = output[None] if self.batch_axis is None else output.movedim(self.batch_axis, 0)
        first = batched.movedim(self.channel_axis + 1, 1)
        if self.prefix:
            first = first[:, :, self.prefix :]
        return first.reshape(*first.shape[:2], *self.shape)


def map_axes(
    shape: tuple[int, ...], layout: Layout, image_hw: tuple[int, int] | None
) -> MapAxes | None:
    """Say how an output of this shape becomes a map; None when it has no positions.

    Args:
        shape: of the whole output, batch axis included.
        layout: what its axes mean.
        image_hw: height and width of the input image, to arrange tokens as patches.
    """
    if layout.axes not in _PERMUTED or len(shape) != len(layout.axes) + (
        layout.batch_axis is not None
    ):
        return None
    if layout.sample_word != "sample":  # regions, windows, folded frames: no map per sample
        return None
    channel, axes = _PERMUTED[layout.axes]
    sizes = tuple(size for at, size in enumerate(shape) if at != layout.batch_axis)
    rest = sizes[:channel] + sizes[channel + 1 :]
    prefix, note = 0, ""
    if axes == ("T",) and (grid := patch_grid(rest[0], image_hw)) is not None:
        prefix, *patches = grid
        axes, rest = ("H", "W"), tuple(patches)
        note = f"tokens arranged as {rest[0]}×{rest[1]} patches"
        if prefix:
            plural = "" if prefix == 1 else "s"
            note += f", {prefix} prefix token{plural} left out"
    if max(rest) < 2 or min(sizes) == 0:
        return None
    return MapAxes(axes, rest, layout.batch_axis, channel, prefix, note)
