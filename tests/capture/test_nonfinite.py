"""The parts that follow a forward and a backward, without a session."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nbtorchviz.capture.nonfinite_backward import first_broken, op_of
from nbtorchviz.capture.nonfinite_calls import Calls
from nbtorchviz.capture.nonfinite_inner import inner_op
from nbtorchviz.capture.nonfinite_ranges import (
    bad_in,
    described,
    flag_of,
    has_nan,
)
from nbtorchviz.capture.nonfinite_record import MOST_BYTES, Kept, NotKeptError
from nbtorchviz.capture.nonfinite_trace import FoundError, OpTrace


def traced(function, *args, root=None):
    """Run a function under a trace; return what was found."""
    calls = Calls(root or nn.Identity())
    trace = OpTrace(calls)
    try:
        with calls.followed(), trace:
            function(*args)
    except FoundError:
        pass
    return trace


@pytest.mark.parametrize(
    ("op", "function"),
    [
        ("log", lambda x: (x - 5).log()),
        ("div", lambda x: (x * 0) / (x * 0)),
        ("div", lambda x: 0.0 / (x * 0)),
        ("pow", lambda x: (x - 5) ** 0.5),
        ("sub", lambda x: (x * 1e38 * 10) - (x * 1e38 * 10)),
        ("div_", lambda x: torch.zeros(3).div_(torch.zeros(3))),
        ("matmul", lambda x: (x * 3e38).sign().mul(3e38) @ torch.full((3,), 3e38)),
        ("log_softmax", lambda x: F.log_softmax(torch.full((2, 3), float("-inf")), 1)),
        ("normalize", lambda x: F.normalize(x * 0, eps=0.0)),
    ],
)
def test_the_function_that_made_it_is_found(op, function):
    trace = traced(function, torch.ones(2, 3))
    found = trace.found or next(call for _, call in trace.infinite.values() if call)
    if op == "sub":  # the overflow before it is the cause
        assert found.op == "mul"
    else:
        assert found.op == op


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.empty(1000).fill_(1.0),
        lambda x: F.softmax(x.masked_fill(x % 3 > 1, float("-inf")), -1),
        lambda x: (x + torch.full((3, 3), float("-inf")).triu(1)).softmax(-1),
        lambda x: x.new_empty(500).normal_(),
        lambda x: torch.where(x > 2, torch.tensor(float("inf")), x).clamp(max=1),
    ],
)
def test_masks_and_unfilled_memory_are_no_cause(function):
    trace = traced(function, torch.arange(9.0).reshape(3, 3))
    assert trace.found is None
    assert not any(call for _, call in trace.infinite.values())


def test_what_an_in_place_function_was_given_is_kept():
    found = traced(lambda x: x.log_(), torch.tensor([-2.0, 1.0])).found
    assert found.before[0].values.tolist() == [[-2.0, 1.0]]
    assert (found.inputs[0].lowest, found.inputs[0].highest) == (-2.0, 1.0)
    assert (found.bad, found.total) == ((1, 0), 2)


def test_the_operation_inside_a_function_is_named():
    def run():
        return F.normalize(torch.zeros(2, 3), eps=0.0)

    assert inner_op(run) == "aten.div.Tensor"


def test_the_backward_stops_at_the_first_node_that_breaks():
    x = torch.zeros(3, requires_grad=True)
    y = (x * 2).sqrt() * 3
    node = first_broken([y], [torch.ones(3)])
    assert (node.op, node.bad, node.total) == ("sqrt", (0, 3), 3)
    assert node.before.values.tolist() == [[3.0, 3.0, 3.0]]
    assert np.isinf(node.after.values).all()
    assert x.grad is None


def test_a_healthy_backward_has_none():
    x = torch.ones(3, requires_grad=True)
    x.grad = torch.full((3,), 7.0)
    assert first_broken([x.sqrt()], [torch.ones(3)]) is None
    assert x.grad.tolist() == [7.0, 7.0, 7.0]


@pytest.mark.parametrize(
    ("name", "op"),
    [("SqrtBackward0", "sqrt"), ("NativeLayerNormBackward0", "native_layer_norm")],
)
def test_nodes_are_named_as_functions(name, op):
    assert op_of(name) == op


@pytest.mark.parametrize(("bad", "expected"), [(float("nan"), (1, 0)), (float("inf"), (0, 1))])
def test_counts_are_exact(bad, expected):
    values = torch.tensor([1.0, bad, 3.0])
    assert bad_in(values) == expected
    assert not torch.isfinite(flag_of([torch.ones(2), values]))
    assert has_nan(values) == bool(expected[0])
    told = described("x", values)
    assert (told.lowest, told.highest, told.finite) == (1.0, 3.0, False)


def test_flags_of_mixed_types_and_of_nothing():
    assert flag_of([]) is None
    mixed = [torch.ones(2), torch.ones(2, dtype=torch.float16), torch.ones(2, dtype=torch.int64)]
    assert torch.isfinite(flag_of(mixed))


def test_a_batch_that_is_too_large_is_not_kept():
    huge = torch.empty(1).expand(MOST_BYTES // 4 + 1)
    with pytest.raises(NotKeptError, match=r"The batch takes 256 MB; at most 256 are kept\."):
        Kept.of((huge,), {}).again()


def test_a_kept_batch_is_cloned_with_its_wish_for_gradients():
    x = torch.ones(3, requires_grad=True)
    kept = Kept.of((x * 2, [torch.zeros(1)]), {"scale": 2.0})
    (first, (second,)), named = kept.again()
    assert first.requires_grad
    assert first.is_leaf
    assert not second.requires_grad
    assert named == {"scale": 2.0}
