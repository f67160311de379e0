"""What a survey saw, as the list of layers in the order in which their calls began."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from nbtorchviz.capture.layers import INPUT, Entry, Tree, ancestors, blocks_of, join_key
from nbtorchviz.capture.leaves import shape_of
from nbtorchviz.capture.shapes import LayoutBook, LayoutLike
from nbtorchviz.capture.tensors import Cut
from nbtorchviz.events import LayerInfo

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call seen by a survey, in the order in which calls began."""

    name: str
    call: int
    type: str
    batch_first: bool | None
    paths: tuple[str, ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ()
    finished: bool = True
    given: tuple[int, ...] = ()

    @classmethod
    def begun(cls, entry: Entry, call: int, args: Sequence[object]) -> "CallRecord":
        """Note a call that begins, and the shape of the first tensor that it was given."""
        first = next((arg for arg in args if isinstance(arg, Tensor)), None)
        given = () if first is None else shape_of(first)
        return cls(entry.name, call, entry.type, entry.own_batch_first, finished=False, given=given)

    @property
    def module_type(self) -> str:
        """Class name, as ``analysis.root_batch.Call`` calls it."""
        return self.type

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first tensor, batch axis included."""
        return self.shapes[0] if self.shapes else ()


def surveyed_layers(
    tree: Tree, book: LayoutBook, calls: Sequence[CallRecord], given: Cut | None
) -> tuple[LayerInfo, ...]:
    """List the layers, with the shape of their first output without its batch axis.

    Args:
        tree: names of the modules.
        book: learns the batch axis from this survey.
        calls: what the survey saw.
        given: of the root's first input tensor. It was cut before the calls: what they say of its
            axes is put right.
    """
    book.surveyed([call for call in calls if call.finished])
    shapes: dict[tuple[str, int], Shape] = {}
    before: tuple[Shape, LayoutLike] | None = None
    for call in calls:
        if call.paths:
            entry, path = tree.entries[call.name], call.paths[0]
            layout = book.layout(call.name, path, call.shape, entry.type, entry.batch_first, before)
            before = (call.shape, layout)
            shapes[call.name, call.call] = _without(call.shape, layout.batch_axis)
    shape: Shape | None = None
    if given is not None:
        layout = book.layout(INPUT, "", given.shape, INPUT, None)
        shape = _without(given.shape, layout.batch_axis)
        if len(layout.axes) == len(given.axes):
            given.axes = tuple(layout.axes)
    return surveyed_listing(tree, calls, shape, shapes)


def surveyed_listing(
    tree: Tree,
    calls: Sequence[CallRecord],
    input_shape: tuple[int, ...] | None,
    sample_shapes: dict[tuple[str, int], tuple[int, ...]],
) -> tuple[LayerInfo, ...]:
    """List the layers in the order in which their calls began, never-called ones in place.

    Args:
        tree: names of the modules.
        calls: what a survey saw.
        input_shape: of the root input without its batch axis.
        sample_shapes: (name, call) -> shape of the first tensor without its batch axis.
    """
    order = [(call.name, call.call) for call in calls if call.paths]
    records = {(call.name, call.call): call for call in calls}
    called = {call.name for call in calls}
    order = _with_uncalled(tree, order, called)
    listed = {name for name, _ in order}
    blocks = blocks_of(listed)
    rows = [LayerInfo(key=INPUT, type=INPUT, depth=0, block=False, shape=input_shape, called=True)]
    for name, call in order:
        record, entry = records.get((name, call)), tree.entries[name]
        rows.append(
            LayerInfo(
                key=join_key(name, call),
                type=entry.type,
                depth=len(ancestors(name, listed)),
                block=name in blocks,
                shape=sample_shapes.get((name, call)),
                called=record is not None,
                detail=entry.detail,
                paths=record.paths if record else ("",),
            )
        )
    return tuple(rows)


def _with_uncalled(
    tree: Tree, order: list[tuple[str, int]], called: set[str]
) -> list[tuple[str, int]]:
    """Put each never-called module after the module that precedes it in the tree."""
    first: dict[str, int] = {}
    for index, (name, _) in enumerate(order):
        first.setdefault(name, index)
    after: dict[int, list[tuple[str, int]]] = {}
    place = -1
    for name, entry in tree.entries.items():
        if name in first:
            place = first[name]
        elif entry.lists and name not in called:
            after.setdefault(place, []).append((name, 0))
    result = list(after.get(-1, ()))
    for index, item in enumerate(order):
        result.append(item)
        result.extend(after.get(index, ()))
    return result


def _without(shape: Shape, axis: int | None) -> Shape:
    return shape if axis is None else shape[:axis] + shape[axis + 1 :]
