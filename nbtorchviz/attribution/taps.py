"""Read activations of chosen layer calls, and where their gradients will pass."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from nbtorchviz.capture.hooks import in_backward
from nbtorchviz.capture.layers import OUTPUT, Tree, join_key
from nbtorchviz.capture.leaves import leaves, pick, refusal, shape_of, tensors_of
from nbtorchviz.capture.survey import CallRecord

_saving_hooks: Callable[[bool], object] | None = getattr(
    torch._C._autograd, "_top_saved_tensors_default_hooks", None
)
"""Private: without it a checkpoint that recomputes tensors of ours raises, in words of torch's."""


class LateError(Exception):
    """Gradients cannot be turned on at the first tapped output; run again with them on."""


@dataclass(slots=True)
class Tap:
    """What one call of one layer put out."""

    record: CallRecord
    value: Tensor
    """A copy, or with ``Taps(lazy=True)`` the output itself."""
    edge: GradientEdge | None
    """Where the gradient of this output passes; None: it ran without gradients."""
    spare: GradientEdge | None = None
    """The edge of the input, for a module that hands its input on unchanged."""
    same_as: str = ""
    """Key of the earlier call that put out this very tensor: the last layer of a block."""
    version: int = 0

    @property
    def key(self) -> str:
        """Name and call."""
        return join_key(self.record.name, self.record.call)

    @property
    def overwritten(self) -> bool:
        """Whether an in-place operation has changed ``value`` since."""
        return self.value._version != self.version


class Taps:
    """Hooks on every module of one model during one forward; use as a context manager.

    All calls are noted with type and shape. The wanted ones are tapped: their value is copied at
    once, since an in-place operation may overwrite it, and the gradient is asked for at the edge
    of the graph that exists at that moment, so that it belongs to that value. The model goes on
    with its own tensors. Only where no such edge is safe does it get another tensor of the same
    values: a copy of a view, a view of an input handed on unchanged, a copy that starts a graph;
    none inside a checkpoint.

    Args:
        tree: the names of the user's modules.
        wanted: says for each canonical name whether its calls are tapped.
        named: the modules by their raw names.
        lazy: keep the outputs themselves instead of copies; see ``Tap.overwritten``.
        few: hook the wanted modules alone; the other calls are not noted.
        late: begin without gradients and turn them on at the first output that is tapped, so that
            nothing before it is kept for the backward; see ``LateError``.
    """

    def __init__(
        self,
        tree: Tree,
        wanted: Callable[[str], bool],
        *,
        named: Mapping[str, nn.Module],
        lazy: bool = False,
        late: bool = False,
        few: bool = False,
    ) -> None:
        self.calls: list[CallRecord] = []
        """All finished calls, in the order in which they finished."""
        self.taps: dict[str, Tap] = {}
        """By layer key, in the same order."""
        self.recomputes = _saving_hooks is None
        """Whether a backward may run modules again, to recompute a checkpoint."""
        self._named, self._tree, self._wanted, self._lazy = named, tree, wanted, lazy
        self._late, self._few = late, few
        self._counts: dict[str, int] = defaultdict(int)
        self._sources: dict[tuple[int, int], str] = {}
        """Edge -> key of the tap that first met it."""
        self._hooks = ExitStack()

    def __enter__(self) -> "Taps":
        if self._late:
            self._hooks.enter_context(torch.no_grad())
        for entry in self._tree.entries.values():
            wanted = not self._few or self._wanted(entry.name)
            if wanted and (entry.name != OUTPUT or entry.raw):
                hook = partial(self._called, entry.name, entry.type, entry.batch_first)
                self._hooks.callback(self._named[entry.raw].register_forward_hook(hook).remove)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._hooks.close()

    def served(self, output: object) -> bool:
        """Tell whether all of ``output`` has gradients, or nothing wanted was called."""
        found = [tensor for _, tensor in leaves(output) if tensor.is_floating_point()]
        if not self.taps:
            return output is not None
        return bool(found) and all(tensor.requires_grad for tensor in found)

    def _called(
        self, name: str, kind: str, first: bool | None, module: nn.Module, args: Any, output: Any
    ) -> Tensor | None:
        if in_backward():  # a checkpoint recomputes it
            return None
        free = not self._kept_apart()
        call = self._counts[name]
        self._counts[name] = call + 1
        plain = type(output) is Tensor and not output.is_nested  # most are: the quick way
        chosen = ("", output) if plain else pick(leaves(output), "")
        paths: tuple[str, ...] = () if chosen is None else (chosen[0],)
        shapes = () if chosen is None else (tuple(output.shape) if plain else shape_of(chosen[1]),)
        record = CallRecord(name, call, kind, first, paths, shapes)
        self.calls.append(record)
        if chosen is None or not self._wanted(name) or not _usable(chosen[1]):
            return None
        handed_on = _handed_on(module, chosen[1], args)
        if self._late:
            self._begin(chosen[1], handed_on=handed_on)
        free = free and isinstance(output, Tensor) and torch.is_grad_enabled()
        return self._tap(record, chosen[1], handed_on=handed_on, free=free)

    def _begin(self, tensor: Tensor, *, handed_on: bool) -> None:
        """Let the graph start at this very tensor, which the model may hold by other names."""
        self._late = False
        if torch.is_grad_enabled() or tensor.requires_grad or not tensor.is_leaf:
            raise LateError
        if handed_on:
            raise LateError  # it is the input of this layer too, and would get its gradient
        tensor.requires_grad_()
        # The flag is of no use behind this forward, and the model may keep this tensor.
        self._hooks.callback(tensor.requires_grad_, False)
        torch.set_grad_enabled(True)

    def _tap(
        self, record: CallRecord, tensor: Tensor, *, handed_on: bool, free: bool
    ) -> Tensor | None:
        source = None if handed_on else self._source(tensor)
        given, spare = None, None
        if source is None and free:
            if not tensor.requires_grad:
                given = tensor.detach().clone().requires_grad_().clone()
            elif handed_on:
                given, spare = tensor.view_as(tensor), get_gradient_edge(tensor)
            elif tensor._is_view():
                given = tensor.clone()
        seen = tensor if given is None else given
        edge = get_gradient_edge(seen) if seen.requires_grad else None
        if source is not None:
            value, version = source.value, source.version
        else:
            value = seen.detach() if self._lazy else seen.detach().clone()
            version = value._version
        tap = Tap(record, value, edge, spare, "" if source is None else source.key, version)
        self.taps[tap.key] = tap
        if edge is not None:
            self._sources.setdefault((id(edge.node), edge.output_nr), tap.key)
        return given

    def _kept_apart(self) -> bool:
        """Tell whether a checkpoint recomputes this graph: no node of ours belongs in it."""
        if _saving_hooks is None or _saving_hooks(False) is None:
            return False
        self.recomputes = True
        return True

    def _source(self, tensor: Tensor) -> Tap | None:
        """Find the earlier call that put out this very tensor, not overwritten since."""
        if not tensor.requires_grad:
            return None
        edge = get_gradient_edge(tensor)
        return self.taps.get(self._sources.get((id(edge.node), edge.output_nr), ""))


def _handed_on(module: nn.Module, tensor: Tensor, args: Any) -> bool:
    """Tell whether a module put out its input, unchanged."""
    if getattr(module, "inplace", False) is True:
        return False
    return any(tensor is other for other in tensors_of(args, {}))


def _usable(tensor: Tensor) -> bool:
    plain = not tensor.is_nested and tensor.layout is torch.strided and not refusal(tensor)
    return plain and tensor.is_floating_point() and tensor.ndim > 1
