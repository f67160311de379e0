"""Check what every torch function of one forward puts out, and find the first that broke."""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from nbtorchviz.capture.nonfinite_calls import Calls, Line, Place, next_node, user_line
from nbtorchviz.capture.nonfinite_pieces import first_bad, piece_of, place_in
from nbtorchviz.capture.nonfinite_ranges import bad_in, described, readable
from nbtorchviz.nonfinite import TensorPiece, TensorRange

MOST_OPS = 20_000
"""Calls that are looked at; a longer forward is followed no further."""
MOST_PIECES = 3
"""Inputs of one call that are shown."""
MOST_HELD_BYTES = 64_000_000
"""Of inputs that are kept alive while a copy of the model runs."""
_UNFILLED = frozenset({"empty", "empty_like", "empty_strided", "empty_permuted", "new_empty"})
_OVERWRITE = frozenset(
    {"fill_", "zero_", "copy_", "normal_", "uniform_", "set_", "resize_", "resize_as_", "random_"}
)
_MASKS = frozenset({"masked_fill", "masked_fill_", "masked_scatter", "where", "__setitem__"})
"""Infinite values that these put in were wanted."""
_NAMES = {"__rtruediv__": "div", "__rdiv__": "div", "__rpow__": "pow", "__rsub__": "sub"}


@dataclass(slots=True)
class OpCall:
    """One call of a torch function."""

    op: str
    place: Place
    line: Line
    inputs: tuple[TensorRange, ...]
    last_node: int
    before: tuple[TensorPiece, ...] = ()
    """What it was given, around the place where it broke; only where it did."""
    after: TensorPiece | None = None
    """Its result there."""
    where: tuple[int, ...] = ()
    """Index of the first NaN or infinite value in that."""
    given: tuple[tuple[str, Tensor, int], ...] = ()
    """Name, tensor and its version: what it was given, while ``MOST_HELD_BYTES`` allows."""
    bad: tuple[int, int] = (0, 0)
    """NaN and infinite values in the result."""
    total: int = 0
    run: Callable[[], object] | None = None
    """Calls it again; only where the call broke."""


class FoundError(BaseException):
    """Ends the forward of a copy; passes every ``except Exception`` of the user's."""


