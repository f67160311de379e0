"""Checks that run no model: the input, the labels, and who owns which parameter."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from nbtorchviz.analysis.checkup_report import Row
from nbtorchviz.analysis.checkup_verdicts import input_verdict, labels_verdict, named, plural
from nbtorchviz.analysis.statistics import summarise
from nbtorchviz.capture.leaves import dtype_name, shape_of
from nbtorchviz.capture.probe import device_of
from nbtorchviz.session.checkup_batch import Batch

_SEVERITY = ("ok", "not checked", "warning", "problem")

NO_OPTIMIZER = "no optimizer was given."
LOST_OPTIMIZER = "the optimizer that was given no longer exists: keep it in a variable."
LARGE_TARGET = 100.0
"""Above it a target of a regression is told. Our choice: fresh models put out a few units."""


def check_input(model: nn.Module, batch: Batch) -> Row:
    """Look at range and dtype of the input tensors; the worst is told."""
    found = batch.tensors()
    if not found:
        return Row("input", "not checked", "the batch holds no tensor.")
    rows = [_input_row(model, *item, main=item is found[0]) for item in found]
    worst = max(rows, key=lambda row: _SEVERITY.index(row.verdict))
    if worst.verdict == "ok":
        return Row("input", "ok", " ".join(row.sentence for row in rows[:3]))
    return worst


def _input_row(model: nn.Module, name: str, tensor: Tensor, *, main: bool) -> Row:
    what = f"{name} {shape_of(tensor)} {dtype_name(tensor)}".removeprefix("input ")
    device = device_of(model)
    if device is not None and tensor.device != device:
        return Row("input", "problem", f"{what} is on {tensor.device}, the model on {device}.")
    if tensor.is_floating_point():
        wanted = {p.dtype for p in model.parameters() if p.is_floating_point() and not is_lazy(p)}
        if (
            wanted
            and tensor.dtype not in wanted
            and not torch.is_autocast_enabled(tensor.device.type)
        ):
            told = named(sorted(str(dtype).removeprefix("torch.") for dtype in wanted))
            return Row("input", "problem", f"{what}, but the parameters are {told}.")
    if tensor.dtype == torch.uint8 and tensor.ndim > 2:
        return Row("input", "warning", f"{what}: raw bytes; use x.float() / 255, then normalise.")
    numbers = summarise(tensor.detach())
    bad = numbers.nan + numbers.posinf + numbers.neginf
    if numbers.minimum is None or numbers.maximum is None:
        verdict: Any = "problem" if bad else "not checked"
        return Row("input", verdict, f"{what}: {f'{bad:,} NaN or Inf' if bad else numbers.note}.")
    return input_verdict(
        what,
        low=numbers.minimum,
        high=numbers.maximum,
        nonfinite=bad,
        main=main,
        whole=not tensor.is_floating_point(),
        samples_equal=len(tensor) > 1 and bool((tensor == tensor[:1]).all()),
    )


def check_labels(
    labels: Any,
    classes: int | None,
    ignored: int,
    *,
    compared: bool = False,
    binary: bool = False,
) -> Row:
    """Look at the range of class indices or targets.

    Args:
        labels: as understood.
        classes: class scores per label; None when not known.
        ignored: label that the loss leaves out.
        compared: whether the loss compares them with the output, number by number.
        binary: whether it is a binary cross-entropy, which has no lower bound beyond 0 and 1.
    """
    if labels is None:
        return Row("labels", "not checked", "no labels were given.")
    if not isinstance(labels, Tensor):
        return Row("labels", "not checked", f"they are {type(labels).__name__}, not a tensor.")
    if labels.is_floating_point():
        bad = int((~torch.isfinite(labels)).sum())
        if bad:
            return Row("labels", "problem", f"{plural(bad, 'value')} are NaN or Inf.")
        low, high = float(labels.min()), float(labels.max())
        text = f"{shape_of(labels)} float, from {low:.4g} to {high:.4g}"
        if binary and (low < 0 or high > 1):
            return Row(
                "labels",
                "problem",
                f"{text}: binary cross-entropy wants them from 0 to 1; beyond, its least value is "
                "no answer.",
            )
        if compared and max(-low, high) > LARGE_TARGET:
            return Row(
                "labels",
                "warning",
                f"{text}: far from what a fresh model puts out, so that training is slow to reach "
                "them. Standardise them: subtract their mean, divide by their standard deviation.",
            )
        return Row("labels", "ok", f"{text}.")
    kept = labels[labels != ignored] if labels.dtype != torch.bool else labels
    if not kept.numel():
        return Row("labels", "problem", "Every label is ignored by the loss.")
    return labels_verdict(
        count=labels.numel(),
        low=int(kept.min()),
        high=int(kept.max()),
        ignored=labels.numel() - kept.numel(),
        classes=classes,
        distinct=int(torch.unique(kept).numel()),
    )


def check_optimizer(
    model: nn.Module, optimizers: Sequence[Optimizer], words: str = NO_OPTIMIZER
) -> Row:
    """Look whether every parameter that learns is in an optimizer.

    Args:
        model: whose parameters.
        optimizers: that train it.
        words: what to say where there is none.
    """
    check = "optimizer"
    learning = {id(p): name for name, p in model.named_parameters() if p.requires_grad}
    frozen = sum(not p.requires_grad for p in model.parameters())
    hidden = list(_hidden(model))
    if hidden:
        return Row(
            check,
            "warning",
            f"{named(hidden)}: plain containers, whose parameters model.parameters() does not "
            "see. Use nn.ModuleList or nn.ModuleDict.",
        )
    if not learning:
        if frozen:
            return Row(check, "problem", f"All {plural(frozen, 'parameter')} are frozen.")
        return Row(check, "not checked", "the model has no parameters.")
    if not optimizers:
        return Row(check, "not checked", words)
    owned = {id(p) for each in optimizers for group in each.param_groups for p in group["params"]}
    missing = [name for key, name in learning.items() if key not in owned]
    total = plural(len(learning), "parameter")
    if len(missing) == len(learning):
        return Row(
            check,
            "problem",
            f"None of {total} is in the optimizer. Was the model made anew after it?",
        )
    if missing:
        return Row(
            check,
            "problem",
            f"{len(missing)} of {total} in no optimizer, so they will not learn: {named(missing)}.",
        )
    rates = [group["lr"] for each in optimizers for group in each.param_groups if "lr" in group]
    if rates and not any(float(rate) for rate in rates):
        return Row(check, "warning", f"All {total} are in it, but its learning rate is 0.")
    kinds = named([type(each).__name__ for each in optimizers])
    rest = f"; {frozen:,} more frozen" if frozen else ""
    return Row(check, "ok", f"All {total} are in {kinds}{rest}.")


def _hidden(model: nn.Module) -> Iterator[str]:
    """Name plain lists and dictionaries that hold modules unknown to the model."""
    known = {id(parameter) for parameter in model.parameters()}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if name.startswith("_") or not isinstance(value, list | tuple | dict):
                continue
            items = value.values() if isinstance(value, dict) else value
            inner = [item for item in items if isinstance(item, nn.Module)]
            if any(p.requires_grad and id(p) not in known for m in inner for p in m.parameters()):
                yield f"{path}.{name}" if path else name
