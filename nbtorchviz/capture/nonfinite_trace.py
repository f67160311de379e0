"""Check what every torch function of one forward puts out, and find the first that broke."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from nbtorchviz.capture.nonfinite_calls import Calls, Line, Place, next_node, user_line
from nbtorchviz.capture.nonfinite_ranges import bad_in, described, has_nan, readable
from nbtorchviz.nonfinite import TensorRange

MOST_OPS = 20_000
"""Calls that are looked at; a longer forward is followed no further."""
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
    before: Tensor | None
    """Its first input as it was, only kept where the call broke."""
    last_node: int
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
        random = torch.get_rng_state() if torch.is_grad_enabled() else None
        result = func(*args, **kwargs)
        made = _tensors(result) or ([given[0]] if in_place and given else [])
        if op in _UNFILLED:
            return result
        sources = kept[1:] if op in _OVERWRITE else kept
        call = OpCall(op, self._calls.place, user_line(), (), None, next_node() - 1)
        call.inputs = tuple(described(f"input {at}", tensor) for at, tensor in enumerate(kept))
        self.calls.append(call)
        self._judge(call, given, sources, made, (args, kwargs))
        if call.bad != (0, 0):
            call.before = next(iter(kept), None)
            if not in_place:
                call.run = _again(func, args, kwargs, random)
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

    def _judge(
        self,
        call: OpCall,
        given: list[Tensor],
        sources: list[Tensor],
        made: list[Tensor],
        arguments: object,
    ) -> None:
        for tensor in made:
            total = tensor.detach()
            if not total.numel() or bool(torch.isfinite(total).all()):
                continue
            call.bad, call.total = bad_in(tensor), tensor.numel()
            if call.bad[0]:
                if any(has_nan(source) for source in sources):
                    self.passed_on = self.passed_on or call
                else:
                    self.found = self.origin_of(given) or call
                return
            origin: OpCall | None = None
            if any(not bool(torch.isfinite(source).all()) for source in sources):
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
