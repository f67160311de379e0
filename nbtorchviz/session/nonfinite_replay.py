"""Run a batch again on a copy of the model, and find the operation that made NaN or infinity."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from nbtorchviz.capture.compiled import compiled_how, eager
from nbtorchviz.capture.nonfinite_backward import first_broken
from nbtorchviz.capture.nonfinite_calls import Calls
from nbtorchviz.capture.nonfinite_loss import LossChain, first_alone
from nbtorchviz.capture.nonfinite_pieces import first_bad, piece_of
from nbtorchviz.capture.nonfinite_ranges import bad_in, described, readable
from nbtorchviz.capture.nonfinite_record import Kept, NotKeptError, Record, floating_outputs
from nbtorchviz.capture.nonfinite_trace import FoundError, OpTrace
from nbtorchviz.capture.probe import keep_random
from nbtorchviz.nonfinite import UNKNOWN, NonFiniteReport, TensorPiece
from nbtorchviz.session.checkup_copy import CannotCopyError, copied
from nbtorchviz.session.nonfinite_answers import backward_report, forward_report

MOST_MODEL_BYTES = 4_000_000_000
"""Of a model that is copied for it."""


def replay(
    record: Record,
    root: nn.Module,
    criterion: nn.Module | None,
    chain: LossChain | None,
    *,
    word: str,
    seen: str,
) -> NonFiniteReport:
    """Find the first cause; the model, its gradients and every random stream stay as they are.

    Args:
        record: the forward that broke.
        root: the model, with the weights of that forward unless the record has them.
        criterion: the loss module, if it is known.
        chain: what is known of a loss outside the model.
        word: ``"NaN"`` or ``"Inf"``.
        seen: what gave it away.
    """
    blank = NonFiniteReport(step=record.step, word=word, direction=UNKNOWN, seen=seen)
    with _apart(record):
        try:
            found = _traced(record, root, criterion, chain, blank)
            if chain is None or found.direction != "loss":
                return found
            return replace(found, terms=chain.terms)
        except (NotKeptError, CannotCopyError) as error:
            note = str(error)
            if isinstance(error, CannotCopyError):
                note = f"The model cannot be copied: {error}."
        except Exception as error:  # the user's forward refuses to run again
            note = f"Running the batch again failed: {type(error).__name__}: {error}."[:300]
    return replace(blank, notes=(note,))


def _traced(
    record: Record,
    root: nn.Module,
    criterion: nn.Module | None,
    chain: LossChain | None,
    blank: NonFiniteReport,
) -> NonFiniteReport:
    if (found := _parameter(record, root, blank)) or (found := _input(record, blank)):
        return found
    args, kwargs = record.batch.again()
    if sum(p.numel() * p.element_size() for p in root.parameters()) > MOST_MODEL_BYTES:
        raise NotKeptError("The model is too large to be copied.")
    twin = copied(root)
    _restore(twin, record)
    calls = Calls(twin)
    trace = OpTrace(calls)
    record.streams.restore()
    outputs: list[Tensor] = []
    try:
        with eager(needed=compiled_how(None, root) is not None), calls.followed(), trace:
            outputs = floating_outputs(twin(*args, **kwargs))
    except FoundError:
        pass
    cause = trace.found or trace.origin_of(outputs)
    if cause is not None:
        return forward_report(cause, trace, blank, "forward")
    if trace.passed_on is not None:
        note = "A tensor from outside the batch and the parameters brought it in."
        return replace(forward_report(trace.passed_on, trace, blank, "forward"), notes=(note,))
    return _after_forward(record, criterion, chain, blank, trace, outputs)


def _after_forward(
    record: Record,
    criterion: nn.Module | None,
    chain: LossChain | None,
    blank: NonFiniteReport,
    trace: OpTrace,
    outputs: list[Tensor],
) -> NonFiniteReport:
    """Go on where the forward stayed finite: the loss, its gradient, the model's backward."""
    if criterion is not None and record.criterion is not None:
        found = _loss(criterion, record.criterion, blank)
        if found is not None:
            return found
    if chain is not None and (found := _outside(chain, outputs, blank)):
        return found
    known = [(at, g) for at, g in record.gradients.items() if at < len(outputs)]
    for at, gradient in known:
        nan, infinite = bad_in(gradient)
        if nan or infinite:
            told = f"between output and loss: {', '.join(chain.ops)}" if chain else ""
            notes = (f"The model's output is finite; {told}." if told else _HINT,)
            return replace(
                blank,
                word="NaN" if nan else "Inf",
                direction="loss",
                seen="the gradient of the loss with respect to the model's output",
                bad=nan or infinite,
                total=gradient.numel(),
                before=(piece_of("the model's output", outputs[at], where := first_bad(gradient)),),
                after=piece_of("gradient of the loss", gradient, where),
                where=where,
                replayed=True,
                notes=notes,
            )
    if known:
        node = first_broken([outputs[at] for at, _ in known], [g for _, g in known])
        if node is not None:
            return backward_report(node, trace, blank)
    if "loss" in blank.seen:
        before = [piece_of("the model's output", output) for output in outputs[:1]]
        return replace(blank, direction="loss", before=tuple(before), notes=(_HINT,))
    return replace(blank, notes=(_UNREPEATED,))


