"""A window: hooks on the planned layers for exactly one root forward and its backward."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from nbtorchviz.capture.hooks import GradientHook, LayerHook, LayerPreHook, in_backward
from nbtorchviz.capture.inputs import own_inputs
from nbtorchviz.capture.layers import INPUT, OUTPUT, Tree, join_key, split_key
from nbtorchviz.capture.leaves import leaves, pick, refusal, shape_of, tensors_of
from nbtorchviz.capture.plans import Catch, Caught, Inputs, Plan, Summarise, Want
from nbtorchviz.capture.shapes import LayoutBook, LayoutLike
from nbtorchviz.capture.spreads import RowsClock, Spreads, SummariseMany
from nbtorchviz.capture.strangers import Strangers
from nbtorchviz.capture.survey import CallRecord, surveyed_layers
from nbtorchviz.capture.tensors import (
    Cut,
    cut,
    develop,
    unscaled,
    zeros_of,
)
from nbtorchviz.capture.verdict import Verdict

Fault = Callable[[str, BaseException], None]


@dataclass(frozen=True, slots=True)
class Setting:
    """What a window needs to know about the model it opens on."""

    tree: Tree
    book: LayoutBook
    summarise: Summarise
    summarise_many: SummariseMany
    fault: Fault
    scale: Callable[[], float | None] = lambda: None
    """Factor by which a GradScaler multiplied the loss; None when no scaler is known."""
    find_scaler: Callable[[], None] = lambda: None
    """Called in the optimizer's hooks: the scaler may be what makes this step."""
    clock: Callable[[], float] = time.monotonic
    """Measures cost."""
    rows: RowsClock = field(default_factory=RowsClock)
    strangers: Strangers = field(default_factory=Strangers)


