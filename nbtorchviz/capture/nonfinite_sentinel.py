"""Stand guard over a training: keep each forward until its gradients have been looked at."""

import math
import time
import weakref
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nbtorchviz.capture.boundaries import dispatcher
from nbtorchviz.capture.hooks import (
    CriterionPreHook,
    GradientHook,
    LayerHook,
    RootPostHook,
    RootPreHook,
    in_backward,
)
from nbtorchviz.capture.nonfinite_earlier import EarlierWeights
from nbtorchviz.capture.nonfinite_ranges import bad_in, flag_of, has_nan, own_values
from nbtorchviz.capture.nonfinite_record import (
    MOST_OUTPUT_BYTES,
    Buffers,
    Kept,
    Record,
    Streams,
    floating_outputs,
)
from nbtorchviz.capture.steps import PATIENCE
from nbtorchviz.capture.tensors import HostCopy

MOST_WEIGHT_BYTES = 256_000_000
"""Of weights that are copied before a step, where a flag arrives only after it."""


class Post(Protocol):
    """Who is told; called on the training thread."""

    def step(self) -> int:
        """Return the optimizer steps finished."""

    def due(self) -> bool:
        """Whether the forward that begins now is to be guarded. Must be cheap."""

    def broke(self, record: Record, word: str, seen: str) -> None:
        """Hear that a guarded forward or its backward was not finite."""

    def cleared(self) -> None:
        """Hear that the gradients of a guarded step are finite."""

    def overdue(self) -> None:
        """Hear that training goes on without a step since something broke. May raise."""

    def spent(self, cost_s: float) -> None:
        """Hear what looking cost."""

    def fault(self, where: str, error: BaseException) -> None:
        """Hear that something of ours failed."""