class OpTrace(TorchFunctionMode):
    """While entered, remembers each call and raises ``FoundError`` at the first NaN made.

    An infinite value alone ends nothing: masks are made of them. It is remembered as the origin of
    a NaN, or of a broken loss, that is made from it.

    Args:
        calls: knows which layer is running.
    """

    def __init__(self, calls: Calls) -> None:
        super().__init__()
        self.calls: list[OpCall] = []
        self.found: OpCall | None = None
        self.infinite: dict[int, tuple[Tensor, OpCall | None]] = {}
        """By id: tensors with infinite values, and the call that made these; None: wanted."""
        self.passed_on: OpCall | None = None
        """The first call that was given NaN by a tensor from outside."""
        self._calls = calls
        self._held: deque[OpCall] = deque()
        self._held_bytes = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call ``func`` and look at what it was given and what came out."""
        kwargs = kwargs or {}
        op = name_of(func)
        if op == "__get__" or len(self.calls) >= MOST_OPS:
            return func(*args, **kwargs)
        given = _tensors((args, kwargs))
        in_place = op == "__setitem__" or "out" in kwargs or op.endswith("_")
        # In place: what was given is gone afterwards.
        kept = [tensor.detach().clone() if in_place else tensor.detach() for tensor in given]
        names = [self._calls.name_of(it) or f"input {at}" for at, it in enumerate(given)]
        # Before the call: batch_norm, for one, writes to the running statistics it is given.
        ranges = tuple(described(name, it) for name, it in zip(names, kept, strict=True))
        versions = [_version(tensor) for tensor in kept]
        random = torch.get_rng_state() if torch.is_grad_enabled() else None
        result = func(*args, **kwargs)
        made = _tensors(result) or ([given[0]] if in_place and given else [])
        if op in _UNFILLED:
            return result
        sources = ranges[1:] if op in _OVERWRITE else ranges
        call = OpCall(op, self._calls.place, user_line(), ranges, next_node() - 1)
        seen = zip(names, kept, versions, strict=True)
        named = [(name, it) for name, it, version in seen if _version(it) == version]
        self.calls.append(call)
        self._judge(call, given, sources, made, (args, kwargs))
        if call.after is not None:
            call.before = pieces_of(call, named, call.where, call.after.whole.shape)
            if not in_place:
                call.run = _again(func, args, kwargs, random)
        self._hold(call, named)
        if self.found is not None:
            raise FoundError
        return result

    def call_of_node(self, number: int) -> OpCall | None:
        """Return the call that made the autograd node of this number."""
        ends = [call.last_node for call in self.calls]
        at = bisect_left(ends, number)
        return self.calls[at] if at < len(ends) else None

    def place_of_node(self, number: int) -> Place:
        """Return the layer in which the autograd node of this number was made."""
        return self._calls.place_of_node(number)

    def origin_of(self, tensors: list[Tensor]) -> OpCall | None:
        """Return the call that made the infinite values of any of these."""
        known = (self.infinite.get(id(tensor), (None, None))[1] for tensor in tensors)
        return next((call for call in known if call is not None), None)

    def parameters_of(self, place: Place) -> list[tuple[str, Tensor]]:
        """List the parameters that a layer itself holds, by their full names."""
        return self._calls.parameters_of(place)

    def _hold(self, call: OpCall, named: list[tuple[str, Tensor]]) -> None:
        """Keep what a call was given: its gradient may be the one that breaks."""
        call.given = tuple((name, it, _version(it)) for name, it in named[:MOST_PIECES])
        self._held.append(call)
        self._held_bytes += _size(call)
        while self._held_bytes > MOST_HELD_BYTES:
            oldest = self._held.popleft()
            self._held_bytes -= _size(oldest)
            oldest.given = ()

    def _judge(
        self,
        call: OpCall,
        given: list[Tensor],
        sources: Sequence[TensorRange],
        made: list[Tensor],
        arguments: object,
    ) -> None:
        for tensor in made:
            total = tensor.detach()
            if not total.numel() or bool(torch.isfinite(total).all()):
                continue
            call.bad, call.total, call.where = bad_in(tensor), tensor.numel(), first_bad(tensor)
            call.after = piece_of(f"result of {call.op}", tensor, call.where)
            if call.bad[0]:
                if any(source.nan for source in sources):
                    self.passed_on = self.passed_on or call
                else:
                    self.found = self.origin_of(given) or call
                return
            origin: OpCall | None = None
            if not all(source.finite for source in sources):
                origin = self.origin_of(given)
            elif call.op not in _MASKS and not _wants_infinity(arguments):
                origin = call
            self.infinite[id(tensor)] = tensor, origin


def name_of(func: Callable[..., Any]) -> str:
    """Return the name that users write: ``"div"`` for ``/``."""
    name = str(getattr(func, "__name__", type(func).__name__))
    if name in _NAMES:
        return _NAMES[name]
    if name.startswith("__i") and name.endswith("__") and name not in ("__invert__", "__index__"):
        return f"{name[3:-2]}_"
    if name.startswith("__") and name.endswith("__") and name not in ("__get__", "__setitem__"):
        return name[2:-2]
    return name


def pieces_of(
    call: OpCall,
    named: Sequence[tuple[str, Tensor]],
    where: tuple[int, ...],
    result: tuple[int, ...],
    said: str = "",
) -> tuple[TensorPiece, ...]:
    """Cut out of each input of a call what belongs to ``where`` in a result of shape ``result``.

    Args:
        call: the call.
        named: its inputs.
        where: index in the result.
        result: shape of that.
        said: added to the name of an input that is no parameter.
    """
    found = []
    for name, tensor in named[:MOST_PIECES]:
        plain = name.startswith("input ")
        full = f"{name} of {call.op}{said}" if plain else name
        found.append(piece_of(full, tensor, place_in(tensor, where, result)))
    return tuple(found)


def unchanged(call: OpCall) -> list[tuple[str, Tensor]]:
    """Return by name what a call was given, as far as it is kept and was not overwritten since."""
    return [(name, tensor) for name, tensor, version in call.given if _version(tensor) == version]


def _version(tensor: Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def _size(call: OpCall) -> int:
    return sum(it.numel() * it.element_size() for _, it, _ in call.given)


def _tensors(value: object) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value] if readable(value) else []
    leaves = pytree.tree_leaves(value)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor) and readable(leaf)]


def _wants_infinity(arguments: object) -> bool:
    return any(
        isinstance(leaf, float) and leaf in (float("inf"), float("-inf"))
        for leaf in pytree.tree_leaves(arguments)
    )


def _again(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], random: Tensor | None
) -> Callable[[], object]:
    def run() -> object:
        if random is not None:
            torch.set_rng_state(random)
        return func(*args, **kwargs)

    return run
