"""Remember what the axes of each layer mean; the rules themselves are injected."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from nbtorchviz.capture.layers import INPUT

Shape = tuple[int, ...]
MOST_KNOWN = 2_048


class LayoutLike(Protocol):
    """Shape of ``analysis.layouts.Layout``."""

    @property
    def batch_axis(self) -> int | None:
        """Which axis tells samples apart."""
        ...

    @property
    def axes(self) -> tuple[str, ...]:
        """Meaning of the other axes."""
        ...

    @property
    def note(self) -> str:
        """What was assumed."""
        ...

    @property
    def sample_word(self) -> str:
        """``"sample"`` or ``"row"``."""
        ...


class CallLike(Protocol):
    """Shape of ``analysis.root_batch.Call``."""

    @property
    def module_type(self) -> str:
        """Class name."""
        ...

    @property
    def shape(self) -> Shape:
        """Of the first output tensor."""
        ...

    @property
    def batch_first(self) -> bool | None:
        """The module's own flag."""
        ...

    @property
    def given(self) -> Shape:
        """Of the first tensor given to it."""
        ...


class BatchLike(Protocol):
    """Shape of ``analysis.root_batch.RootBatch``."""

    @property
    def size(self) -> int | None:
        """Samples in the root input."""
        ...

    @property
    def axis(self) -> int | None:
        """Batch axis of the first root input."""
        ...

    @property
    def unbatched(self) -> bool:
        """True: one sample without a batch axis."""
        ...

    @property
    def taker(self) -> str:
        """Type of the module that promises the axes of the first root input."""
        ...


class LayoutBook:
    """Layouts of one model's outputs, inferred once per layer and shape.

    Args:
        infer: ``analysis.layouts.infer_layout``.
        root_batch: ``analysis.root_batch.root_batch_size``; None: axis 0 of the first input tensor.
    """

    def __init__(
        self,
        infer: Callable[..., LayoutLike],
        root_batch: Callable[..., BatchLike] | None,
        overrides: Mapping[str, Sequence[str]] | None,
    ) -> None:
        self._infer, self._root_batch = infer, root_batch
        self.overrides: dict[str, tuple[str, ...]] = {}
        self.batch_size: int | None = None
        self.batch_axis: int | None = 0
        self._unbatched = False
        self._taker = ""
        self._surveyed = False
        self._image_hw: tuple[int, int] | None = None
        self._shapes: list[Shape] = []
        self._known: dict[tuple[str, str, Shape, int | None], LayoutLike] = {}
        self._base: dict[tuple[str, str], tuple[Shape, int | None, LayoutLike]] = {}
        self.override(overrides)

    def override(self, overrides: Mapping[str, Sequence[str]] | None) -> None:
        """Take the user's axes per layer name."""
        self.overrides = {name: tuple(axes) for name, axes in (overrides or {}).items()}
        self._known.clear()
        self._base.clear()

    def begin(self, input_shapes: list[Shape]) -> None:
        """Note the input shapes of the root forward that begins."""
        self._shapes = input_shapes
        if not self._surveyed:
            self._settle(())
        else:
            shape = next((shape for shape in input_shapes if shape), ())
            axis = self.batch_axis
            fits = axis is not None and axis < len(shape) and not self._unbatched
            self.batch_size = shape[axis] if fits and axis is not None else None
        first = next((shape for shape in input_shapes if shape), ())
        self._image_hw = (first[2], first[3]) if len(first) == 4 and first[1] in (1, 3, 4) else None

    def surveyed(self, calls: Sequence[CallLike]) -> None:
        """Find the batch axis from all calls of the forward, then forget earlier guesses."""
        self._settle(calls)
        self._surveyed = True
        self._known.clear()
        self._base.clear()

    def layout(
        self,
        name: str,
        path: str,
        shape: Shape,
        module_type: str,
        batch_first: bool | None,
        previous: tuple[Shape, LayoutLike] | None = None,
    ) -> LayoutLike:
        """Say what the axes of one output mean."""
        known = self._known.get((name, path, shape, self.batch_size))
        if known is not None:
            return known
        base = self._base.get((name, path))
        if previous is None and base is not None:
            previous = self._like(base, shape)
        found = self._infer(
            shape,
            module_type=self._taker or module_type if name == INPUT else module_type,
            batch_size=self.batch_size,
            batch_first=batch_first,
            override=self.overrides.get(name),
            unbatched=self._unbatched,
            path=path,
            image_hw=self._image_hw,
            previous=previous,
            layer=name,
        )
        if len(self._known) >= MOST_KNOWN:  # text batches have ever new lengths
            self._known.clear()
        self._known[name, path, shape, self.batch_size] = found
        if previous is not None or (name, path) not in self._base:
            self._base[name, path] = (shape, self.batch_size, found)
        return found

    def _like(
        self, known: tuple[Shape, int | None, LayoutLike], shape: Shape
    ) -> tuple[Shape, LayoutLike] | None:
        """Keep a layout when only the batch grew or shrank, as for a last, smaller batch."""
        before, size, layout = known
        axis = layout.batch_axis
        if axis is None or len(before) != len(shape) or before[axis] != size:
            return None
        same = all(
            a == b for at, (a, b) in enumerate(zip(before, shape, strict=True)) if at != axis
        )
        return (shape, layout) if same and shape[axis] == self.batch_size else None

    def _settle(self, calls: Sequence[CallLike]) -> None:
        if self._root_batch is not None:
            found = self._root_batch(self._shapes, calls=[call for call in calls if call.shape])
            self.batch_size, self.batch_axis = found.size, found.axis
            self._unbatched, self._taker = found.unbatched, found.taker
            return
        shape = next((shape for shape in self._shapes if shape), ())
        self.batch_size = shape[0] if shape else None
        self.batch_axis = 0 if shape else None
