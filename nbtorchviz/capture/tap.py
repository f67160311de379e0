"""The facade of capture: one ``ModelTap`` per watched model."""

import contextlib
import sys
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NoReturn

import torch
from torch import nn
from torch.nn.parallel import DataParallel
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from nbtorchviz.capture.boundaries import Steps, dispatcher
from nbtorchviz.capture.compiled import check_choice, compiled_how, eager, entry_of, hides_root
from nbtorchviz.capture.failures import error_in, explain
from nbtorchviz.capture.hooks import CriterionPreHook, RootPostHook, RootPreHook, generation
from nbtorchviz.capture.inputs import as_inputs, moved
from nbtorchviz.capture.layers import CallRecord, Tree, unwrap
from nbtorchviz.capture.plans import (
    Boundary,
    Catch,
    CatchSink,
    Caught,
    ForwardFailure,
    Inputs,
    Plan,
    PlanSource,
    Summarise,
    Want,
)
from nbtorchviz.capture.probe import device_of, no_trace
from nbtorchviz.capture.shapes import BatchLike, LayoutBook, LayoutLike
from nbtorchviz.capture.windows import Setting, Window
from nbtorchviz.errors import ModelGoneError
from nbtorchviz.events import LayerInfo

__all__ = [
    "Boundary",
    "Catch",
    "CatchSink",
    "Caught",
    "ForwardFailure",
    "Inputs",
    "ModelTap",
    "Plan",
    "PlanSource",
    "Want",
    "unwrap",
]


