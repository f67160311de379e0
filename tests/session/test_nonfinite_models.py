"""Models and loops of other kinds, in which the first NaN is traced as well."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from nbtorchviz.errors import RunRefusedError
from tests.session import nonfinite_cases as cases
from tests.session.nonfinite_cases import caught


@pytest.fixture(autouse=True)
def _seeded():
    torch.set_num_threads(1)
    torch.manual_seed(0)


class Checkpointed(nn.Module):
    def __init__(self, *, reentrant):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.block = cases.Zeroed(cases.Sqrt())
        self.reentrant = reentrant

    def forward(self, x):
        return checkpoint(self.block, self.first(x), use_reentrant=self.reentrant)


@pytest.mark.parametrize(
    ("reentrant", "op", "layer"),
    [(False, "sqrt", "block.inner"), (True, "CheckpointFunction", "")],
)
def test_a_checkpointed_block(guard, reentrant, op, layer):
    report = caught(guard, Checkpointed(reentrant=reentrant), loss=torch.sum)
    assert (report.direction, report.op, report.layer) == ("backward", op, layer)


def test_a_sparse_gradient(guard):
    model = nn.Sequential(nn.Embedding(5, 4, sparse=True), cases.Scaled(0.0), cases.Sqrt())
    report = caught(guard, model, loss=torch.sum, data=lambda step: torch.randint(5, (3,)))
    assert (report.direction, report.op, report.step) == ("backward", "sqrt", 1)


def test_a_compiled_model_is_traced_eagerly(guard):
    model = cases.Zeroed(cases.Sqrt())
    compiled = torch.compile(model, backend="eager")
    report = caught(guard, compiled, loss=torch.sum)
    assert (report.direction, report.layer, report.op) == ("backward", "inner", "sqrt")


def test_models_in_place_of_compiled_ones_are_refused(guard):
    model = nn.Linear(4, 4)
    model.compile(backend="eager")
    with pytest.raises(RunRefusedError, match=r"Use torch\.compile\(model\) instead"):
        guard(model)


def test_two_optimizers_of_one_model(guard):
    model = nn.ModuleDict({"good": nn.Linear(4, 4), "bad": cases.Zeroed(cases.Sqrt())})

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = model

        def forward(self, x):
            return self.parts["good"](x), self.parts["bad"](x)

    both = Both()
    first = torch.optim.SGD(model["good"].parameters(), lr=0.01)
    second = torch.optim.SGD(model["bad"].parameters(), lr=0.01)
    session = guard(both, first, "tell")
    good, bad = both(torch.randn(4, 4))
    (good.sum() + bad.sum()).backward()
    first.step()
    assert session.first_nonfinite is None
    second.step()
    assert session.first_nonfinite.layer == "parts.bad.inner"
