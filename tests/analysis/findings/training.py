"""Train a real model and turn what happens into the events that the findings read.

Everything is measured in the plainest way (a hook on every module, weights cloned before the step),
so that these tests do not depend on the capture that does it cheaply.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from nbtorchviz.analysis.findings import Finding, Findings
from nbtorchviz.analysis.statistics import summarise
from nbtorchviz.capture.layers import Tree
from nbtorchviz.events import (
    Event,
    LayerStatisticsCaptured,
    ModelAttached,
    ParameterStatisticsCaptured,
    ScalarLogged,
    Statistics,
)

SAMPLE = 2_048
NAN = float("nan")

Batches = Iterable[tuple[Tensor, Tensor]]
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass
class Seen:
    """What one forward and its backward left behind, in the order of the calls."""

    keys: list[str] = field(default_factory=list)
    statistics: list[Statistics] = field(default_factory=list)
    spreads: list[float] = field(default_factory=list)
    gradient_norms: list[float] = field(default_factory=list)
    training: list[bool] = field(default_factory=list)

    def hook(self, name: str) -> Callable[[nn.Module, object, object], None]:
        def read(module: nn.Module, args: object, output: object) -> None:
            if isinstance(output, tuple):  # nn.MultiheadAttention, nn.RNN
                output = output[0]
            if not isinstance(output, Tensor):
                return
            calls = sum(key.split("#")[0] == name for key in self.keys)
            place = len(self.keys)
            self.keys.append(f"{name}#{calls}" if calls else name)
            self.statistics.append(summarise(output, limit=SAMPLE))
            self.spreads.append(batch_spread(output.detach()))
            self.gradient_norms.append(NAN)
            self.training.append(module.training)
            if output.requires_grad:
                output.register_hook(lambda gradient: self.keep(place, gradient))

        return read

    def keep(self, place: int, gradient: Tensor) -> None:
        self.gradient_norms[place] = float(gradient.norm())

    def event(self, step: int, phase: str) -> LayerStatisticsCaptured:
        return LayerStatisticsCaptured(
            step=step,
            phase=phase,
            layers=tuple(self.keys),
            statistics=tuple(self.statistics),
            gradient_norms=np.array(self.gradient_norms, "f"),
            training=tuple(self.training),
            batch_spreads=np.array(self.spreads, "f"),
        )


def batch_spread(output: Tensor) -> float:
    """Largest standard deviation over the first axis among all positions."""
    if output.ndim == 0 or output.shape[0] < 2:
        return NAN
    return float(output.float().std(dim=0, correction=0).max())


def parameter_state(name: str, parameter: nn.Parameter, rates: dict[int, float]) -> str:
    if not parameter.requires_grad:
        return "frozen"
    if id(parameter) not in rates:
        return "no optimizer"
    return "unused" if parameter.grad is None else ""


def events_of(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_of: Loss,
    batches: Batches,
    *,
    clip: float | None = None,
) -> Iterator[Event]:
    """Train on the batches, one step each, and yield all events of each step."""
    tree = Tree(model)
    count = sum(parameter.numel() for parameter in model.parameters())
    yield ModelAttached(model=type(model).__name__, parameters=count, layers=tree.listing())
    for step, (inputs, targets) in enumerate(batches, start=1):
        seen = Seen()
        hooks = [m.register_forward_hook(seen.hook(n)) for n, m in model.named_modules() if n]
        loss = loss_of(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        for hook in hooks:
            hook.remove()
        phase = "train" if model.training else "eval"
        yield ScalarLogged(step=step - 1, name="loss", value=float(loss.detach()))
        yield seen.event(step, phase)
        raw = norms([parameter.grad for parameter in model.parameters()])
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        yield stepped(model, optimizer, raw, step=step, phase=phase)


def norms(tensors: Iterable[Tensor | None]) -> np.ndarray:
    return np.array([NAN if t is None else float(t.detach().norm()) for t in tensors], "f")


def stepped(
    model: nn.Module, optimizer: torch.optim.Optimizer, raw: np.ndarray, *, step: int, phase: str
) -> ParameterStatisticsCaptured:
    """Make the optimizer's step and measure around it."""
    named = dict(model.named_parameters())
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    states = tuple(parameter_state(name, p, rates) for name, p in named.items())
    gradient_norms = norms(p.grad for p in named.values())
    nonfinite = [0 if p.grad is None else int((~p.grad.isfinite()).sum()) for p in named.values()]
    before = [p.detach().clone() for p in named.values()]
    optimizer.step()
    return ParameterStatisticsCaptured(
        step=step,
        phase=phase,
        parameters=tuple(named),
        gradient_norms=gradient_norms,
        raw_gradient_norms=raw,
        norms=norms(before),
        update_norms=norms(p.detach() - old for p, old in zip(named.values(), before, strict=True)),
        learning_rates=np.array([rates.get(id(p), NAN) for p in named.values()], "f"),
        counts=np.array([p.numel() for p in named.values()], np.int64),
        states=states,
        nonfinite=np.array(nonfinite, np.int64),
    )


@dataclass
class Watched:
    """What the findings said about one training."""

    findings: Findings
    changes: list[Finding]
    losses: list[float]

    @property
    def raised(self) -> set[tuple[str, str]]:
        """(rule, layer) of everything that was ever raised."""
        return {(change.rule, change.layer) for change in self.changes if change.active}


def watch(events: Iterable[Event]) -> Watched:
    findings = Findings()
    changes, losses = [], []
    for event in events:
        changes += findings.observe(event)
        if isinstance(event, ScalarLogged):
            losses.append(event.value)
    return Watched(findings, changes, losses)
