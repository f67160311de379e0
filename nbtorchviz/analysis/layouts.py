"""Say what each axis of a layer's output is: the one place where layouts are inferred.

Evidence, strongest first: the user's override, what the module's type promises (``Conv2d``,
``LSTM``), its ``batch_first`` flag, the batch size of the root input, the layout of the layer
that ran just before, the shape itself. What remains open is stated in ``Layout.note``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

Axes = tuple[str, ...]
Shape = tuple[int, ...]

ACCEPTED_AXES: tuple[Axes, ...] = (
    ("C", "H", "W"),
    ("H", "W", "C"),
    ("C", "L"),
    ("T", "D"),
    ("C", "D", "H", "W"),
    ("F",),
    (),
)
"""Every meaning that the axes of one sample can have."""

SPATIAL_AXES: dict[int, Axes] = {1: ("C", "L"), 2: ("C", "H", "W"), 3: ("C", "D", "H", "W")}
SPATIAL_TYPE = re.compile(r"([123])[dD]")
RECURRENT_TYPE = re.compile(r"(LSTM|GRU|RNN)$")
_ATTENTION_TYPE = re.compile(r"Multi[Hh]ead\w*Attention$")
_CHANNELS_LAST_TYPE = re.compile(
    r"Swin|ShiftedWindow|PatchMerging|^LayerNorm$|^RMSNorm$|^Permute$|Linear$|ChannelsLast|NHWC"
)
_REARRANGING_TYPE = re.compile(r"Permute|Transpose|Rearrange|Flatten|Unflatten|Reshape|View|Fold")
_FEATURES_LAST_TYPE = re.compile(r"Linear$|LayerNorm$|RMSNorm$|Embedding|Attention|Encoder|Decoder")
STATES = "one row per layer and direction"
"""Note on the hidden states of a recurrent module."""
WEIGHTS = "query by key, mean of heads"
"""Note on the weights of an attention module."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the axes of a tensor mean."""

    batch_axis: int | None
    """Which axis tells samples apart; None when the tensor belongs to one sample or to all."""
    axes: Axes
    """Meaning of the other axes, in the tensor's own order; one of ``ACCEPTED_AXES``.
    ``("F",)`` for more axes than can be named: flatten the sample then."""
    note: str = ""
    """What was assumed; empty when nothing had to be."""
    sample_word: str = "sample"
    """``"sample"`` where an index along the batch axis is a sample of the root input, else
    ``"row"``."""


def infer_layout(
    shape: Sequence[int],
    *,
    module_type: str,
    batch_size: int | None,
    batch_first: bool | None = None,
    override: Sequence[str] | None = None,
    unbatched: bool = False,
    path: str = "",
    image_hw: tuple[int, int] | None = None,
    previous: tuple[Shape, Layout] | None = None,
    layer: str = "",
) -> Layout:
    """Say what the axes of one output tensor mean.

    Args:
        shape: of the whole tensor, batch axis included.
        module_type: class name of the module; ``"input"`` for the root input.
        batch_size: of the root input; None when not known.
        batch_first: flag of the module, or of the nearest module around it that has one.
        override: axes given by the user, with or without ``"N"`` for the batch axis.
        unbatched: the root forward got one sample without a batch axis.
        path: of the tensor in a structured output; ``"1.0"`` of an LSTM is its hidden state.
        image_hw: height and width of the root input when it is an image.
        previous: shape and layout of the layer that finished just before; taken over when this
            one has the same shape and only works element by element.
        layer: name of the layer, for error messages.

    Raises:
        ValueError: ``override`` does not fit; the message says what would.
    """
    shape = tuple(shape)
    if override is not None:
        return _overridden(shape, override, batch_size, layer)
    if not shape:
        return Layout(None, ())
    special = _by_type(shape, module_type, batch_size, batch_first, unbatched, path)
    if special is not None:
        return special
    if (
        previous is not None
        and tuple(previous[0]) == shape
        and not _REARRANGING_TYPE.search(module_type)
        and (len(shape) != 4 or not _CHANNELS_LAST_TYPE.search(module_type))
    ):
        return previous[1]
    if unbatched:
        return Layout(None, _sample_axes(shape, None, module_type, image_hw))
    axis, note, word = _batch_axis(shape, module_type, batch_size, batch_first)
    return Layout(axis, _sample_axes(shape, axis, module_type, image_hw), note, word)


