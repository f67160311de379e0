"""A frozen layer stays where it is under every optimizer of torch, or freezing it is refused."""

import pytest
import torch
from torch import nn

from nbtorchviz.session.knobs import Knobs

SPECIAL = {"LBFGS", "SparseAdam"}
"""LBFGS moves what it froze and is refused; SparseAdam takes sparse gradients alone."""
OPTIMIZERS = sorted(
    name
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)
    if kind is not torch.optim.Optimizer and name not in SPECIAL
)


def trained(make, *, model=None, steps=4):
    """A model, a function that trains it on, and its knobs, after steps that filled the state."""
    torch.manual_seed(0)
    model = model or nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 2, bias=False))
    optimizer = make(model.parameters())
    inputs = torch.randn(8, 3) if isinstance(model[0], nn.Linear) else torch.arange(3)

    def closure():
        optimizer.zero_grad()
        loss = (model(inputs) - 1).square().mean()
        loss.backward()
        return loss

    def train(count):
        for _ in range(count):
            optimizer.step(closure)

    train(steps)
    return model, optimizer, train, Knobs(lambda: model, lambda: [optimizer])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_optimizer_of_torch_moves_a_parameter_without_a_gradient(name):
    kind, decay = getattr(torch.optim, name), {} if name == "Rprop" else {"weight_decay": 0.1}
    model, optimizer, train, knobs = trained(lambda p: kind(p, lr=0.01, **decay))
    knobs.freeze("0")
    assert len(knobs.apply(optimizer, model)) == 1
    frozen, other = (layer.weight.detach().clone() for layer in model)
    train(4)
    assert torch.equal(model[0].weight, frozen)
    assert not torch.equal(model[1].weight, other)


def test_nor_does_the_one_for_sparse_gradients():
    layers = [nn.Embedding(3, 4, sparse=True), nn.Embedding(3, 4, sparse=True)]

    class Sum(nn.Sequential):
        def forward(self, at):
            return self[0](at) + self[1](at)

    model, optimizer, train, knobs = trained(torch.optim.SparseAdam, model=Sum(*layers))
    knobs.freeze("0")
    knobs.apply(optimizer, model)
    frozen = model[0].weight.detach().clone()
    train(4)
    assert torch.equal(model[0].weight, frozen)


def test_lbfgs_would_move_it_on_so_freezing_is_refused_with_what_to_do():
    model, _, train, knobs = trained(lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=2))
    for layer in ("0", "0*"):
        with pytest.raises(ValueError, match=r"LBFGS would go on moving 0.*make a new LBFGS"):
            knobs.freeze(layer)
    assert knobs.pending == ()
    model[0].requires_grad_(False)
    model[0].weight.grad = None
    before = model[0].weight.detach().clone()
    train(4)
    assert not torch.equal(model[0].weight, before)  # the reason, in torch itself


def test_layers_of_which_another_optimizer_has_the_parameters_are_frozen_beside_lbfgs():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    optimizers = [
        torch.optim.LBFGS(model[0].parameters()),
        torch.optim.SGD(model[1:].parameters(), lr=0.1),
    ]
    knobs = Knobs(lambda: model, lambda: optimizers)
    knobs.freeze("1")
    assert len(knobs.apply(optimizers[1], model)) == 1
