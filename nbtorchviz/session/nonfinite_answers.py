"""Turn what a replay found, a call or an autograd node, into a report."""

from dataclasses import replace

from nbtorchviz.capture.layers import join_key
from nbtorchviz.capture.nonfinite_backward import BrokenNode
from nbtorchviz.capture.nonfinite_calls import Place, told_line
from nbtorchviz.capture.nonfinite_inner import inner_op
from nbtorchviz.capture.nonfinite_ranges import described, readable
from nbtorchviz.capture.nonfinite_trace import OpCall, OpTrace, pieces_of, unchanged
from nbtorchviz.nonfinite import NonFiniteReport, TensorPiece, TensorRange

MOST_PARAMETERS = 8


def forward_report(
    call: OpCall, trace: OpTrace, blank: NonFiniteReport, direction: str
) -> NonFiniteReport:
    """Report a call that was given finite values and made others.

    Args:
        call: that call.
        trace: of the forward that it is part of.
        blank: what is known anyway.
        direction: ``"forward"`` or ``"loss"``.
    """
    nan, infinite = call.bad
    line, code = told_line(call.line)
    return replace(
        blank,
        word="NaN" if nan else "Inf",
        direction=direction,
        layer=join_key(*call.place),
        call=call.place[1],
        op=call.op,
        inner=_inner(call) if nan else "",
        inputs=call.inputs,
        parameters=_parameters(trace, call.place, call.inputs),
        bad=nan or infinite,
        total=call.total,
        line=line,
        code=code,
        before=call.before,
        after=call.after,
        where=call.where,
        replayed=True,
    )


def backward_report(node: BrokenNode, trace: OpTrace, blank: NonFiniteReport) -> NonFiniteReport:
    """Report an autograd node that was given finite gradients and made others."""
    call = trace.call_of_node(node.number)
    place = trace.place_of_node(node.number)
    line, code = told_line(call.line) if call is not None else ("", "")
    inputs = call.inputs if call is not None and not node.custom else ()
    forward: tuple[TensorPiece, ...] = ()
    if call is not None:
        forward = pieces_of(call, unchanged(call), node.where, node.shape, ", forward")
    nan, infinite = node.bad
    return replace(
        blank,
        word="NaN" if nan else "Inf",
        direction="backward",
        layer=join_key(*place),
        call=place[1],
        op=node.custom or (call.op if call is not None else node.op),
        inner=node.name,
        inputs=inputs,
        parameters=_parameters(trace, place, inputs),
        bad=nan or infinite,
        total=node.total,
        line=line,
        code=code,
        before=(() if node.before is None else (node.before,)) + forward[:2],
        after=node.after,
        where=node.where,
        replayed=True,
    )


def _inner(call: OpCall) -> str:
    found = inner_op(call.run) if call.run is not None else ""
    return "" if call.op in found.split(".") else found


def _parameters(
    trace: OpTrace, place: Place, inputs: tuple[TensorRange, ...]
) -> tuple[TensorRange, ...]:
    shown = {given.name for given in inputs}
    own = [(name, it) for name, it in trace.parameters_of(place) if readable(it)]
    return tuple(described(name, it) for name, it in own if name not in shown)[:MOST_PARAMETERS]