def _by_type(
    shape: Shape,
    module_type: str,
    batch_size: int | None,
    batch_first: bool | None,
    unbatched: bool,
    path: str,
) -> Layout | None:
    """Layouts that the module's type promises; None when it promises nothing."""

    def at(axis: int | None, axes: Axes, note: str = "") -> Layout:
        word = "sample" if axis is None else _word(shape[axis], batch_size)
        return Layout(axis, axes, note, word)

    recurrent = bool(RECURRENT_TYPE.search(module_type)) and batch_first is not None
    attention = bool(_ATTENTION_TYPE.search(module_type))
    second, rank = path.startswith("1"), len(shape)
    if path.endswith("data") and rank == 2:
        return Layout(0, ("F",), "packed sequence: each row is one time step", "row")
    if recurrent and second and rank in (2, 3):
        return at(1 if rank == 3 else None, ("T", "D"), STATES)
    if attention and second and rank == 4:
        return at(0, ("C", "H", "W"), "one map per head: query by key")
    if attention and second and rank == 3:
        if unbatched:
            return at(None, ("C", "H", "W"), "one map per head: query by key")
        return at(0, ("T", "D"), WEIGHTS)
    if (recurrent or attention) and rank == 2 and (unbatched or batch_size is None):
        return at(None, ("T", "D"), WEIGHTS if attention and second else "")
    if (recurrent or attention) and batch_first is not None and rank == 3:
        return at(0 if batch_first else 1, ("T", "D"))
    if family := SPATIAL_TYPE.search(module_type):
        axes = SPATIAL_AXES[int(family[1])]
        if rank == len(axes) and unbatched:
            return at(None, axes)
        if rank == len(axes) + 1:
            found = at(0, axes)
            folded = found.sample_word == "row"
            return replace(found, note=_row_note(shape[0], batch_size)) if folded else found
    return None


def _batch_axis(
    shape: Shape, module_type: str, batch_size: int | None, batch_first: bool | None
) -> tuple[int | None, str, str]:
    """Find the axis as long as the batch: (axis, note, sample word)."""
    if batch_size is None:
        return 0, "batch size not known; axis 0 taken as rows", "row"
    at_0 = shape[0] == batch_size
    at_1 = len(shape) > 1 and shape[1] == batch_size
    if len(shape) == 1:
        return (0, "", "sample") if at_0 else (None, f"no axis of {batch_size} entries", "sample")
    if at_1 and len(shape) >= 3 and batch_first is False:
        return 1, "axes 0 and 1 are equal; batch_first=False decides" if at_0 else "", "sample"
    if at_0:
        ambiguous = at_1 and len(shape) == 3 and batch_first is None
        note = f"axes 0 and 1 both have {batch_size} entries; axis 0 taken as the batch"
        return 0, note if ambiguous else "", "sample"
    if at_1 and len(shape) == 3:
        return 1, "", "sample"
    folded = shape[0] % batch_size == 0
    if at_1 and len(shape) == 2 and not folded and not _FEATURES_LAST_TYPE.search(module_type):
        return 1, "", "sample"
    return 0, _row_note(shape[0], batch_size), "row"


def _sample_axes(
    shape: Shape, batch_axis: int | None, module_type: str, image_hw: tuple[int, int] | None
) -> Axes:
    """Name the axes that are left when the batch axis is gone."""
    rest = tuple(size for axis, size in enumerate(shape) if axis != batch_axis)
    if len(rest) == 0:
        return ()
    if len(rest) == 2:
        return ("T", "D")
    if len(rest) == 3:
        last = _channels_last(rest, module_type, image_hw)
        return ("H", "W", "C") if last else ("C", "H", "W")
    if len(rest) == 4:
        return ("C", "D", "H", "W")
    return ("F",)


def _channels_last(rest: Shape, module_type: str, image_hw: tuple[int, int] | None) -> bool:
    a, b, c = rest
    if module_type == "input" and (a in (1, 3, 4)) != (c in (1, 3, 4)):
        return c in (1, 3, 4)
    if (a == b) != (b == c):
        return a == b
    if image_hw is not None and a != b != c:
        height, width = image_hw
        first, last = a * width == b * height, b * width == c * height
        if first != last:
            return first
    return bool(_CHANNELS_LAST_TYPE.search(module_type))


def _word(size: int, batch_size: int | None) -> str:
    return "sample" if batch_size is None or size == batch_size else "row"


def _row_note(rows: int, batch_size: int | None) -> str:
    if batch_size and rows % batch_size == 0:
        return f"{rows} rows, {rows // batch_size} for each of the {batch_size} samples"
    return f"no axis has the batch's {batch_size} entries; axis 0 taken as rows"


def _overridden(
    shape: Shape, override: Sequence[str], batch_size: int | None, layer: str
) -> Layout:
    """Check the user's axes against the shape."""
    given = tuple(override)
    rest = tuple(axis for axis in given if axis != "N")
    size = "×".join(map(str, shape)) or "one number"
    accepted = ", ".join("(" + ",".join(axes) + ")" for axes in ACCEPTED_AXES if axes)
    where = f"layout of {layer!r}" if layer else "layout"
    if rest not in ACCEPTED_AXES or given.count("N") > 1:
        raise ValueError(
            f"{where}: got {given!r}. Accepted are {accepted}, each with at most one 'N' for the "
            f"batch axis, such as ('N', 'C', 'H', 'W')."
        )
    if "N" in given and len(given) == len(shape):
        axis: int | None = given.index("N")
    elif "N" not in given and len(given) == len(shape):
        axis = None
    elif "N" not in given and len(given) == len(shape) - 1:
        fitting = [axis for axis, length in enumerate(shape) if length == batch_size]
        axis = fitting[0] if fitting else 0
    else:
        raise ValueError(
            f"{where}: got {given!r} ({len(given)} axes), but the output is {size} "
            f"({len(shape)} axes). Name each axis, with 'N' for the batch."
        )
    word = "sample" if axis is None else _word(shape[axis], batch_size)
    return Layout(axis, rest, "layout given by you", word)
