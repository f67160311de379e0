"""Check the axes that a user names for a layer, when they are given and not at the next forward."""

from collections.abc import Callable, Mapping, Sequence

from nbtorchviz.analysis.layouts import ACCEPTED_AXES
from nbtorchviz.arguments import named_layer, names, refusal

_ACCEPTED = "{layer: axes}, such as {'conv1': ('H', 'W', 'C')}"


def check_layout(layout: object) -> None:
    """Check the form of a layout, whatever the layers of the model are.

    Raises:
        TypeError: it is not axes by layer; the message shows how it is written.
    """
    if not isinstance(layout, Mapping):
        raise refusal("layout", _ACCEPTED, layout)
    for layer, axes in layout.items():
        named_layer(layer, f"{_ACCEPTED}, with names of layers", name="layout")
        if not isinstance(axes, str):  # "HWC" is short for its letters
            names(f"layout of {layer!r}", axes, "a sequence of axes, such as ('H', 'W', 'C')")


def checked_layout(
    layout: Mapping[str, Sequence[str]], find: Callable[[str], str]
) -> dict[str, tuple[str, ...]]:
    """Return axes by the name of the module; all calls of it have the same.

    Args:
        layout: axes per layer, ``"N"`` for the batch axis or left out.
        find: returns a layer's own key.

    Raises:
        LayerNotFoundError: no such layer.
        TypeError: it is not axes by layer.
        ValueError: axes that are not accepted.
    """
    check_layout(layout)
    checked = {}
    for layer, axes in layout.items():
        given = tuple(axes)
        if tuple(a for a in given if a != "N") not in ACCEPTED_AXES or given.count("N") > 1:
            accepted = ", ".join("(" + ",".join(each) + ")" for each in ACCEPTED_AXES if each)
            raise ValueError(
                f"layout of {layer!r}: got {given!r}. Accepted are {accepted}, each with at most "
                "one 'N' for the batch axis, such as ('N', 'C', 'H', 'W')."
            )
        name, _, call = find(layer).rpartition("#")
        checked[name if name and call.isdecimal() else find(layer)] = given
    return checked