class ModelTap:
    """Reads what chosen layers of one model put out, while the user's own loop trains it.

    The model is held weakly and nothing is stored on it. Between ``look()`` and ``rest()`` two
    hooks sit on the root module; during a window more sit on the planned layers. Everything but
    ``look``, ``rest`` and ``close`` happens on the training thread.

    Args:
        model: the module, or a DDP, DataParallel or compiled wrapper of it.
        source: asked for a plan at each matching root forward.
        sink: hears of boundaries, failures and faults.
        optimizers: the steps of the first one are counted; none: the first seen to own parameters.
        criterion: loss module whose targets are the labels; a function cannot be watched.
        layout: axes per layer name, overriding what is inferred.
        compiled: ``"eager_twin"`` or ``"force_eager"``.
        infer_layout: ``analysis.layouts.infer_layout``.
        summarise: ``analysis.statistics.summarise``.
        root_batch: ``analysis.layouts.root_batch_size``; None: axis 0 of the first input tensor.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        model: nn.Module,
        source: PlanSource,
        sink: CatchSink,
        *,
        optimizers: Iterable[Optimizer] = (),
        criterion: object = None,
        layout: Mapping[str, Sequence[str]] | None = None,
        compiled: str = "eager_twin",
        infer_layout: Callable[..., LayoutLike],
        summarise: Summarise,
        root_batch: Callable[..., BatchLike] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        _refuse(model)
        check_choice(compiled)
        root = unwrap(model)
        self._root = weakref.ref(root)
        self._entry: weakref.ref[nn.Module] | None = None
        self._source, self._sink, self._clock = source, sink, clock
        self._compiled = compiled
        self._born = generation()
        self.model_name = type(root).__name__
        self.parameters = _count_parameters(root)
        self.forward = 0
        self.micro = 0
        self.compiled_how: str | None = None
        """How the model is compiled and what is shown instead, for the chip; None: it is not."""
        self.closed = False
        self._setting = Setting(
            Tree(root),
            LayoutBook(infer_layout, root_batch, layout),
            summarise,
            self._fault,
            self._scale,
        )
        self._layers = self._setting.tree.listing()
        self._steps = Steps(self._root, optimizers)
        self._criterion: weakref.ref[nn.Module] | None = None
        self._scaler: weakref.ref[Any] | None = None
        self._hooks = ExitStack()
        self._stance = ExitStack()
        self._looking = False
        self._window: Window | None = None
        self._inside = False
        self._waiting: list[Window] = []
        self._twin: tuple[Inputs | None, Plan] | None = None
        self._last: Inputs | None = None
        self._calls: list[CallRecord] = []
        self._faulted: set[str] = set()
        self._late = False
        self._probing = False
        self._blind = 0
        self._cost_s = 0.0
        self._seen_forward = 0
        self.adopt(model)
        self.set_criterion(criterion)
        self._finalizer = weakref.finalize(self, self._hooks.close)
        dispatcher.join(self)

    # What is known about the model

    @property
    def model(self) -> nn.Module | None:
        """The user's module without wrappers; None when it was garbage-collected."""
        return self._root()

    @property
    def gone(self) -> bool:
        """True when the model no longer exists."""
        return self._root() is None

    @property
    def layers(self) -> tuple[LayerInfo, ...]:
        """``input`` first; ``named_modules`` order until surveyed, then the order of calls."""
        return self._layers

    @property
    def step(self) -> int:
        """Finished steps of the optimizer that counts."""
        return self._steps.count

    def find(self, key: str) -> str:
        """Return the canonical key of a layer given by any of its names.

        Raises:
            LayerNotFoundError: no such layer; the message lists the nearest names.
        """
        return self._setting.tree.find(key, [info.key for info in self._layers])

    def last_batch(self) -> Inputs | None:
        """Return a clone of the input sample of the last window; None when there is none."""
        return self._last

    # What may change

    def adopt(self, model: nn.Module) -> None:
        """Take another form of the same model: wrapped, compiled or bare."""
        entry, root = entry_of(model), self._root()
        if root is None:
            return
        if entry is not None:
            self._entry = weakref.ref(entry)
        self._note_compiled(compiled_how(self._entry_module(), root))
        if self._looking:
            self.rest()
            self.look()

    def watch_optimizer(self, optimizers: Iterable[Optimizer]) -> None:
        """Count the steps of the first of these."""
        self._steps.give(optimizers)

    def set_criterion(self, criterion: object) -> None:
        """Read labels from this loss module; anything but a module is left alone."""
        self._criterion = weakref.ref(criterion) if isinstance(criterion, nn.Module) else None
        if self._looking:
            self.rest()
            self.look()

    def set_scaler(self, scaler: object) -> None:
        """Divide gradients by the scale of this ``GradScaler``."""
        self._scaler = weakref.ref(scaler) if scaler is not None else None

    def set_layout(self, layout: Mapping[str, Sequence[str]] | None) -> None:
        """Replace the axes given per layer name."""
        self._setting.book.override(layout)

    def look(self) -> None:
        """Install the two root hooks (and the criterion's). Idempotent."""
        root = self._root()
        if self._looking or self.closed or root is None:
            return
        self._looking = True
        entry = self._entry_module()
        entry = root if entry is None else entry  # not "or": a wrapper may have no __len__
        if entry is root and hides_root(root) and self._compiled != "force_eager":
            return  # a hook would only make torch compile the user's forward once more
        pre = entry.register_forward_pre_hook(RootPreHook(self), with_kwargs=True)
        post = entry.register_forward_hook(RootPostHook(self), always_call=True)
        self._hooks.callback(pre.remove)
        self._hooks.callback(post.remove)
        criterion = self._criterion() if self._criterion is not None else None
        if criterion is not None:
            label = criterion.register_forward_pre_hook(CriterionPreHook(self), with_kwargs=True)
            self._hooks.callback(label.remove)

    def rest(self) -> None:
        """Remove every hook from the model; step counting goes on. Idempotent."""
        self._looking = False
        self._hooks.close()
        if not self._inside:
            self._drop()

    def close(self) -> None:
        """Stop for good and leave nothing behind. Idempotent."""
        self.closed = True
        self.rest()
        self._drop()
        self._stance.close()
        dispatcher.leave(self)

    # A root forward, seen by the root hooks

    def root_began(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Open a window if one is due (called by the root pre-hook)."""
        if self._probing or self.closed or getattr(module, "_is_replica", False):
            return
        began = time.perf_counter()
        try:
            self._began(module, args, kwargs)
        except Exception as error:
            self._drop()
            self._fault("root hook", error)
        self._cost_s += time.perf_counter() - began

    def _began(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._inside:  # the last forward was interrupted, or the model calls itself
            self._drop()
        self._stance.close()
        if self._late:
            self._late = False
            self._boundary("step")
        grad = torch.is_grad_enabled()
        phase = "train" if grad and module.training else "eval"
        self.forward += 1
        self.micro = self._steps.silent if grad else 0
        self._steps.forwards += 1
        self._steps.silent += grad
        alone = self._steps.by_forward(grad=grad)
        if alone and self._window is not None:
            self._finish_window()
        wanted = self._source.wanted_phase()
        matched = wanted in ("any", phase)
        self._sink.forward_began(phase, matched)
        self._inside = True
        due = matched and self._window is None and self._twin is None
        if not due or (phase == "train" and self.micro and not alone and self.step):
            return
        plan = self._source.next_plan(phase)
        root = self._root()
        if plan is not None and root is not None and torch._C._get_tracing_state() is None:
            self._open(root, plan, phase, args, kwargs)

    def _open(
        self,
        root: nn.Module,
        plan: Plan,
        phase: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        twin = self.compiled_how is not None and self._compiled == "eager_twin"
        if self.compiled_how is not None and not twin:
            self._stance.enter_context(eager(needed=True))
        window = self._new_window(Plan() if twin else plan, phase, "batch")
        window.verdict.sample = plan.wants[0].sample if plan.wants else 0
        window.enter(root, args, kwargs)
        self._window, self._last = window, window.inputs or self._last
        if twin:
            self._twin = (window.inputs, plan)

    def root_ended(self, module: nn.Module, output: object) -> None:
        """Take the hooks off the layers (called by the root hook, also after a failure)."""
        if self._probing or self.closed or not self._inside:
            return
        began = time.perf_counter()
        error = error_in(sys._getframe(2))
        self._inside = False
        self._stance.close()
        try:
            self._ended(output, error)
        except Exception as fault:
            self._drop()
            self._fault("root hook", fault)
        self._cost_s += time.perf_counter() - began
        if not self._looking:
            self._drop()
        if error is None and self._is_boundary():
            self._boundary("forward")

    def _ended(self, output: object, error: BaseException | None) -> None:
        window = self._window
        if error is not None:
            root = self._root()
            calls = window.calls if window is not None and window.plan.survey else self._calls
            self._drop()
            if root is not None:
                failure = explain(
                    error, self._setting.tree, root, calls,
                    step=self.step, forward=self.forward, micro=self.micro,
                    phase=window.phase if window is not None else "train",
                )  # fmt: skip
                self._sink.forward_failed(failure)
            return
        if window is not None and window.forward == self.forward:
            window.leave(output)

    def _is_boundary(self) -> bool:
        """Tell whether the end of this root forward completes what it caught."""
        if self._steps.by_forward(grad=torch.is_grad_enabled()):
            return True
        window = self._window
        return window is not None and window.phase == "eval" and window.forward == self.forward

    def criterion_began(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Read the labels of the batch (called by the criterion's pre-hook)."""
        window = self._window
        if window is None or self._probing or window.forward != self.forward:
            return
        try:
            window.verdict.labelled(args[1] if len(args) > 1 else kwargs.get("target"))
        except Exception as error:
            self._fault("labels", error)

    # Boundaries

    def optimizer_stepped(self, optimizer: Optimizer) -> None:
        """Complete a step if it is this model's (called by the process-wide hook)."""
        if self.closed or not self._steps.matches(optimizer):
            return
        if torch._C._current_graph_task_id() != -1:  # the optimizer runs inside the backward
            self._late = True
            return
        self._boundary("step")

    def _boundary(self, kind: str) -> None:
        began = time.perf_counter()
        catch = None
        try:
            self._watch_blindness(kind)
            catch = self._take()
        except Exception as error:
            self._drop()
            self._fault("boundary", error)
        cost, self._cost_s = self._cost_s + time.perf_counter() - began, 0.0
        boundary = Boundary(self.step, self.forward, self.micro, kind, catch, cost)
        try:
            self._sink.at_boundary(boundary)
        except Exception as error:
            self._fault("at_boundary", error)

    def _take(self) -> Catch | None:
        """Develop the newest window whose copies have all arrived on the host."""
        window, twin = self._window, self._twin
        later = (
            window is not None
            and self._steps.by_forward(grad=True)
            and window.wants_gradient
            and window.forward == self.forward
        )
        if window is not None and not later:
            self._finish_window()
        if twin is not None:
            self._twin = None
            return self._run_twin(*twin, self._waiting.pop() if self._waiting else None)
        while self._waiting:
            window = self._waiting[-1]
            if not window.ready:
                if len(self._waiting) > 2:  # the device lags: drop the oldest, never wait
                    del self._waiting[0]
                return None
            self._waiting.clear()
            self._refresh(window)
            catch = window.develop(self.step)
            self._surveyed(catch, window)
            return catch
        return None

    def _finish_window(self) -> None:
        window, self._window = self._window, None
        if window is not None:
            window.close()
            self._waiting.append(window)

    def _refresh(self, window: Window) -> None:
        root = self._root()
        if window.plan.survey and root is not None:
            self._setting.tree.refresh(root)

    def _surveyed(self, catch: Catch, window: Window) -> None:
        if catch.survey is not None:
            self._layers, self._calls = catch.survey, window.calls
            root = self._root()
            if root is not None:
                self.parameters = _count_parameters(root)

    def _watch_blindness(self, kind: str) -> None:
        """Notice a model whose hooks are never called although it trains."""
        if not self._looking or kind != "step":
            return
        window = self._window
        empty = window is not None and bool(window.plan.wants) and not window.hook_calls
        unseen = self.forward == self._seen_forward
        self._seen_forward = self.forward
        if not (empty or unseen):
            self._blind = 0 if window is not None or not unseen else self._blind
            return
        self._blind += 1
        root = self._root()
        if self._blind == 2 and self.compiled_how is None and root is not None:
            how = compiled_how(self._entry_module(), root)
            unknown = "2 steps passed and no hook was called: compiled, scripted, or .forward()?"
            self._note_compiled(how, unknown)

    def _note_compiled(self, how: str | None, otherwise: str | None = None) -> None:
        root = self._root()
        if how is None or root is None:
            self.compiled_how = otherwise
        elif hides_root(root) and self._entry_module() is None:
            self.compiled_how = (
                f"{how}: it hides its batches; give probe= or use torch.compile(model)"
            )
        elif self._compiled == "force_eager":
            self.compiled_how = f"{how}: sampled steps run eagerly, their numerics differ slightly"
        else:
            self.compiled_how = f"{how}: shown by an eager eval-mode copy of one sample"

    # Forwards of our own

    def probe(self, inputs: object, plan: Plan, *, labels: object = None) -> Catch:
        """Run the model once in eval mode on these inputs and leave no trace.

        Args:
            inputs: a tensor, a tuple of arguments, a dictionary of keywords, or ``Inputs``.
            plan: what to catch; there is no gradient.
            labels: class indices (N,), one per sample; may be None.

        Raises:
            ModelGoneError: the model was garbage-collected.
            RunRefusedError: a forward now would leave a trace or hang.
        """
        root = self._root()
        if root is None:
            raise ModelGoneError(f"The watched {self.model_name} no longer exists.")
        device = device_of(root)
        given = as_inputs(inputs)
        given = given if device is None else moved(given, device)
        window = self._new_window(plan, "eval", "probe")
        probing, self._probing = self._probing, True
        try:
            with (
                eager(needed=compiled_how(None, root) is not None),
                no_trace(root),
                contextlib.closing(window),
            ):
                window.enter(root, given.args, given.kwargs)
                output = root(*given.args, **given.kwargs)
                window.leave(output)
                window.verdict.labelled(labels)
        finally:
            self._probing = probing
        self._refresh(window)
        catch = window.develop(self.step)
        self._surveyed(catch, window)
        return catch

    def _run_twin(self, inputs: Inputs | None, plan: Plan, seen: Window | None) -> Catch | None:
        if inputs is None or seen is None:
            self._fault("eager copy", TypeError("the inputs of this model cannot be cloned"))
            return None
        began = time.perf_counter()
        catch = self.probe(inputs, plan)
        catch.label, catch.prediction, catch.probability = seen.verdict.read()
        catch.source = "twin"
        for caught in [*catch.caught, *([catch.input] if catch.input else [])]:
            caught.sample, caught.batch_size = inputs.sample, inputs.batch_size
            caught.channel_zero = None  # one sample says nothing about the whole batch
        catch.forward, catch.micro = seen.forward, seen.micro
        catch.cost_s = time.perf_counter() - began
        return catch

    # Helpers

    def _new_window(self, plan: Plan, phase: str, source: str) -> Window:
        return Window(
            self._setting, plan, phase=phase, forward=self.forward, micro=self.micro, source=source
        )

    def _entry_module(self) -> nn.Module | None:
        return self._entry() if self._entry is not None else None

    def _drop(self) -> None:
        """Forget what was being caught."""
        window, self._window, self._twin = self._window, None, None
        self._inside = False
        if window is not None:
            window.close()

    def _scale(self) -> float | None:
        scaler = self._scaler() if self._scaler is not None else None
        return None if scaler is None else float(scaler.get_scale())

    def _fault(self, where: str, error: BaseException) -> None:
        """Report a failure of ours, once per place."""
        if where in self._faulted:
            return
        self._faulted.add(where)
        with contextlib.suppress(Exception):
            self._sink.fault(where, error)

    def __reduce__(self) -> NoReturn:
        raise TypeError("A ModelTap watches a live model and cannot be pickled; pickle the model.")


def _count_parameters(root: nn.Module) -> int:
    return sum(p.numel() for p in root.parameters() if not is_lazy(p))


def _refuse(model: object) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"a tap needs a torch.nn.Module, got {type(model).__name__}")
    if isinstance(unwrap(model), torch.jit.ScriptModule):
        raise TypeError(
            "A scripted model calls no hooks: watch the module that was given to torch.jit.script."
        )
    if isinstance(model, DataParallel) and len(model.device_ids) > 1:
        raise TypeError(
            f"DataParallel over {len(model.device_ids)} devices runs copies of the model on "
            "threads and cannot be watched. Use DistributedDataParallel, or one device."
        )
