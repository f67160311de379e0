"""Run a batch again on a copy of the model, and find the operation that made NaN or infinity."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from nbtorchviz.capture.compiled import compiled_how, eager
from nbtorchviz.capture.layers import join_key
from nbtorchviz.capture.nonfinite_backward import BrokenNode, first_broken
from nbtorchviz.capture.nonfinite_calls import Calls, told_line
from nbtorchviz.capture.nonfinite_inner import inner_op
from nbtorchviz.capture.nonfinite_loss import LossChain, first_alone
from nbtorchviz.capture.nonfinite_ranges import bad_in, described, readable, sample_of
from nbtorchviz.capture.nonfinite_record import Kept, NotKeptError, Record, floating_outputs
from nbtorchviz.capture.nonfinite_trace import FoundError, OpCall, OpTrace
from nbtorchviz.capture.probe import keep_random
from nbtorchviz.nonfinite import UNKNOWN, NonFiniteReport
from nbtorchviz.session.checkup_copy import CannotCopyError, copied

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
            return _traced(record, root, criterion, chain, blank)
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
        return _forward(cause, blank, "forward")
    if trace.passed_on is not None:
        note = "A tensor from outside the batch and the parameters brought it in."
        return replace(_forward(trace.passed_on, blank, "forward"), notes=(note,))
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
    for _, gradient in known:
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
                replayed=True,
                notes=notes,
            )
    if known:
        node = first_broken([outputs[at] for at, _ in known], [g for _, g in known])
        if node is not None:
            return _backward(node, trace, blank)
    if "loss" in blank.seen:
        return replace(blank, direction="loss", notes=(_HINT,))
    return replace(blank, notes=(_UNREPEATED,))


_HINT = (
    "The model's output is finite: the loss function made it. "
    "watch(model, criterion=your_loss_module) lets the operation be named."
)
_UNREPEATED = (
    "Running the batch again stayed finite: it may come from an earlier micro-batch, from random "
    "numbers of another device, or from data that the model draws itself."
)


def _parameter(record: Record, root: nn.Module, blank: NonFiniteReport) -> NonFiniteReport | None:
    for name, parameter in root.named_parameters():
        tensor = record.weights.get(name, parameter)
        if not readable(tensor) or bool(torch.isfinite(tensor.detach()).all()):
            continue
        nan, infinite = bad_in(tensor)
        note: tuple[str, ...] = ()
        if record.checked_before:
            note = (
                "The gradients of the step before were finite: the update itself made it, so the "
                "learning rate is too high or somebody wrote to the weights.",
            )
        return replace(
            blank,
            word="NaN" if nan else "Inf",
            direction="parameter",
            layer=name,
            bad=nan or infinite,
            total=tensor.numel(),
            sample=sample_of(tensor),
            sample_shape=sample_of(tensor).shape,
            sample_of=name,
            replayed=True,
            notes=note,
        )
    return None


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
                sample=sample_of(tensor),
                sample_shape=sample_of(tensor).shape,
                sample_of=f"argument {at}",
                replayed=True,
            )
    return None


def _forward(call: OpCall, blank: NonFiniteReport, direction: str) -> NonFiniteReport:
    nan, infinite = call.bad
    line, code = told_line(call.line)
    sample = None if call.before is None else sample_of(call.before)
    report = replace(
        blank,
        word="NaN" if nan else "Inf",
        direction=direction,
        layer=join_key(*call.place),
        call=call.place[1],
        op=call.op,
        inner=_inner(call) if nan else "",
        inputs=call.inputs,
        bad=nan or infinite,
        total=call.total,
        line=line,
        code=code,
        replayed=True,
    )
    if sample is None:
        return report
    return replace(
        report, sample=sample, sample_shape=sample.shape, sample_of=f"input of {call.op}"
    )


def _inner(call: OpCall) -> str:
    found = inner_op(call.run) if call.run is not None else ""
    return "" if call.op in found.split(".") else found


def _backward(node: BrokenNode, trace: OpTrace, blank: NonFiniteReport) -> NonFiniteReport:
    call = trace.call_of_node(node.number)
    place = trace.place_of_node(node.number)
    line, code = told_line(call.line) if call is not None else ("", "")
    nan, infinite = node.bad
    sample = None if node.given is None else sample_of(node.given)
    report = replace(
        blank,
        word="NaN" if nan else "Inf",
        direction="backward",
        layer=join_key(*place),
        call=place[1],
        op=node.custom or (call.op if call is not None else node.op),
        inner=node.name,
        inputs=call.inputs if call is not None and not node.custom else (),
        bad=nan or infinite,
        total=node.total,
        line=line,
        code=code,
        replayed=True,
    )
    if sample is None:
        return report
    return replace(
        report, sample=sample, sample_shape=sample.shape, sample_of=f"gradient given to {report.op}"
    )


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
        return replace(_forward(cause, blank, "loss"), layer=name)
    graded = [tensor for tensor in outputs if tensor.requires_grad]
    if not graded:
        return None
    node = first_broken(graded, [torch.ones_like(tensor) for tensor in graded])
    return None if node is None else replace(_backward(node, trace, blank), layer=name)


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
                sample=sample_of(before),
                sample_shape=sample_of(before).shape,
                sample_of=f"input of {op}",
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
