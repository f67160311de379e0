"""How many items and channels there are to select from, as far as a frame has shown it."""

import math
from collections.abc import Mapping
from typing import Any

from nbtorchviz.arguments import refusal
from nbtorchviz.events import LayerCaptured


def clipped(index: int, count: int | None) -> int:
    """Return ``index``, or the last there is; ``count`` None: not known."""
    return index if count is None else max(0, min(index, count - 1))


def item_count(event: LayerCaptured | None) -> int | None:
    """Return how many items the batch of ``event`` has; None: not known."""
    return None if event is None else event.batch_size


def channel_count(event: LayerCaptured | None) -> int | None:
    """Return how many channels, or values of a strip, ``event`` has; None: not known."""
    if event is None or not event.values.size:
        return None
    sizes: tuple[int, ...] = event.values.shape
    if "C" in event.axes:
        return sizes[event.axes.index("C")]
    return sizes[-1] if event.axes == ("T", "D") else math.prod(sizes)


def check_range(event: LayerCaptured | None, layer: str, changes: Mapping[str, Any]) -> None:
    """Refuse a sample or channel that the newest frame of ``layer`` does not have.

    Args:
        event: that frame; None: nothing is known, so nothing is refused.
        layer: for the message.
        changes: what is selected, already checked one by one.

    Raises:
        ValueError: the message says what there is.
    """
    of_batch = event is not None and event.source in ("batch", "twin")
    known = {
        "sample": (f"an item of the {'last batch' if of_batch else 'pinned input'}", item_count),
        "channel": (f"a channel of {layer!r}", channel_count),
    }
    for name, (what, count_of) in known.items():
        count = count_of(event)
        if name in changes and count is not None and changes[name] >= count:
            raise refusal(name, f"{what}, from 0 to {count - 1}", changes[name], typed=True)
