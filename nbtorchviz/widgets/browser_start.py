"""What an ActivationBrowser shows at first: the layer chosen last, or what its maker named."""

from collections.abc import Sequence
from typing import Any

from nbtorchviz.arguments import whole
from nbtorchviz.events import LayerInfo
from nbtorchviz.session import Session
from nbtorchviz.widgets.browser_state import known_layers
from nbtorchviz.widgets.selection import Selection


def first_selection(
    session: Session, *, layer: str | None, call: int, channel: int | None, **given: Any
) -> Selection:
    """Return the selection that a new widget begins with.

    Args:
        session: whose layers may be named.
        layer: None for the layer that was chosen last.
        call: of the layer's module.
        channel: None for the first.
        given: more fields of ``Selection``.

    Raises:
        LayerNotFoundError, ValueError, TypeError: a value that is not accepted.
    """
    first = Selection(layer=remembered_layer(session))
    named: dict[str, Any] = {} if layer is None else {"layer": layer}
    if whole("call", call):
        named["call"] = call
    layers, picked = known_layers(session, named, first)
    return first.changed(layers, **picked, channel=0 if channel is None else channel, **given)


def remembered_layer(session: Session) -> str:
    """Return the layer chosen last of this model, so that a re-run cell shows it again."""
    last = session.last_layer
    return last if last in session.layers else _first_layer(session.layer_infos)


def _first_layer(infos: Sequence[LayerInfo]) -> str:
    """The first convolution, else the first layer that holds no others, else the input.

    Not one that is known not to be called, as in ``nn.MultiheadAttention``, which uses the weights
    of its ``out_proj`` directly.
    """
    layers = [info for info in infos if info.type != "input" and info.called is not False]
    for wanted in (lambda i: i.type.startswith("Conv"), lambda i: not i.block and i.depth >= 0):
        found = next((info.key for info in layers if wanted(info)), None)
        if found is not None:
            return found
    return infos[0].key