class Sentinel:
    """Hooks on the root, on the loss module, and before every optimizer step.

    Gradients are looked at when the optimizer is about to step: a ``GradScaler`` that skips a step
    because of infinite gradients is not heard. On the CPU the weights are then still those of the
    forward. On another device the verdict is read a step later, so that nothing waits; weights up
    to 256 MB are copied for it.

    Args:
        root: the model.
        entry: where root hooks belong.
        criterion: the loss module, if it is known.
        post: hears what is seen.
        every_step: whether every forward is guarded.
    """

    def __init__(
        self,
        root: nn.Module,
        entry: nn.Module,
        criterion: nn.Module | None,
        post: Post,
        *,
        every_step: bool,
    ) -> None:
        self.record: Record | None = None
        self.every_step = every_step
        self.done = False
        """Whether something broke: nothing is kept any more."""
        self._unanswered = 0
        """Forwards since then that no boundary came before."""
        own = weakref.ref(self)
        self._root, self._post = weakref.ref(root, lambda _: _close(own)), post
        self._late: list[tuple[HostCopy, Record, str]] = []
        self._owned: weakref.WeakKeyDictionary[Optimizer, list[tuple[str, Tensor]]]
        self._owned = weakref.WeakKeyDictionary()
        self._checked_step = -1
        self._seen = False
        """Whether the present record was looked at before a step."""
        self._buffers = Buffers(root)
        # Flags of another device arrive after the step has changed the weights.
        self._remote = every_step and any(not p.is_cpu for p in root.parameters())
        self._earlier = EarlierWeights(root, fresh=self._remote)
        self._cost_s = 0.0
        self._hooks = hooks = ExitStack()
        pre = entry.register_forward_pre_hook(RootPreHook(self), with_kwargs=True)
        hooks.callback(pre.remove)
        hooks.callback(entry.register_forward_hook(RootPostHook(self)).remove)
        if criterion is not None:
            begins = criterion.register_forward_pre_hook(CriterionPreHook(self), with_kwargs=True)
            hooks.callback(begins.remove)
            hooks.callback(criterion.register_forward_hook(LayerHook(self)).remove)
        self._finalizer = weakref.finalize(self, hooks.close)
        # Not a hook of its own: taking that off while another thread steps would break the step.
        dispatcher.join(self)

    def close(self) -> None:
        """Take every hook off and forget the batch."""
        dispatcher.leave(self)
        self._hooks.close()
        self.finish()

    def finish(self) -> None:
        """Keep nothing any more; the hooks stay until ``close``."""
        self.done, self.record = True, None
        self._late.clear()
        self._owned.clear()
        self._earlier.forget()

    # Called by the hooks

    def root_began(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Keep what the forward depends on; finish with the one before."""
        if not torch.is_grad_enabled() or in_backward() or module.__dict__.get("_is_replica"):
            return
        if self.done:
            self._unanswered += 1
            if self._unanswered > PATIENCE:  # every step is skipped by a GradScaler
                self._post.overdue()
            return
        due = self.every_step or self._post.due()
        if not due and self.record is None and not self._late:
            return  # most forwards, where only some a second are guarded
        began = time.perf_counter()
        try:
            self._poll()
            before, self.record = self.record, None
            root = self._root()
            tracing = torch._C._get_tracing_state() is not None
            if self.done or root is None or tracing or not due:
                return
            self._seen = False
            streams = Streams.now(every=not self.every_step)
            step = self._post.step() + 1
            record = self.record = Record.begin(step, self._buffers, args, kwargs, streams=streams)
            dispatcher.announce()
            record.checked_before = self._checked_step == record.step - 1 and before is not None
            record.earlier = self._earlier.turn(step)
            if self._remote:
                record.weights = _weights(root)
        except Exception as error:
            self._post.fault("keeping the batch", error)
        self._post.spent(self._cost_s + time.perf_counter() - began)
        self._cost_s = 0.0

    def root_ended(self, module: nn.Module, output: object) -> None:
        """Look at the output, and wait for its gradient."""
        record = self.record
        if record is None or record.outputs or not torch.is_grad_enabled() or in_backward():
            return
        began = time.perf_counter()
        try:
            for at, tensor in enumerate(floating_outputs(output)):
                node = tensor.grad_fn
                record.outputs.append(None if node is None else int(node._sequence_nr()))
                if tensor.requires_grad:
                    tensor.register_hook(GradientHook(self, at))  # type: ignore[no-untyped-call]
                # Infinite outputs alone may be wanted: masked class scores.
                if tensor.is_cpu:
                    if has_nan(tensor):
                        self._post.broke(record, "NaN", "the model's output")
                        return
                else:
                    flag = _nan_flag(tensor)
                    self._late.append((HostCopy(flag), record, "the model's output"))
        except Exception as error:
            self._post.fault("looking at the output", error)
        self._cost_s += time.perf_counter() - began

    def gradient_came(self, index: int, gradient: Tensor) -> None:
        """Keep the gradient of the loss with respect to an output."""
        record = self.record
        if record is None or gradient.requires_grad:
            return
        try:
            if gradient.numel() * gradient.element_size() <= MOST_OUTPUT_BYTES:
                record.gradients.setdefault(index, gradient.detach())
        except Exception as error:
            self._post.fault("keeping the gradient of the output", error)

    def criterion_began(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Keep what the loss module is given."""
        if self.record is not None and torch.is_grad_enabled():
            try:
                self.record.criterion = Kept.of(args, kwargs)
            except Exception as error:
                self._post.fault("keeping what the loss is given", error)

    def layer_ended(self, name: str, output: object) -> None:
        """Look at the loss."""
        record = self.record
        if record is None or not isinstance(output, Tensor) or not output.is_cpu:
            return
        try:
            if output.numel() == 1 and not math.isfinite(value := float(output.detach())):
                self._post.broke(record, word_of(value), "the loss")
        except Exception as error:
            self._post.fault("looking at the loss", error)

    @property
    def reading(self) -> bool:
        """Whether the next step is to be looked at."""
        return self.record is not None

    def optimizer_stepped(self, optimizer: Optimizer) -> None:
        """Pass over the end of a step."""

    def ignores(self, optimizer: Optimizer) -> bool:
        """Whether steps of this optimizer mean nothing here."""
        return self.record is None

    def optimizer_steps(self, optimizer: Optimizer, *, closure: bool) -> None:
        """Look at the gradients of the parameters that ``optimizer`` is about to change."""
        record = self.record
        # A fused optimizer is called with gradients that are still scaled, and skips by itself.
        if record is None or getattr(optimizer, "found_inf", None) is not None:
            return
        began = time.perf_counter()
        try:
            mine = self._parameters(optimizer)
            flag = flag_of([own_values(p.grad) for _, p in mine if p.grad is not None])
            if flag is not None and mine:
                self._seen, self._checked_step = True, record.step
                if not flag.is_cpu:
                    self._late.append((HostCopy(flag), record, "a gradient"))
                elif not math.isfinite(float(flag)) and (found := first_bad_gradient(mine)):
                    self._post.broke(record, found[1], f"the gradient of {found[0]}")
                    return
                else:
                    self._post.cleared()
        except Exception as error:
            self._post.fault("looking at gradients", error)
        self._cost_s += time.perf_counter() - began

    def _poll(self) -> None:
        """Read flags that have arrived from the device."""
        while self._late and self._late[0][0].ready:
            flag, record, seen = self._late.pop(0)
            if not math.isfinite(value := float(flag.host())):
                self._post.broke(
                    record, "NaN" if math.isnan(value) or "output" in seen else "Inf", seen
                )
                return

    def _parameters(self, optimizer: Optimizer) -> list[tuple[str, Tensor]]:
        root, known = self._root(), self._owned.get(optimizer)
        if known is None and root is not None:
            owned = {id(p) for group in optimizer.param_groups for p in group["params"]}
            named = root.named_parameters()
            known = self._owned[optimizer] = [(name, p) for name, p in named if id(p) in owned]
        return known or []


def first_bad_gradient(named: Sequence[tuple[str, Tensor]]) -> tuple[str, str] | None:
    """Return the name and the word of the last parameter, in backward order, that broke."""
    for name, parameter in reversed(named):
        if parameter.grad is not None:
            nan, infinite = bad_in(own_values(parameter.grad))
            if nan or infinite:
                return name, "NaN" if nan else "Inf"
    return None


def word_of(value: float) -> str:
    """Return "NaN" or "Inf"."""
    return "NaN" if math.isnan(value) else "Inf"


def _close(sentinel: "weakref.ref[Sentinel]") -> None:
    """Close when the model is gone: the parameters are not to outlive it."""
    if (alive := sentinel()) is not None:
        alive.close()


def _nan_flag(tensor: Tensor) -> Tensor:
    values = tensor.detach()
    return torch.where(values.isnan().any(), math.nan, 0.0)


def _weights(root: nn.Module) -> dict[str, Tensor]:
    named = dict(root.named_parameters())
    if sum(p.numel() * p.element_size() for p in named.values()) > MOST_WEIGHT_BYTES:
        return {}
    return {name: p.detach().clone() for name, p in named.items()}
