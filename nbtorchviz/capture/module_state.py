"""The state of one module: swapped for copies while a model runs for us, then put back."""

import operator
from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

import torch
from torch import Tensor, nn

Written = list[tuple[nn.Module, str]]
"""Modules, and which of their buffers and attributes a forward has written."""

_CONTAINERS = (list, dict, set, deque, OrderedDict, defaultdict, Counter)
_UNCHANGEABLE = frozenset({bool, int, float, str, tuple, type(None)})
"""Types of most attributes: they are passed over quickly."""
_TORCHS_OWN = frozenset(vars(nn.Module()))
"""Attributes that every module has: the mode, the hooks and the tables of its parts."""
_MODE = "training"


class ModuleState:
    """Puts a module in eval mode and on copies of its state, until ``put_back``.

    Buffers, tensors kept as attributes and plain containers are copied; other attributes are
    remembered. Parameters are the module's own: who replaces them has them put back too.

    Args:
        module: a Python module; see ``ScriptedState`` for others.
        copies: what was copied so far by id, since several modules may hold one tensor.
    """

    __slots__ = (
        "before",
        "buffers",
        "generators",
        "hidden",
        "module",
        "own_buffers",
        "parameters",
        "replaced",
    )

    def __init__(self, module: nn.Module, copies: dict[int, Tensor]) -> None:
        self.module = module
        attributes, buffers = vars(module), module._buffers
        self.before = before = dict(attributes)
        self.parameters, self.own_buffers = dict(module._parameters), dict(buffers)
        self.hidden = set(module._non_persistent_buffers_set)
        self.generators: list[tuple[torch.Generator, Tensor]] = []
        self.replaced: list[tuple[str, Any, Any]] = []
        for name in before.keys() - _TORCHS_OWN:
            value = before[name]
            if type(value) in _UNCHANGEABLE:
                continue
            if isinstance(value, Tensor):
                self.replaced.append((name, value, _copy(value, copies)))
            elif type(value) in _CONTAINERS:
                self.replaced.append((name, value, value.copy()))
            elif isinstance(value, torch.Generator):
                self.generators.append((value, value.get_state()))
        self.buffers = {
            name: (tensor, _copy(tensor, copies))
            for name, tensor in buffers.items()
            if tensor is not None
        }
        for name, _, copy in self.replaced:
            attributes[name] = copy
        for name, (_, copy) in self.buffers.items():
            buffers[name] = copy
        if _MODE in before:  # not through __setattr__ of nn.Module: it looks in every table
            attributes[_MODE] = False
        else:  # a property of the user's
            self.replaced.append((_MODE, module.training, None))
            module.training = False

    def put_back(self, written: Written) -> None:
        """Put everything back and add to ``written`` what was changed.

        Entries are set only where they differ: another thread may be reading.
        """
        module, attributes, before = self.module, vars(self.module), self.before
        buffers = module._buffers
        for name, (own, copy) in self.buffers.items():
            if buffers.get(name) is not copy or (copy is not own and copy._version):
                written.append((module, name))
            if name in buffers:
                buffers[name] = own
        _refill(buffers, self.own_buffers)
        for name, own, copy in self.replaced:
            if name == _MODE:
                module.training = own
                continue
            if attributes.get(name) is not copy:
                written.append((module, name))
            if name in attributes:
                attributes[name] = own
        if _MODE in before:
            attributes[_MODE] = before[_MODE]
        if not _same_entries(attributes, before):
            written += [
                (module, name)
                for name, value in attributes.items()
                if before.get(name, before) is not value and not name.startswith("_flat_weight")
            ]
            _refill(attributes, before)
        _refill(module._parameters, self.parameters)
        if module._non_persistent_buffers_set != self.hidden:
            module._non_persistent_buffers_set.clear()
            module._non_persistent_buffers_set.update(self.hidden)
        for generator, state in self.generators:
            generator.set_state(state)


class ScriptedState:
    """The same for a scripted part, which keeps its state outside of Python."""

    def __init__(self, module: nn.Module, copies: dict[int, Tensor]) -> None:
        self.module, self.training = module, module.training
        self.buffers = [
            (name, tensor, _copy(tensor, copies))
            for name, tensor in module._buffers.items()
            if tensor is not None
        ]
        for name, _, copy in self.buffers:
            module._buffers[name] = copy
        module.training = False

    def put_back(self, written: Written) -> None:
        """Put mode and buffers back and add to ``written`` what was changed."""
        self.module.training = self.training
        for name, own, copy in self.buffers:
            if copy is not own and copy._version:
                written.append((self.module, name))
            self.module._buffers[name] = own


def state_of(module: nn.Module, copies: dict[int, Tensor]) -> ModuleState | ScriptedState:
    """Put a module in eval mode and on copies of its state."""
    if isinstance(module, torch.jit.ScriptModule):
        return ScriptedState(module, copies)
    return ModuleState(module, copies)


def _copy(tensor: Tensor, copies: dict[int, Tensor]) -> Tensor:
    """Copy a tensor once, also when several modules hold it."""
    found = copies.get(id(tensor))
    if found is None:
        if tensor.requires_grad or isinstance(tensor, nn.Parameter) or tensor.is_meta:
            return tensor
        found = copies[id(tensor)] = tensor.detach().clone()
    return found


def _refill(mapping: dict[str, Any], before: dict[str, Any]) -> None:
    if _same_entries(mapping, before):
        return
    for name in mapping.keys() - before.keys():
        del mapping[name]
    for name, value in before.items():
        if name not in mapping or mapping[name] is not value:
            mapping[name] = value
    if list(mapping) != list(before):  # the order of buffers is that of the state_dict
        mapping.clear()
        mapping.update(before)


def _same_entries(mapping: dict[str, Any], before: dict[str, Any]) -> bool:
    """Tell whether two dictionaries hold the very same objects in the same order."""
    return (
        len(mapping) == len(before)
        and all(map(operator.is_, mapping.values(), before.values()))
        and list(mapping) == list(before)
    )
