"""A check-up before training: what can be known from one batch, in words with numbers."""

import time
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.optim import Optimizer

from nbtorchviz.analysis.checkup_report import CheckupReport, Row
from nbtorchviz.analysis.checkup_verdicts import named, plural
from nbtorchviz.analysis.findings.names import is_batch_norm, is_dropout
from nbtorchviz.capture.layers import unwrap
from nbtorchviz.capture.leaves import dtype_name, leaves, shape_of
from nbtorchviz.session.checkup_batch import Batch, understand
from nbtorchviz.session.checkup_bench import Bench, watched
from nbtorchviz.session.checkup_copy import CannotCopyError, experiment, plain_hooks
from nbtorchviz.session.checkup_gradients import check_gradients
from nbtorchviz.session.checkup_labels import COMPARING, misfit, wrong_indices
from nbtorchviz.session.checkup_learning import check_learning
from nbtorchviz.session.checkup_loss import BINARY, Criterion, name_of, uses_classes
from nbtorchviz.session.checkup_outcome import check_outcome, told
from nbtorchviz.session.checkup_samples import check_dependence, check_mixing
from nbtorchviz.session.checkup_static import (
    NO_OPTIMIZER,
    check_input,
    check_labels,
    check_optimizer,
)

RUNNING = (
    "forward",
    "finite numbers",
    "first loss",
    "gradients",
    "depends on input",
    "samples apart",
    "one batch",
)
"""The checks that run the model."""
SINGLE_SAMPLE = (
    " Batch normalisation cannot learn from one sample: give larger batches, and drop_last=True to "
    "the DataLoader, whose last batch may hold one."
)


def checkup(
    model: nn.Module,
    batch: object,
    optimizer: Optimizer | Sequence[Optimizer] | None = None,
    criterion: Criterion | None = None,
    labels: object = None,
    *,
    most_steps: int = 100,
    most_s: float = 10.0,
    no_optimizer: str = NO_OPTIMIZER,
    clock: Callable[[], float] = time.monotonic,
) -> CheckupReport:
    """Look for what commonly goes wrong, before a training is started.

    Everything runs on copies of the model: its parameters, buffers, modes, gradients, the
    optimizer and all random streams stay bitwise as they are.

    Args:
        model: what will be trained; DDP and compiled wrappers are looked through.
        batch: one batch, as a DataLoader yields it.
        optimizer: one or several that will train it.
        criterion: called with (output, labels). Without it: the loss that the model gives itself,
            or cross-entropy where the labels are class indices.
        labels: those of the batch, where ``batch`` holds the inputs alone.
        most_steps: steps at most, for learning the batch by heart.
        most_s: seconds at most for the same.
        no_optimizer: what is said where there is none.
        clock: returns seconds.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: the batch has no items.
    """
    began = clock()
    target = unwrap(_checked(model))
    optimizers = _optimizers(optimizer)
    if criterion is not None and not callable(criterion):
        raise TypeError(f"criterion must be callable, got {type(criterion).__name__}.")
    given = understand(target, batch, labels)
    if any(tensor.ndim and not len(tensor) for _, tensor in given.tensors()):
        raise ValueError(f"checkup() needs a batch with items in it, got {given.describe()}.")
    notes = []
    rows = [
        _row("input", lambda: check_input(target, given)),
        _row("optimizer", lambda: check_optimizer(target, optimizers, no_optimizer)),
    ]
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        reason = "this process belongs to a torch.distributed group; one rank alone would wait."
        rows += _unchecked(reason)
    else:
        with experiment():
            trained = any(each.state for each in optimizers)
            run, filled = _run(target, given, criterion, trained, most_steps, most_s, clock)
            rows += run
        if filled:
            notes.append(
                f"{named(filled)}: zero at the start, given small values where the flow of signals "
                "was looked at."
            )
    if hooks := plain_hooks(target):
        notes.append(f"{plural(hooks, 'hook')} of yours left off the copies.")
    return CheckupReport(
        type(target).__name__, given.describe(), tuple(rows), tuple(notes), clock() - began
    )


