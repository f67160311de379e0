"""Whether the backward pass reaches every parameter that learns."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nbtorchviz.analysis.checkup_report import Row
from nbtorchviz.analysis.checkup_verdicts import named, plural
from nbtorchviz.session.checkup_bench import Bench, Seen
from nbtorchviz.session.checkup_loss import projection

MOST_UNREACHED = 0.5
"""Share of the parameters; more without a gradient are a problem, fewer may be meant."""


def check_gradients(bench: Bench, seen: Seen) -> Row:
    """Look whether the backward pass reaches every parameter that learns."""
    check = "gradients"
    twin = bench.open(train=True)
    learning = {name: p for name, p in twin.named_parameters() if p.requires_grad}
    if not learning:
        return Row(check, "not checked", "no parameter requires a gradient.")
    words = "loss"

    def total() -> Tensor | None:
        nonlocal words
        output = bench.run(twin)
        loss = bench.loss(output)
        words = "loss" if loss is not None else "output"
        return projection(output) if loss is None else loss

    found = gradients(total, list(learning.values()))
    if found is None:
        return Row(check, "problem", f"The {words} does not depend on any parameter.")
    without = [name for name, g in zip(learning, found, strict=True) if g is None]
    held = {name: g for name, g in zip(learning, found, strict=True) if g is not None}
    zero = [name for name, g in held.items() if g.ndim > 1 and not _any(g)]
    bad = [name for name, g in held.items() if not _finite(g)]
    if bad:
        return Row(check, "problem", f"{plural(len(bad), 'gradient')} not finite: {named(bad)}.")
    if without:
        uncalled = all(name.rpartition(".")[0] not in seen.called for name in without)
        reason = "these layers are never called" if uncalled else "something cuts them off"
        return Row(
            check,
            "problem" if len(without) > MOST_UNREACHED * len(learning) else "warning",
            f"{len(without)} of {plural(len(learning), 'parameter')} get no gradient from the "
            f"{words} ({reason}): {named(without)}.",
        )
    if zero:
        return Row(
            check,
            "warning",
            f"The gradient of {plural(len(zero), 'parameter')} is exactly 0: {named(zero)}. "
            "Dead units, or a result that nothing uses.",
        )
    norms = {name: float(g.float().norm()) for name, g in held.items()}
    low, high = min(norms, key=norms.__getitem__), max(norms, key=norms.__getitem__)
    return Row(
        check,
        "ok",
        f"All {plural(len(held), 'parameter')} get one from the {words}; norms from "
        f"{norms[low]:.2g} ({low}) to {norms[high]:.2g} ({high}).",
    )


def gradients(
    total: Callable[[], Tensor | None], parameters: Sequence[Tensor]
) -> list[Tensor | None] | None:
    """Return the gradient of ``total()`` for each parameter; None: it depends on none of them.

    Not by ``backward()``, which would add to ``.grad`` of tensors outside the copy too.
    """
    value = total()
    if value is None or not value.requires_grad:
        return None
    try:
        return list(torch.autograd.grad(value, parameters, allow_unused=True))
    except RuntimeError as error:
        if "checkpoint" not in str(error).lower():
            raise
    value = total()  # reentrant checkpoints know backward() only
    if value is None:
        return None
    value.backward()  # type: ignore[no-untyped-call]
    return [parameter.grad for parameter in parameters]


def _any(tensor: Tensor) -> bool:
    tensor = tensor.coalesce().values() if tensor.is_sparse else tensor
    return bool(tensor.any())


def _finite(tensor: Tensor) -> bool:
    tensor = tensor.coalesce().values() if tensor.is_sparse else tensor
    return bool(torch.isfinite(tensor).all())
