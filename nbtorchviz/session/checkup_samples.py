"""Whether the output follows the input, and samples of a batch stay apart; in eval mode."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from nbtorchviz.analysis.checkup_report import Row
from nbtorchviz.analysis.checkup_verdicts import dependence_verdict, mixing_verdict
from nbtorchviz.analysis.root_batch import RootBatch
from nbtorchviz.capture.leaves import leaves, shape_of
from nbtorchviz.capture.plans import Inputs
from nbtorchviz.session.checkup_bench import Bench, batch_axis
from nbtorchviz.session.checkup_loss import projection

MIXED = 1e-6
"""Share of its own gradient by which another sample counts as mixed in. Our choice."""
CHANGED = 1e-4
"""The same where values are compared, which differ by rounding. Our choice."""


def check_dependence(bench: Bench) -> Row:
    """Look whether another input gives another output, in eval mode."""
    twin, root = bench.open(train=False), bench.root
    given = bench.batch.copy(bench.device).inputs
    words = "another sample in each place"
    other = _mapped(given, root, lambda tensor, axis: tensor.roll(1, axis))
    if _equal(given, other):
        words = "noise added to the input"
        source = torch.Generator().manual_seed(0)
        other = _noisy(given, source)
        if _equal(given, other):
            return Row("depends on input", "not checked", "one sample, and no number to change.")
    with torch.no_grad():
        before = [leaf.clone() for _, leaf in leaves(bench.run(twin, given))]
        after = [leaf for _, leaf in leaves(bench.run(twin, other))]
    pairs = [
        (a.float(), b.float())
        for a, b in zip(before, after, strict=True)
        if a.is_floating_point() and a.shape == b.shape and a.numel()
    ]
    if not pairs:
        return Row("depends on input", "not checked", "the output holds no floating numbers.")
    changes = [float((a - b).abs().max() / a.abs().max().clamp(min=1e-30)) for a, b in pairs]
    known = all(map(math.isfinite, changes))
    return dependence_verdict(max(changes) if known else math.nan, words)


def check_mixing(bench: Bench) -> Row:
    """Look whether the output of a sample depends on other samples, in eval mode."""
    check = "samples apart"
    twin, root = bench.open(train=False), bench.root
    if root.size is None or root.axis is None or root.size < 2:
        return Row(check, "not checked", "the batch holds one sample.")
    followed = _follow(bench, twin, root)
    with torch.no_grad():
        output = bench.primary(bench.run(twin)) if followed is None else followed[0]
    axis = None if output is None else batch_axis(output, root)
    if output is None or axis is None:
        reason = f"no axis of the output has the batch's {root.size} entries."
        return Row(check, "not checked", reason)
    count = root.size
    if _compares(bench, twin, root, output):
        return Row(
            check,
            "not checked",
            f"the output {shape_of(output)} compares the samples of a batch with one another.",
        )
    for sample in dict.fromkeys((0, count // 2, count - 1)):
        reach = None if followed is None else _reach(*followed, sample, axis, count)
        if reach is not None:
            own = float(reach[sample])
            reach[sample] = 0
            if float(reach.max()) > MIXED * own:
                others = f"sample {int(reach.argmax())}"
                return _mixed(bench, sample, others, float(reach.max()))
            continue
        change = _by_exchange(bench, twin, root, sample, axis)
        if change is None:
            return Row(check, "not checked", "all samples of the batch are the same.")
        if change > CHANGED:
            return _mixed(bench, sample, "other samples", change)
    return mixing_verdict(0, "", 0.0, count)


def _mixed(bench: Bench, sample: int, others: str, change: float) -> Row:
    """Judge samples that do not stay apart, unless an input says which of them are connected."""
    count, tensors = bench.root.size or 0, [tensor for _, tensor in bench.batch.tensors()]
    # Of as many tokens as samples, or of two samples, the like may be a mask.
    square = shape_of(tensors[0])[:2] != (count, count)
    for tensor in tensors[1:]:
        edges = not tensor.is_floating_point() and tensor.ndim == 2 and len(tensor) == 2 != count
        matrix = square and shape_of(tensor) == (count, count)
        if tensor.layout is not torch.strided or edges or matrix:
            reason = (
                f"an input {shape_of(tensor)} connects the samples, as the edges of a graph do."
            )
            return Row("samples apart", "not checked", reason)
    return mixing_verdict(sample, others, change, count)


def _compares(bench: Bench, twin: nn.Module, root: RootBatch, output: Tensor) -> bool:
    """Whether the output has an entry for each pair of samples, as contrastive losses want it."""
    count = root.size
    if count is None or shape_of(output)[:2] != (count, count):
        return False
    given = bench.batch.copy(bench.device).inputs
    fewer = _mapped(given, root, lambda tensor, axis: tensor.narrow(axis, 0, count - 1))
    try:
        with torch.no_grad():
            found = bench.primary(bench.run(twin, fewer))
    except RuntimeError:  # it takes batches of this size only
        return False
    return found is not None and shape_of(found)[:2] == (count - 1, count - 1)


def _follow(
    bench: Bench, twin: nn.Module, root: RootBatch
) -> tuple[Tensor, list[tuple[Tensor, int]]] | None:
    """Run a forward whose output can be followed back to the inputs; None: it cannot.

    Returns:
        The output, and each input with its batch axis.
    """
    watched: list[tuple[Tensor, int]] = []
    whole = False

    def follow(tensor: Tensor, at: int) -> Tensor:
        nonlocal whole
        whole = whole or not tensor.is_floating_point()
        if whole:
            return tensor
        tensor = tensor.detach().requires_grad_()
        watched.append((tensor, at))
        return tensor.clone()  # a layer may write to it in place

    given = _mapped(bench.batch.copy(bench.device).inputs, root, follow)
    if whole or not watched:  # tokens have no gradient; beside them a mask says little
        return None
    try:
        with torch.backends.cudnn.flags(enabled=False):  # its LSTM has no backward in eval mode
            output = bench.primary(bench.run(twin, given))
    except RuntimeError:  # a forward that works without a graph only
        return None
    return None if output is None or not output.requires_grad else (output, watched)


def _reach(
    output: Tensor, watched: list[tuple[Tensor, int]], sample: int, axis: int, count: int
) -> Tensor | None:
    """Return per sample how steeply the output of ``sample`` follows it; None: no gradient."""
    total = projection(output.select(axis, sample))
    if total is None:
        return None
    inputs = [tensor for tensor, _ in watched]
    try:
        with torch.backends.cudnn.flags(enabled=False):
            found = torch.autograd.grad(total, inputs, retain_graph=True, allow_unused=True)
    except RuntimeError:  # reentrant checkpoints, operations without a gradient
        return None
    reach = torch.zeros(count)
    for (_, at), gradient in zip(watched, found, strict=True):
        if gradient is not None:
            rows = gradient.detach().float().abs().movedim(at, 0).flatten(1)
            reach = torch.maximum(reach, rows.amax(1).cpu())
    return reach if float(reach[sample]) > 0 and bool(torch.isfinite(reach).all()) else None


def _by_exchange(
    bench: Bench, twin: nn.Module, root: RootBatch, sample: int, axis: int
) -> float | None:
    """Exchange all samples but one; return by which share of its size its output changes."""
    given = bench.batch.copy(bench.device).inputs

    def exchange(tensor: Tensor, at: int) -> Tensor:
        rolled = tensor.roll(1, at)
        rolled.select(at, sample).copy_(tensor.select(at, sample))
        return rolled

    other = _mapped(given, root, exchange)
    if _equal(given, other):
        return None
    with torch.no_grad():
        before, after = bench.primary(bench.run(twin, given)), bench.primary(bench.run(twin, other))
    if before is None or after is None or before.shape != after.shape:
        return None
    before, after = before.select(axis, sample).float(), after.select(axis, sample).float()
    return float((before - after).abs().max() / before.abs().max().clamp(min=1e-30))


def _mapped(inputs: Inputs, root: RootBatch, change: Callable[[Tensor, int], Tensor]) -> Inputs:
    """Change each tensor that has the batch's axis; ``change`` is given the tensor and the axis."""

    def one(leaf: object) -> object:
        if not isinstance(leaf, Tensor) or root.size is None or root.axis is None:
            return leaf
        for axis in (root.axis, 0, 1):
            if leaf.ndim > axis and leaf.shape[axis] == root.size:
                return change(leaf, axis)
        return leaf

    args, kwargs = pytree.tree_map(one, (inputs.args, inputs.kwargs))
    return Inputs(args, kwargs)


def _noisy(inputs: Inputs, source: torch.Generator) -> Inputs:
    def one(leaf: object) -> object:
        if not isinstance(leaf, Tensor) or not leaf.is_floating_point():
            return leaf
        noise = torch.randn(leaf.shape, generator=source).to(leaf)
        return leaf + noise * leaf.abs().max().clamp(min=1)

    args, kwargs = pytree.tree_map(one, (inputs.args, inputs.kwargs))
    return Inputs(args, kwargs)


def _equal(a: Inputs, b: Inputs) -> bool:
    pairs = zip(
        pytree.tree_leaves((a.args, a.kwargs)), pytree.tree_leaves((b.args, b.kwargs)), strict=True
    )
    return all(torch.equal(x, y) for x, y in pairs if isinstance(x, Tensor))
