"""Knobs of an optimizer: learning rate, weight decay, momentum, betas of its parameter groups."""

import math
import numbers
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nbtorchviz.session.knob_change import Change

SETTINGS = {
    "lr": "lr",
    "weight_decay": "weight decay",
    "momentum": "momentum",
    "betas": "betas",
}
"""Keys of a parameter group that can be turned, and what they are called on the curve."""
Value = float | tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """One parameter group; groups of several optimizers are counted through."""

    label: str
    """``"group 1"``, or the ``name`` that the user gave it."""
    optimizer: Optimizer
    entries: dict[str, Any]


def groups_of(optimizers: Sequence[Optimizer]) -> tuple[Group, ...]:
    """List the parameter groups of all optimizers."""
    found = ((each, entries) for each in optimizers for entries in each.param_groups)
    return tuple(
        Group(str(entries.get("name", f"group {index}")), optimizer, entries)
        for index, (optimizer, entries) in enumerate(found)
    )


def value_of(entry: object) -> Value | None:
    """Read a setting; None for one on another device, which is not waited for."""
    if isinstance(entry, tuple | list):
        parts = tuple(value_of(part) for part in entry)
        return None if None in parts else tuple(part for part in parts if isinstance(part, float))
    if isinstance(entry, Tensor):
        return float(entry.item()) if entry.is_cpu else None
    return float(entry) if isinstance(entry, int | float) else None


def written(entry: object, value: Value) -> object:
    """Return what to store: a tensor is filled in place, because graphs were captured with it."""
    if isinstance(value, tuple):
        old = entry if isinstance(entry, tuple | list) else value
        return tuple(written(a, b) for a, b in zip(old, value, strict=True))
    if isinstance(entry, Tensor):
        with torch.no_grad():
            return entry.fill_(value)
    return value


@dataclass(frozen=True, slots=True)
class GroupSetting:
    """A request: give one setting of some parameter groups a value."""

    name: str
    value: Value
    group: int | str | None
    """Index or name of a group, ``"all"``; None: all, if their values are equal."""

    @property
    def key(self) -> tuple[str, str]:
        """Requests with the same key replace each other."""
        return self.name, str(self.group)

    @property
    def text(self) -> str:
        """What is asked for: ``"lr 0.005"``."""
        where = "" if self.group in (None, "all") else f" ({self.group})"
        return f"{SETTINGS[self.name]} {value_text(self.value)}{where}"

    def check(self, model: nn.Module, optimizers: Sequence[Optimizer]) -> None:
        """Refuse what cannot be applied.

        Raises:
            ValueError: no optimizer, no such setting or group, or groups that differ.
        """
        self._targets(optimizers)

    def apply(self, model: nn.Module, optimizers: Sequence[Optimizer]) -> Change | None:
        """Write the value; None when it is there already."""
        targets = self._targets(optimizers)
        before = [value_of(group.entries[self.name]) for group in targets]
        if all(value == self.value for value in before):
            return None
        for group in targets:
            group.entries[self.name] = written(group.entries[self.name], self.value)
        old = ", ".join(dict.fromkeys("?" if v is None else value_text(v) for v in before))
        # Only some of several groups: say which.
        some = len(targets) < len(groups_of(optimizers))
        where = f" ({', '.join(group.label for group in targets)})" if some else ""
        text = f"{SETTINGS[self.name]} {old} → {value_text(self.value)}{where}"
        return Change(text=text, note=" ".join(self._notes(targets)), knob=self.name)

    def _notes(self, targets: Sequence[Group]) -> Iterator[str]:
        entries = targets[0].entries
        if self.name == "lr" and any("initial_lr" in group.entries for group in targets):
            first = value_of(entries.get("initial_lr"))
            began = f" that began at {value_text(first)}" if first is not None else ""
            yield f"A learning-rate scheduler{began} is attached: its next step may overwrite this."
        if self.name in ("momentum", "betas") and "max_momentum" in entries:
            yield "A scheduler that cycles momentum is attached: its next step overwrites this."
        if self.name == "momentum" and self.value == 0:
            yield "Momentum buffers are kept as they are, and used again if it is raised."

    def _targets(self, optimizers: Sequence[Optimizer]) -> tuple[Group, ...]:
        groups = groups_of(optimizers)
        if not groups:
            raise ValueError(
                f"{self.name} belongs to an optimizer, and none is known yet. "
                "Pass it: watch(model, optimizer)."
            )
        chosen = self._chosen(groups)
        having = tuple(group for group in chosen if self.name in group.entries)
        if not having:
            kind = type(chosen[0].optimizer).__name__
            has = ", ".join(name for name in SETTINGS if name in chosen[0].entries)
            raise ValueError(f"{kind} has no {self.name}. Of these it has: {has or 'none'}.")
        values = {value_of(group.entries[self.name]) for group in having}
        if self.group is None and len(values) > 1:
            told = ", ".join("?" if value is None else value_text(value) for value in values)
            raise ValueError(
                f"The {len(having)} parameter groups have different {self.name} ({told}). Say "
                f'which: group=0 to {len(groups) - 1}, or group="all" to make them equal.'
            )
        return having

    def _chosen(self, groups: tuple[Group, ...]) -> tuple[Group, ...]:
        if self.group in (None, "all"):
            return groups
        for index, group in enumerate(groups):
            if self.group in (index, group.label):
                return (group,)
        names = ", ".join(repr(group.label) for group in groups)
        raise ValueError(
            f"No parameter group {self.group!r}. "
            f"Accepted: 0 to {len(groups) - 1}, {names} or 'all'."
        )


def setting(name: str, value: object, group: int | str | None) -> GroupSetting:
    """Check the value of a setting, whatever the optimizer is.

    Raises:
        TypeError: no number, or not two for betas.
        ValueError: out of range.
    """
    if name == "betas":
        if not isinstance(value, tuple | list) or len(value) != 2:
            raise TypeError(f"betas must be two numbers, such as (0.9, 0.999), got {value!r}.")
        return GroupSetting(name, tuple(_number(name, beta, below=1.0) for beta in value), group)
    if name == "momentum":
        return GroupSetting(name, _number(name, value, most=1.0), group)
    return GroupSetting(name, _number(name, value), group)


def _number(name: str, value: object, *, most: float = math.inf, below: float = math.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}.")
    number = float(value)
    if not (math.isfinite(number) and 0 <= number <= most and number < below):
        limit = f"and below {below:g}" if below < math.inf else f"to {most:g}"
        accepted = "from 0 on" if most == below == math.inf else f"from 0 {limit}"
        raise ValueError(f"{name} must be finite and {accepted}, got {value!r}.")
    return number


def value_text(value: Value) -> str:
    """Write a setting: ``"0.005"``, ``"(0.9, 0.999)"``."""
    if isinstance(value, tuple):
        return f"({', '.join(map(value_text, value))})"
    return f"{value:.6g}"