_HINT = (
    "The model's output is finite: the loss function made it. "
    "watch(model, criterion=your_loss_module) lets the operation be named."
)
_UNREPEATED = (
    "Running the batch again stayed finite: it may come from an earlier forward of this step, from "
    "a gradient hook or code between backward() and step(), from random numbers of another device, "
    "or from data that the model draws itself."
)
_WITHIN = (
    "An earlier forward of this step used finite ones: its loss or its gradients made them. An "
    "optimizer with a closure, such as LBFGS, runs several forwards in a step."
)


def _parameter(record: Record, root: nn.Module, blank: NonFiniteReport) -> NonFiniteReport | None:
    for name, parameter in root.named_parameters():
        tensor = record.weights.get(name, parameter)
        if not readable(tensor) or bool(torch.isfinite(tensor.detach()).all()):
            continue
        nan, infinite = bad_in(tensor)
        note: tuple[str, ...] = ()
        if record.earlier is not None and record.earlier.step == record.step:
            note = (_WITHIN,)
        elif record.checked_before:
            note = (
                "The gradients of the step before were finite: the update itself made it, so the "
                "learning rate is too high or somebody wrote to the weights.",
            )
        where = first_bad(tensor)
        earlier = _earlier(record, name, where, tuple(tensor.shape))
        return replace(
            blank,
            word="NaN" if nan else "Inf",
            direction="parameter",
            layer=name,
            bad=nan or infinite,
            total=tensor.numel(),
            before=() if earlier is None else (earlier,),
            after=piece_of(f"{name} in step {record.step}", tensor, where),
            where=where,
            replayed=True,
            notes=note,
        )
    return None


def _earlier(
    record: Record, name: str, where: tuple[int, ...], shape: tuple[int, ...]
) -> TensorPiece | None:
    """Return what is known of a parameter as an earlier step used it, if that was finite."""
    if record.earlier is None or name not in record.earlier.values:
        return None
    values, step = record.earlier.values[name], record.earlier.step
    if not bool(torch.isfinite(values).all()):
        return None
    inside = tuple(min(at, size - 1) for at, size in zip(where, values.shape, strict=True))
    piece = piece_of(f"{name} in step {step}", values, inside)
    if tuple(values.shape) == shape:
        return piece
    rows = f"first {len(values)} rows of {piece.name}"
    return replace(piece, name=rows, whole=replace(piece.whole, name=rows))


def _input(record: Record, blank: NonFiniteReport) -> NonFiniteReport | None:
    for at, tensor in enumerate(record.batch.tensors):
        if readable(tensor) and (nan := bad_in(tensor)[0]):
            return replace(
                blank,
                word="NaN",
                direction="input",
                layer="input",
                inputs=(described(f"the values of argument {at}", tensor),),
                bad=nan,
                total=tensor.numel(),
                after=piece_of(f"argument {at}", tensor, where := first_bad(tensor)),
                where=where,
                replayed=True,
            )
    return None


def _loss(criterion: nn.Module, kept: Kept, blank: NonFiniteReport) -> NonFiniteReport | None:
    """Compute the loss again from what its module was given; then its gradient."""
    args, kwargs = kept.again()
    twin = copied(criterion)
    calls = Calls(twin)
    trace = OpTrace(calls)
    outputs: list[Tensor] = []
    try:
        with calls.followed(), trace:
            outputs = floating_outputs(twin(*args, **kwargs))
    except FoundError:
        pass
    name = type(criterion).__name__
    cause = trace.found or trace.origin_of(outputs)
    if cause is not None:
        return replace(forward_report(cause, trace, blank, "loss"), layer=name)
    graded = [tensor for tensor in outputs if tensor.requires_grad]
    if not graded:
        return None
    node = first_broken(graded, [torch.ones_like(tensor) for tensor in graded])
    return None if node is None else replace(backward_report(node, trace, blank), layer=name)


def _outside(
    chain: LossChain, outputs: Sequence[Tensor], blank: NonFiniteReport
) -> NonFiniteReport | None:
    for output in outputs:
        found = first_alone(chain, output)
        if found is not None:
            op, before, made = found
            nan, infinite = bad_in(made)
            return replace(
                blank,
                word="NaN" if nan else "Inf",
                direction="loss",
                op=op,
                inputs=(described("the model's output", before),),
                bad=nan or infinite,
                total=made.numel(),
                before=(piece_of("the model's output", before, where := first_bad(made)),),
                after=piece_of(f"result of {op}", made, where),
                where=where,
                replayed=True,
            )
    return None


def _restore(twin: nn.Module, record: Record) -> None:
    with torch.no_grad():
        own = {**dict(twin.named_buffers()), **dict(twin.named_parameters())}
        for name, before in {**record.buffers, **record.weights}.items():
            if name in own and own[name].shape == before.shape:
                own[name].copy_(before)


@contextmanager
def _apart(record: Record) -> Iterator[None]:
    """Give the block the settings of the record's thread, and leave no trace."""
    with ExitStack() as stack:
        keep_random(stack)
        stack.callback(torch.set_autocast_cache_enabled, torch.is_autocast_cache_enabled())
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(record.context())
        torch.set_autocast_cache_enabled(False)
        stack.enter_context(torch.enable_grad())
        yield