def _run(
    model: nn.Module,
    batch: Batch,
    criterion: Criterion | None,
    trained: bool,
    most_steps: int,
    most_s: float,
    clock: Callable[[], float],
) -> tuple[list[Row], list[str]]:
    """Run the checks that need a forward; also return the weights that were filled for it."""
    try:
        bench = Bench(model, batch, criterion)
        twin = bench.fresh()
    except CannotCopyError as error:
        return _unchecked(f"this model cannot be copied ({error})."), []
    except Exception as error:
        return _unchecked(f"the criterion cannot be copied ({told(error)})."), []
    try:
        output, seen = watched(bench, twin)
    except Exception as error:
        hint = SINGLE_SAMPLE if "more than 1 value per channel" in str(error) else ""
        row = Row("forward", "problem", f"It raised {told(error)}{hint}")
        return [row, *_unchecked("the forward failed.")[1:]], []
    bench.find_batch(output, seen)
    rows = [
        _row("forward", lambda: _forward(model, bench, output)),
        _row("labels", lambda: _labels(bench, output)),
        *check_outcome(bench, output, seen, trained=trained),
        _row("gradients", lambda: check_gradients(bench, seen)),
        _row("depends on input", lambda: check_dependence(bench)),
        _row("samples apart", lambda: check_mixing(bench)),
        _row(
            "one batch",
            lambda: check_learning(bench, most_steps=most_steps, most_s=most_s, clock=clock),
        ),
    ]
    return rows, bench.filled


def _forward(model: nn.Module, bench: Bench, output: object) -> Row:
    scores = bench.primary(output)
    if scores is None:
        return Row("forward", "warning", f"It gives no floating tensor: {type(output).__name__}.")
    path = next(path for path, leaf in leaves(output) if leaf is scores)
    kind = "" if scores is output else f", tensor {path} of a {type(output).__name__}"
    text = f"It gives {shape_of(scores)} {dtype_name(scores)}{kind}."
    modes = {type(module).__name__ for module in model.modules() if not module.training}
    modes = {name for name in modes if is_batch_norm(name) or is_dropout(name)}
    if not model.training and modes:
        return Row(
            "forward",
            "warning",
            f"{text} The model is in eval mode, where {named(sorted(modes))} learn and drop "
            "nothing: call model.train() before you train it.",
        )
    return Row("forward", "ok", text)


def _labels(bench: Bench, output: object) -> Row:
    labels = bench.batch.labels
    if (wrong := misfit(bench, output) or wrong_indices(bench, output)) is not None:
        return Row("labels", "problem", wrong)
    classes = bench.classes(output) if uses_classes(bench.criterion, labels) else None
    ignored = getattr(bench.criterion, "ignore_index", -100)
    compared = name_of(bench.criterion) in COMPARING
    binary = name_of(bench.criterion) in BINARY
    return check_labels(labels, classes, ignored, compared=compared, binary=binary)


def _row(check: str, look: Callable[[], Row]) -> Row:
    """Run one check; what raises is not checked, and says why."""
    try:
        return look()
    except Exception as error:
        return Row(check, "not checked", f"it raised {told(error)}")


def _unchecked(reason: str) -> list[Row]:
    return [Row(check, "not checked", reason) for check in RUNNING]


def _checked(model: object) -> nn.Module:
    if isinstance(model, nn.Module):
        return model
    raise TypeError(f"checkup() needs a torch.nn.Module, got {type(model).__name__}.")


def _optimizers(optimizer: object) -> tuple[Optimizer, ...]:
    if optimizer is None:
        return ()
    given = tuple(optimizer) if isinstance(optimizer, list | tuple) else (optimizer,)
    for one in given:
        if not isinstance(one, Optimizer):
            raise TypeError(
                f"checkup() needs a torch.optim.Optimizer, got {type(one).__name__}. "
                "Its order is checkup(model, batch, optimizer, criterion)."
            )
    return given
