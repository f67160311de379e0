"""Inputs given together, comparisons of samples, single samples, and what counts as learnt."""

import gc

import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.session.checkup import checkup
from nbtorchviz.session.checkup_batch import understand


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 4)

    def forward(self, a, b):
        return self.body(a) - self.body(b)


class Similar(nn.Module):
    """Cosines of every sample with every other one."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 4)

    def forward(self, x):
        z = nn.functional.normalize(self.body(x), dim=1)
        return z @ z.T


class Mixed(nn.Module):
    """As many classes as samples, and a softmax over the wrong axis."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 8)

    def forward(self, x):
        return self.body(x).softmax(0)


class Masked(Pair):
    def forward(self, pair, mask):
        return super().forward(*pair) * mask[:, None]


@pytest.mark.parametrize("outer", [tuple, list])
@pytest.mark.parametrize("inner", [tuple, list])
def test_inputs_given_together_are_told_from_the_labels(outer, inner):
    a, b, y = torch.randn(8, 3), torch.randn(8, 3), torch.arange(8) % 4
    batch = understand(Pair(), outer((inner((a, b)), y)))
    assert all(x is z for x, z in zip(batch.inputs.args, (a, b), strict=True))
    assert batch.labels is y
    report = checkup(Pair(), (inner((a, b)), y))
    assert report["forward"].verdict == "ok"
    assert report["labels"].verdict == "ok"


def test_a_pair_and_its_mask_stay_two_arguments():
    pair, mask = (torch.randn(8, 3), torch.randn(8, 3)), torch.ones(8, dtype=torch.bool)
    assert understand(Masked(), (pair, mask)).labels is None


def test_an_output_that_compares_samples_is_not_called_mixed():
    row = checkup(Similar(), torch.randn(8, 3))["samples apart"]
    assert row.answer == (
        "not checked: the output (8, 8) compares the samples of a batch with one another."
    )


def test_as_many_classes_as_samples_hide_no_mixing():
    assert checkup(Mixed(), torch.randn(8, 3))["samples apart"].verdict == "problem"


def test_batch_normalisation_of_one_sample_gets_advice():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    row = checkup(model, torch.randn(1, 3))["forward"]
    assert row.verdict == "problem"
    assert "Expected more than 1 value per channel" in row.sentence
    assert "drop_last=True" in row.sentence


def test_an_optimizer_that_is_gone_is_told_from_none():
    model, batch = nn.Linear(3, 4), (torch.randn(8, 3), torch.arange(8) % 4)
    session = nbv.watch(model, torch.optim.SGD(model.parameters(), lr=0.1))
    gc.collect()
    row = session.checkup(batch)["optimizer"]
    assert "no longer exists: keep it in a variable" in row.sentence
    session.close()
    another = nn.Linear(3, 4)
    session = nbv.watch(another)
    assert "no optimizer was given" in session.checkup(batch)["optimizer"].sentence
    session.close()


def test_a_high_start_does_not_make_learnt_what_the_mean_target_beats():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 1))
    targets = 5 + 0.5 * torch.randn(64, 1)
    inputs = torch.ones(64, 8) + 1e-3 * torch.randn(64, 8)
    row = checkup(model, (inputs, targets), criterion=nn.MSELoss())["one batch"]
    assert row.verdict in ("warning", "problem")
    assert f"gives {targets.var(correction=0):.3g}" in row.sentence


def test_a_high_start_does_not_make_learnt_what_guessing_beats():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 5))
    model[2].bias.data[0] = 30.0
    labels = torch.randint(0, 5, (64,))
    row = checkup(model, (1e-4 * torch.randn(64, 8), labels))["one batch"]
    assert not row.sentence.startswith("Learnt by heart")


def test_a_sound_regression_is_learnt():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 1))
    inputs = torch.randn(32, 8)
    row = checkup(model, (inputs, inputs[:, :1].sin()), criterion=nn.MSELoss())["one batch"]
    assert row.sentence.startswith("Learnt by heart")


class Graph(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 4)

    def forward(self, x, edges):
        if edges.is_floating_point():
            return self.head(x + edges @ x)
        begin, end = edges
        return self.head(x + torch.zeros_like(x).index_add(0, end, x[begin]))


@pytest.mark.parametrize("edges", [torch.randint(30, (2, 80)), torch.rand(30, 30)])
def test_the_nodes_of_a_graph_may_depend_on_each_other(edges):
    row = checkup(Graph(), {"x": torch.randn(30, 3), "edges": edges})["samples apart"]
    assert row.answer == (
        f"not checked: an input {tuple(edges.shape)} connects the samples, as the edges of a graph "
        "do."
    )


class MaskedTokens(nn.Module):
    """Mixes samples; takes a mask of as many tokens as there are samples."""

    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(20, 4), nn.Linear(4, 3)

    def forward(self, tokens, mask):
        return self.head((self.table(tokens) * mask[..., None]).mean(1)).softmax(0)


@pytest.mark.parametrize("count", [2, 8])
def test_a_mask_is_not_taken_for_the_edges_of_a_graph(count):
    tokens = torch.randint(20, (count, 8), generator=torch.Generator().manual_seed(0))
    batch = {"tokens": tokens, "mask": torch.ones(count, 8, dtype=torch.int64)}
    assert checkup(MaskedTokens(), batch)["samples apart"].verdict == "problem"
