"""Which layers are worth a map when nobody names one."""

import re
from collections.abc import Mapping

from torch import Tensor
from torch.utils import _pytree as pytree

from nbtorchviz.analysis.map_axes import MapAxes
from nbtorchviz.attribution.taps import Tap
from nbtorchviz.attribution.targets import logits_of
from nbtorchviz.errors import NoMapError

_POOLING = re.compile("Pool")
_NORM = re.compile("Norm")


def candidates(
    taps: Mapping[str, Tap], axes: Mapping[str, MapAxes], output: object, *, called: int
) -> list[str]:
    """List the layers that are worth a default map, in the order in which they finished.

    Args:
        taps: calls that put out positions, by layer key.
        axes: of the same calls.
        output: of the model.
        called: how many calls there were, with positions or without.

    Raises:
        NoMapError: no layer has positions.
    """
    found = [key for key in taps if not _skipped(key, taps)]
    # The last layers of a segmentation put out the answer itself: no explanation of it.
    classes = None if logits_of(output) is not None else _classes(output)
    answers = {key for key in found if axes[key].arrange(taps[key].value).shape[1] == classes}
    found = [key for key in found if key not in answers] or found
    if not found:
        raise NoMapError(
            f"None of the {called} layers that ran puts out positions in an image, a "
            "volume or a sequence, so there is nothing to draw a map of."
        )
    if any(axes[key].prefix for key in found):
        tokens = [key for key in found if axes[key].prefix]
        norms = [key for key in tokens if _NORM.search(taps[key].record.type)]
        found = norms or tokens
    elif any(axes[key].axes != ("T",) for key in found):
        found = [key for key in found if axes[key].axes != ("T",)]
    return found


def _skipped(key: str, taps: Mapping[str, Tap]) -> bool:
    """Tell whether a layer is none to choose: pooled, or its input handed on."""
    tap = taps[key]
    source = taps.get(tap.same_as, tap)
    if _POOLING.search(source.record.type) or _POOLING.search(tap.record.type):
        return True
    return source.spare is not None


def _classes(output: object) -> int | None:
    """Number of classes of a segmentation."""
    for tensor in pytree.tree_leaves(output):
        if isinstance(tensor, Tensor) and tensor.ndim == 4:
            return int(tensor.shape[1])
    return None
