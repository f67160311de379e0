"""What is known about the watched model, and running it without a trace."""

import contextlib
import weakref
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.parallel import DataParallel
from torch.nn.parameter import is_lazy

from nbtorchviz.capture.compiled import compiled_how, eager, entry_of, hides_root
from nbtorchviz.capture.failures import explain
from nbtorchviz.capture.hooks import own_forward
from nbtorchviz.capture.inputs import as_inputs, moved
from nbtorchviz.capture.layers import unwrap
from nbtorchviz.capture.plans import Catch, ForwardFailure, Plan
from nbtorchviz.capture.probe import device_of, no_trace
from nbtorchviz.capture.stillness import Stillness
from nbtorchviz.capture.survey import CallRecord
from nbtorchviz.capture.windows import Setting, Window
from nbtorchviz.errors import ModelGoneError


class Subject:
    """The watched model, held weakly: its names, its size, how it is compiled.

    Args:
        model: the module or a wrapper of it.
        setting: builds on the unwrapped module.
        compiled: ``"eager_twin"`` or ``"force_eager"``.
    """

    def __init__(
        self, model: nn.Module, setting: Callable[[nn.Module], Setting], compiled: str
    ) -> None:
        refuse(model)
        root = unwrap(model)
        self.root = weakref.ref(root)
        self.name = type(root).__name__
        self.parameters = _count_parameters(root)
        self.setting = setting(root)
        self.layers = self.setting.tree.listing()
        self.calls: list[CallRecord] = []
        """What the last good survey saw."""
        self.compiled_how: str | None = None
        self._choice, self._stillness = compiled, Stillness()
        self._entry: weakref.ref[nn.Module] | None = None
        self.adopt(model)

    @property
    def entry(self) -> nn.Module | None:
        """Where the root hooks belong; None when the model is gone or hides its root."""
        root = self.root()
        wrapper = self._wrapper()
        if wrapper is not None or root is None:
            return wrapper
        # On a model compiled in place a hook would only make torch compile it once more.
        return None if hides_root(root) else root

    @property
    def needs_twin(self) -> bool:
        """True when batches are shown by an eager copy of one sample."""
        return self.compiled_how is not None and self._choice == "eager_twin"

    @property
    def needs_eager(self) -> bool:
        """True when sampled steps of a compiled model run eagerly."""
        return self.compiled_how is not None and self._choice == "force_eager"

    def adopt(self, model: nn.Module) -> None:
        """Take another form of the same model: wrapped, compiled or bare."""
        entry = entry_of(model)
        if entry is not None:
            self._entry = weakref.ref(entry)
        self.note_compiled()

    def choose(self, compiled: str) -> None:
        """Look into a compiled model this way from now on."""
        self._choice = compiled
        self.note_compiled()

    def note_compiled(self, otherwise: str | None = None) -> None:
        """Look again how the model is compiled, and put it in words for the chip."""
        root, wrapper = self.root(), self._wrapper()
        how = compiled_how(wrapper, root) if root is not None else None
        if how is None or root is None:
            self.compiled_how = otherwise
        elif hides_root(root) and wrapper is None:
            advice = "it hides its batches; give probe= or use torch.compile(model)"
            self.compiled_how = f"{how}: {advice}"
        elif self._choice == "force_eager":
            self.compiled_how = f"{how}: sampled steps run eagerly, their numerics differ slightly"
        else:
            self.compiled_how = f"{how}: shown by an eager eval-mode copy of one sample"

    def open(self, plan: Plan, *, phase: str, forward: int, micro: int, source: str) -> Window:
        """Make a window; a survey reads the names of the modules anew."""
        root = self.root()
        if plan.survey and root is not None:
            self.setting.tree.read(root)
        return Window(self.setting, plan, phase=phase, forward=forward, micro=micro, source=source)

    def explain(
        self, error: BaseException, window: Window | None, *, step: int, forward: int, micro: int
    ) -> ForwardFailure | None:
        """Say why a forward raised ``error``; None when the model is gone.

        Args:
            error: of the forward.
            window: that was open; its survey of the calls is fresher than the last good one.
            step: optimizer steps so far.
            forward: number of the root forward.
            micro: root forward within the step.
        """
        root = self.root()
        if root is None:
            return None
        fresh = window is not None and window.plan.survey
        return explain(
            error,
            self.setting.tree,
            root,
            window.calls if window is not None and fresh else self.calls,
            fresh=fresh,
            step=step,
            forward=forward,
            micro=micro,
            phase="train" if root.training and torch.is_grad_enabled() else "eval",
        )

    def develop(self, window: Window, step: int) -> Catch:
        """Turn what a closed window copied into arrays, and learn from its survey."""
        root = self.root()
        survey = window.plan.survey
        if survey and root is not None:  # a lazy module got its sizes in this forward
            self.setting.tree.refresh(root)
            self.parameters = _count_parameters(root)
        catch = window.develop(step)
        if not step and window.plan.statistics and window.phase == "train" and root is not None:
            catch.still = self._stillness.since_last(root)
        if catch.survey is not None:
            self.layers, self.calls = catch.survey, window.calls
        return catch

    def run(self, window: Window, given: object, *, labels: object, step: int) -> Catch:
        """Run the model once in eval mode inside this window and leave no trace.

        Raises:
            ModelGoneError: the model was garbage-collected.
            RunRefusedError: a forward now would leave a trace or hang.
        """
        root = self.root()
        if root is None:
            raise ModelGoneError(f"The watched {self.name} no longer exists.")
        device, inputs = device_of(root), as_inputs(given)
        inputs = inputs if device is None else moved(inputs, device)
        with (
            own_forward(),
            eager(needed=compiled_how(None, root) is not None),
            no_trace(root),
            contextlib.closing(window),
        ):
            window.enter(root, inputs.args, inputs.kwargs)
            window.leave(root(*inputs.args, **inputs.kwargs))
            window.verdict.labelled(labels)
        return self.develop(window, step)

    def _wrapper(self) -> nn.Module | None:
        return self._entry() if self._entry is not None else None


def refuse(model: object) -> None:
    """Refuse what cannot be watched.

    Raises:
        TypeError: not a module, scripted, or replicated over several devices.
    """
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


def _count_parameters(root: nn.Module) -> int:
    return sum(p.numel() for p in root.parameters() if not is_lazy(p))