class Window:
    """Catches one root forward. Closed windows are inert; copies are developed at the boundary.

    Args:
        setting: names, layouts and helpers of the model.
        plan: what to catch.
        phase: ``"train"`` or ``"eval"``.
        forward: number of this root forward.
        micro: root forward within the step.
        source: ``"batch"``, ``"probe"`` or ``"twin"``.
    """

    def __init__(
        self, setting: Setting, plan: Plan, *, phase: str, forward: int, micro: int, source: str
    ) -> None:
        self.plan, self.phase, self.source = plan, phase, source
        self.forward, self.micro = forward, micro
        self.inputs: Inputs | None = None
        self.verdict = Verdict(plan.wants[0].sample if plan.wants else 0)
        self.hook_calls = 0
        self.cost_s = 0.0
        self.open = True
        # An empty plan is that of a compiled model, whose batch an eager copy is to show.
        self._shows = bool(plan.wants or plan.survey or not (plan.statistics or plan.parameters))
        self.calls: list[CallRecord] = []
        """What a survey has seen so far, in the order in which calls began."""
        self._setting = setting
        self._wants: dict[str, list[tuple[int, int]]] = defaultdict(list)
        """Layer name -> (call, index in the plan)."""
        for index, want in enumerate(plan.wants):
            name, call = self._parse(want.key)
            self._wants[name].append((call, index))
        self._counts: dict[str, int] = defaultdict(int)
        self._running: dict[str, list[int]] = defaultdict(list)
        self._handles: dict[str, list[RemovableHandle]] = defaultdict(list)
        self._cuts: dict[int, Cut] = {}
        self._gradients: dict[int, Cut] = {}
        self._watched: dict[int, LayoutLike] = {}
        """Wants whose gradient may come, with the layout of their output."""
        self._awaiting: dict[int, LayoutLike] = {}
        """Wants whose output had no graph: a reentrant checkpoint recomputes it."""
        self._spreads = Spreads(setting.fault, setting.rows, setting.clock)
        self._input: Cut | None = None
        self._training: dict[str, bool] = {}
        self.scaled = False
        """Whether float16 autocast was on, so that a GradScaler may be in use."""
        self._broken: set[str] = set()

    @property
    def wants_gradient(self) -> bool:
        """True while a gradient may still come."""
        return bool(self._watched or self._awaiting) or self._spreads.wants_gradient

    def enter(self, root: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Put hooks on the planned modules, and copy the input sample if there are pictures."""
        self.scaled = half_autocast()
        if self._shows:
            self._copy_input(args, kwargs)
        if self.plan.survey or self.plan.statistics:
            modules = dict(root.named_modules(remove_duplicate=False))
            for name in self._setting.tree.entries:
                if name != INPUT:
                    self._hook(root, name, modules)
        else:
            for name in self._wants:
                if name != INPUT:
                    self._hook(root, name, {})
        if not self.open:  # closed by another thread meanwhile
            self._unhook(set())

    def _copy_input(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        book, sample = self._setting.book, self.verdict.sample
        tensors = tensors_of(args, kwargs)
        book.begin([shape_of(tensor) for tensor in tensors])
        if tensors:
            first = tensors[0]
            layout = book.layout(INPUT, "", shape_of(first), INPUT, None)
            want = next((w for w in self.plan.wants if w.key == INPUT), Want(INPUT, sample=sample))
            self._input = cut(first, want, layout, key=INPUT, call=0, path="")
        self.inputs = own_inputs(
            args, kwargs, batch_size=book.batch_size, batch_axis=book.batch_axis, sample=sample
        )

    def _hook(self, root: nn.Module, name: str, modules: dict[str, nn.Module]) -> None:
        entry = self._setting.tree.entry(name)
        if entry is None:  # a widget still looks at what the user took out
            return
        if entry.name == OUTPUT and not entry.raw:
            return  # the root's own hook hands this output over
        module = modules.get(entry.raw)
        if module is None:
            try:
                module = root.get_submodule(entry.raw)
            except AttributeError:  # the user took it out: the next survey lists what there is
                return
        if self.plan.survey:
            handle = module.register_forward_pre_hook(LayerPreHook(self, entry.name))
            self._handles[entry.name].append(handle)
        if self.plan.statistics:
            self._training[entry.name] = module.training
        handle = module.register_forward_hook(LayerHook(self, entry.name))
        self._handles[entry.name].append(handle)

    def layer_began(self, name: str, args: tuple[Any, ...]) -> None:
        """Note the order in which calls begin (surveys only)."""
        if not self.open or in_backward() or self._setting.strangers.here():
            return
        entry = self._setting.tree.entries[name]
        call = len(self._running[name])
        self._running[name].append(len(self.calls))
        self.calls.append(CallRecord.begun(entry, call, args))

    def layer_ended(self, name: str, output: object) -> None:
        """Copy what is wanted of one call's output, before anything can overwrite it."""
        if not self.open or name in self._broken or self._setting.strangers.here():
            return
        began = self._setting.clock()
        self.hook_calls += 1
        try:
            if in_backward():
                self._recomputed(name, output)
            else:
                self._caught(name, output)
        except Exception as error:
            self._broken.add(name)
            self._setting.fault(f"hook of {name}", error)
        self.cost_s += self._setting.clock() - began

    def _caught(self, name: str, output: object) -> None:
        call = self._counts[name]
        self._counts[name] = call + 1
        key = join_key(name, call)
        plan = self.plan
        if plan.statistics:
            main = (None, output) if isinstance(output, Tensor) else pick(leaves(output), "")
            if main is not None:
                self._spreads.take(key, main[1], training=self._training.get(name, False))
        if not (plan.wants or plan.survey):
            return
        wants = [index for at, index in self._wants.get(name, ()) if at == call]
        if not (wants or plan.survey):
            return
        found = leaves(output)
        if plan.survey:
            self._surveyed(name, call, found)
        entry = self._setting.tree.entries[name]
        for index in wants:
            want = self.plan.wants[index]
            leaf = pick(found, want.path)
            if leaf is None:
                continue
            path, tensor = leaf
            shape = shape_of(tensor)
            layout = self._setting.book.layout(name, path, shape, entry.type, entry.batch_first)
            done = cut(tensor, want, layout, key=key, call=call, path=path)
            if want.watched and done.copy is not None:
                done.channel_zero = zeros_of(tensor, layout)
            self._cuts[index] = done
            if want.gradient:
                self._watch_gradient(tensor, index, layout)

    def _watch_gradient(self, tensor: Tensor, index: int, layout: LayoutLike) -> None:
        if refusal(tensor) or tensor.is_nested:
            return
        if tensor.requires_grad:
            tensor.register_hook(GradientHook(self, index))  # type: ignore[no-untyped-call]
            self._watched[index] = layout
        elif self.phase == "train" and tensor.is_floating_point():
            self._awaiting[index] = layout

    def _recomputed(self, name: str, output: object) -> None:
        """Take the gradient of a reentrant checkpoint, whose first pass ran without grad."""
        for _, index in self._wants.get(name, ()):
            leaf = pick(leaves(output), self.plan.wants[index].path)
            if index in self._awaiting and leaf is not None and leaf[1].requires_grad:
                self._watch_gradient(leaf[1], index, self._awaiting.pop(index))

    def gradient_came(self, index: int, gradient: Tensor) -> None:
        """Copy or add a gradient; one that itself requires grad is a penalty's and ignored."""
        if not self.open or gradient.requires_grad:
            return
        began = self._setting.clock()
        activation = self._cuts[index]
        try:
            if index in self._gradients:
                self._gradients[index].add(gradient, self._watched[index])
            else:
                done = cut(
                    gradient,
                    activation.want,
                    self._watched[index],
                    key=activation.key,
                    call=activation.call,
                    path=activation.path,
                )
                done.backwards = 1
                self._gradients[index] = done
        except Exception as error:
            self._setting.fault(f"gradient of {activation.key}", error)
        self.cost_s += self._setting.clock() - began

    def _surveyed(self, name: str, call: int, found: list[tuple[str, Tensor]]) -> None:
        places = self._running.get(name, ())
        if call < len(places):
            place = places[call]
            paths = tuple(path for path, _ in found)
            shapes = tuple(shape_of(tensor) for _, tensor in found)
            record = self.calls[place]
            self.calls[place] = replace(
                record, call=call, paths=paths, shapes=shapes, finished=True
            )

    def leave(self, output: object) -> None:
        """Take the prediction and the hooks off; only reentrant checkpoints keep theirs."""
        try:
            if OUTPUT in self._setting.tree.entries and output is not None:
                if self.plan.survey:
                    self.layer_began(OUTPUT, ())
                self.layer_ended(OUTPUT, output)
            if self._shows:
                self.verdict.predicted(leaves(output), self._setting.book)
        except Exception as error:
            self._setting.fault("prediction", error)
        waiting = {split_key(self._cuts[index].key)[0] for index in self._awaiting}
        self._unhook({name for name in waiting if self.open and self._counts[name] == 1})

    def close(self) -> None:
        """Become inert: hooks off, later gradients ignored."""
        self.open = False
        self._spreads.close()
        self._unhook(set())

    def _unhook(self, keep: set[str]) -> None:
        for name in [name for name in self._handles if name not in keep]:
            for handle in self._handles.pop(name):
                handle.remove()

    @property
    def ready(self) -> bool:
        """True when no copy is still on its way from the device."""
        cuts = [*self._cuts.values(), *self._gradients.values()]
        if self._input is not None:
            cuts.append(self._input)
        return self._spreads.ready and all(cut.ready for cut in cuts) and self.verdict.ready

    def develop(self, step: int) -> Catch:
        """Turn the copies into arrays. Call after ``close``."""
        began = self._setting.clock()
        setting, summarise = self._setting, self._setting.summarise
        catch = Catch(self.forward, self.micro, self.phase, step, source=self.source)
        for index, done in self._cuts.items():
            caught = develop(done, summarise)
            if done.want.gradient:
                self._add_gradient(caught, self._gradients.get(index))
            catch.caught.append(caught)
        if self.plan.statistics:
            catch.statistics = self._spreads.develop(setting.summarise_many, setting.scale())
        if self.plan.survey:
            catch.survey = surveyed_layers(setting.tree, setting.book, self.calls, self._input)
        if self._input is not None:
            catch.input = develop(self._input, summarise)
            if INPUT in self._wants:
                catch.caught.insert(0, catch.input)
        with contextlib.suppress(ValueError, RuntimeError):
            catch.label, catch.prediction, catch.probability = self.verdict.read()
        self.cost_s += self._setting.clock() - began
        catch.cost_s = self.cost_s + self._spreads.cost_s
        return catch

    def _add_gradient(self, caught: Caught, gradient: Cut | None) -> None:
        if gradient is None:
            caught.notes += ("no gradient reached this output",)
            return
        caught.gradient = develop(gradient, self._setting.summarise)
        caught.gradient.backwards = caught.backwards = gradient.backwards
        scale = self._setting.scale()
        if scale is not None and scale != 1.0:
            caught.gradient = unscaled(caught.gradient, scale)
        elif scale is None and self.scaled:
            caught.gradient.notes += ("float16 autocast: scaled by a GradScaler?",)

    def _parse(self, key: str) -> tuple[str, int]:
        tree = self._setting.tree
        entry = tree.entry(key)
        if entry is not None:
            return entry.name, 0
        name, call = split_key(key)
        entry = tree.entry(name)
        return (entry.name if entry else name), call


def half_autocast() -> bool:
    """Whether float16 autocast is on, on any device."""
    for kind in ("cuda", "cpu"):
        if torch.is_autocast_enabled(kind):
            return torch.get_autocast_dtype(kind) is torch.float16
    return False
