"""Trainings that are awkward to watch: how users write them, each with a model of its own.

Every entry of ``TRAININGS`` makes (model, optimizers, step): ``step()`` does what the user's loop
does once, and raises nothing when nobody watches.
"""

import copy
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Made = tuple[nn.Module, list[torch.optim.Optimizer], Callable[[], object]]
TRAININGS: dict[str, Callable[[], Made]] = {}
LABELS = torch.tensor([0, 1, 2, 0])


def training(make: Callable[[], Made]) -> Callable[[], Made]:
    TRAININGS[make.__name__] = make
    return make


class Of(nn.Module):
    """A model of some modules and the function that is its forward."""

    def __init__(self, forward: Callable[..., Any], **modules: nn.Module) -> None:
        super().__init__()
        self._forward = forward
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._forward(self, *args, **kwargs)


def sgd(model: nn.Module, **how: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), **{"lr": 0.05, "momentum": 0.9, **how})


def classified(model: nn.Module, *inputs: Any, optimizer: Any = None, **kwargs: Any) -> Made:
    optimizer = optimizer or sgd(model)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(*inputs, **kwargs), LABELS).backward()
        optimizer.step()

    return model, [optimizer], step


class Cut(nn.Module):
    def __init__(self, cut: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.linear, self.cut = nn.Linear(6, 6), cut

    def forward(self, x: Tensor) -> Any:
        return self.cut(self.linear(x))


def parts(cut: Callable[[Tensor], Any], pick: Callable[[Any], Tensor]) -> Made:
    model = Of(lambda m, x: m.head(pick(m.cut(x))), cut=Cut(cut), head=nn.LazyLinear(3))
    inputs = torch.randn(4, 6)
    model(inputs)
    return classified(model, inputs)


@training
def last_of_a_split() -> Made:
    return parts(lambda y: y.split(3, -1), lambda parts: parts[1])


@training
def one_of_an_unbind() -> Made:
    return parts(lambda y: y.view(4, 2, 3).unbind(1), lambda parts: parts[0])


@training
def values_of_a_maximum() -> Made:
    return parts(lambda y: y.view(4, 2, 3).max(1), lambda found: found.values)


@training
def indices_come_first() -> Made:
    return parts(lambda y: (y.argmax(-1), y), lambda found: found[1])


@training
def a_named_tuple() -> Made:
    Pair = namedtuple("Pair", "one other")
    return parts(lambda y: Pair(y, y.detach()), lambda found: found.one)


@training
def the_output_is_the_input() -> Made:
    model = Of(lambda m, x: m.head(m.same(x)), same=nn.Identity(), head=nn.Linear(6, 3))
    return classified(model, torch.randn(4, 6, requires_grad=True))


@training
def overwritten_by_the_next() -> Made:
    def forward(m: Any, x: Tensor) -> Tensor:
        y = m.first(x)
        y.mul_(2).add_(1)
        y[:, 0] = 0
        return m.head(y)

    return classified(Of(forward, first=nn.Linear(6, 6), head=nn.Linear(6, 3)), torch.randn(4, 6))


@training
def states_of_an_lstm() -> Made:
    def forward(m: Any, x: Tensor) -> Tensor:
        _, (last, _) = m.rnn(x)
        return m.head(last[-1])

    model = Of(forward, rnn=nn.LSTM(5, 6, num_layers=2, bidirectional=True), head=nn.Linear(6, 3))
    return classified(model, torch.randn(7, 4, 5))


@training
def packed_sequences() -> Made:
    from torch.nn.utils.rnn import pack_sequence

    def forward(m: Any, packed: Any) -> Tensor:
        _, last = m.rnn(packed)
        return m.head(last[0])

    packed = pack_sequence([torch.randn(n, 5) for n in (6, 4, 3, 1)])
    return classified(Of(forward, rnn=nn.GRU(5, 6), head=nn.Linear(6, 3)), packed)


@training
def attention_without_weights() -> Made:
    def forward(m: Any, x: Tensor) -> Tensor:
        y, _ = m.attention(x, x, x, need_weights=False)
        return m.head(y.mean(1))

    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    return classified(Of(forward, attention=attention, head=nn.Linear(8, 3)), torch.randn(4, 5, 8))


@training
def attention_weights_alone() -> Made:
    def forward(m: Any, x: Tensor) -> Tensor:
        _, weights = m.attention(x, x, x)
        return m.head(weights.mean(1))

    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    return classified(Of(forward, attention=attention, head=nn.Linear(5, 3)), torch.randn(4, 5, 8))


@training
def sparse_embeddings() -> Made:
    model = Of(
        lambda m, x: m.head(m.words(x).mean(1)),
        words=nn.Embedding(9, 5, sparse=True), head=nn.Linear(5, 3),
    )  # fmt: skip
    return classified(model, torch.randint(9, (4, 6)), optimizer=sgd(model, momentum=0.0))


@training
def bags_of_words() -> Made:
    model = Of(
        lambda m, x, at: m.head(m.bag(x, at)), bag=nn.EmbeddingBag(9, 5), head=nn.Linear(5, 3)
    )
    return classified(model, torch.randint(9, (10,)), torch.tensor([0, 2, 5, 9]))


def checkpointed(*, reentrant: bool) -> Made:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.head(checkpoint(m.body, x, use_reentrant=reentrant))

    body = nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5), nn.ReLU(inplace=True))
    inputs = torch.randn(4, 6, requires_grad=True)
    return classified(Of(forward, body=body, head=nn.Linear(6, 3)), inputs)


@training
def reentrant_checkpoint() -> Made:
    return checkpointed(reentrant=True)


@training
def checkpoint_without_reentry() -> Made:
    return checkpointed(reentrant=False)


class Several(torch.autograd.Function):
    """Two outputs; no gradient for the second argument, and None allowed to come in."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        return x * 2, x + scale

    @staticmethod
    def backward(ctx: Any, one: Any, other: Any) -> Any:
        return (0 if one is None else one * 2) + (0 if other is None else other), None


@training
def a_function_of_the_users() -> Made:
    cut = Cut(lambda y: Several.apply(y, torch.ones(6)))
    model = Of(lambda m, x: m.head(m.cut(x)[0]), cut=cut, head=nn.Linear(6, 3))
    return classified(model, torch.randn(4, 6))


@training
def gradient_penalty() -> Made:
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer, inputs = sgd(model), torch.randn(4, 6)

    def step() -> None:
        optimizer.zero_grad()
        x = inputs.clone().requires_grad_()
        (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        (model(inputs).mean() + (slope.norm(dim=1) - 1).square().mean()).backward()
        optimizer.step()

    return model, [optimizer], step


@training
def backward_twice() -> Made:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer, inputs = sgd(model), torch.randn(4, 6)

    def step() -> None:
        optimizer.zero_grad()
        out = model(inputs)
        out[:, 0].sum().backward(retain_graph=True)
        F.cross_entropy(out, LABELS).backward()
        optimizer.step()

    return model, [optimizer], step


@training
def three_forwards_one_step() -> Made:
    norm, relu = nn.BatchNorm1d(8), nn.ReLU(inplace=True)
    model = nn.Sequential(nn.Linear(6, 8), norm, relu, nn.Linear(8, 3))
    optimizer, inputs = sgd(model), torch.randn(3, 4, 6)

    def step() -> None:
        optimizer.zero_grad()
        for micro in inputs:
            (F.cross_entropy(model(micro), LABELS) / 3).backward()
        optimizer.step()

    return model, [optimizer], step


@training
def two_optimizers_and_a_frozen_turn() -> Made:
    model = Of(lambda m, x: m.head(m.body(x)), body=nn.Linear(6, 6), head=nn.Linear(6, 3))
    inputs, turns = torch.randn(4, 6), [0]
    optimizers = [sgd(model.body), torch.optim.AdamW(model.head.parameters(), lr=1e-3)]

    def step() -> None:
        turns[0] += 1
        model.body.requires_grad_(turns[0] % 3 != 0)
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=turns[0] % 2 == 0)
        F.cross_entropy(model(inputs), LABELS).backward()
        for optimizer in optimizers:
            optimizer.step()

    return model, optimizers, step


@training
def evaluation_in_the_middle() -> Made:
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 3))
    optimizer, inputs = sgd(model), torch.randn(4, 6)

    def step() -> None:
        out = model(inputs)
        model.eval()
        with torch.inference_mode():
            model(inputs[:1])
        with torch.no_grad():
            model(inputs[:2])
        model.train()
        optimizer.zero_grad()
        F.cross_entropy(out, LABELS).backward()
        optimizer.step()

    return model, [optimizer], step


@training
def an_average_and_copies() -> Made:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    made = classified(model, torch.randn(4, 6))
    average = torch.optim.swa_utils.AveragedModel(model)

    def step() -> None:
        made[2]()
        average.update_parameters(model)
        twin = copy.deepcopy(model)
        twin(torch.ones(2, 6)).sum().backward()
        twin.load_state_dict(model.state_dict())

    return model, made[1], step


@training
def a_layer_exchanged_and_added() -> Made:
    body, head = nn.Sequential(nn.Linear(6, 6)), nn.Linear(6, 3)
    model = Of(lambda m, x: m.head(m.body(x)), body=body, head=head)
    optimizer, inputs, turns = sgd(model), torch.randn(4, 6), [0]

    def step() -> None:
        turns[0] += 1
        if turns[0] == 5:
            model.body.append(nn.Linear(6, 6))
            optimizer.add_param_group({"params": list(model.body[1].parameters())})
        if turns[0] == 9:
            model.head = nn.Linear(6, 3)
            optimizer.add_param_group({"params": list(model.head.parameters())})
        if turns[0] == 12:
            del model.body[1]
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), LABELS).backward()
        optimizer.step()

    return model, [optimizer], step


@training
def double_precision_from_step_six_on() -> Made:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    optimizer, turns = sgd(model), [0]
    inputs = torch.randn(4, 1, 6, 6)

    def step() -> None:
        turns[0] += 1
        if turns[0] == 6:
            model.double()
            optimizer.state.clear()
        optimizer.zero_grad()
        F.cross_entropy(model(inputs.to(model[0].weight.dtype)), LABELS).backward()
        optimizer.step()

    return model, [optimizer], step


@training
def bfloat16_throughout() -> Made:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).bfloat16()
    return classified(model, torch.randn(4, 1, 6, 6, dtype=torch.bfloat16))


@training
def complex_numbers() -> Made:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.head(m.waves(torch.fft.rfft(x)).abs())

    model = Of(forward, waves=nn.Linear(4, 4, dtype=torch.complex64), head=nn.Linear(4, 3))
    return classified(model, torch.randn(4, 6))


@training
def weights_by_parametrization() -> Made:
    first = nn.utils.parametrizations.weight_norm(nn.Linear(6, 8))
    second = nn.utils.parametrizations.spectral_norm(nn.Linear(8, 3))
    return classified(nn.Sequential(first, nn.ReLU(), second), torch.randn(4, 6))


@training
def losses_without_a_graph_now_and_then() -> Made:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer, inputs, turns = sgd(model), torch.randn(4, 6), [0]

    def step() -> None:
        turns[0] += 1
        optimizer.zero_grad()
        with torch.set_grad_enabled(turns[0] % 3 != 0):
            loss = F.cross_entropy(model(inputs), LABELS)
        if loss.requires_grad:
            loss.backward()
        optimizer.step()

    return model, [optimizer], step


@training
def forwards_that_fail_and_steps_that_fail() -> Made:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer, inputs, turns = sgd(model), torch.randn(4, 6), [0]

    def step() -> None:
        turns[0] += 1
        optimizer.zero_grad()
        try:
            loss = F.cross_entropy(model(inputs[:, : 5 if turns[0] % 4 == 0 else 6]), LABELS)
            if turns[0] % 5 == 0:
                raise ValueError("between forward and backward")
            loss.backward()
            optimizer.step(lambda: 1 / (turns[0] % 7))
        except (RuntimeError, ValueError, ZeroDivisionError):
            pass

    return model, [optimizer], step


@training
def gradients_by_torch_func() -> Made:
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    optimizer, inputs = sgd(model), torch.randn(4, 6)

    def loss(weights: Any, x: Tensor, label: Tensor) -> Tensor:
        out = torch.func.functional_call(model, weights, (x[None],))
        return F.cross_entropy(out, label[None])

    def step() -> None:
        weights = {name: value.detach() for name, value in model.named_parameters()}
        each = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))(weights, inputs, LABELS)
        for name, parameter in model.named_parameters():
            parameter.grad = each[name].mean(0)
        optimizer.step()

    return model, [optimizer], step


@training
def everything_by_keyword_into_a_dictionary() -> Made:
    def forward(m: Any, *, batch: dict[str, Any], scale: float = 1.0) -> dict[str, Any]:
        scores = m.fc(batch["x"])
        return {"logits": scores * scale, "aux": [scores.detach(), None, "word"]}

    model = Of(forward, fc=nn.Linear(6, 3))
    optimizer, inputs = sgd(model), torch.randn(4, 6)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(batch={"x": inputs, "id": "a"})["logits"], LABELS).backward()
        optimizer.step()

    return model, [optimizer], step


@training
def batches_that_shrink_to_one_and_none() -> Made:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(64, 3))
    optimizer, inputs, turns = sgd(model), torch.randn(4, 1, 6, 6), [0]

    def step() -> None:
        turns[0] += 1
        n = 4 - turns[0] % 5
        optimizer.zero_grad()
        (F.cross_entropy(model(inputs[:n]), LABELS[:n], reduction="sum")).backward()
        optimizer.step()

    return model, [optimizer], step


@training
def nan_from_step_eight_on() -> Made:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer, inputs, turns = sgd(model), torch.randn(4, 6), [0]

    def step() -> None:
        turns[0] += 1
        optimizer.zero_grad()
        F.cross_entropy(model(inputs / (0.0 if turns[0] == 8 else 1.0)), LABELS).backward()
        optimizer.step()

    return model, [optimizer], step


@training
def an_optimizer_of_the_users() -> Made:
    class Own(torch.optim.Optimizer):
        @torch.no_grad()
        def step(self, closure: Any = None) -> None:
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.data = parameter.data - group["lr"] * parameter.grad

    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    return classified(model, torch.randn(4, 6), optimizer=Own(model.parameters(), {"lr": 0.1}))


@training
def no_optimizer_at_all() -> Made:
    model, inputs = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(4, 6)

    def step() -> None:
        loss = F.cross_entropy(model(inputs), LABELS)
        found = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), found, strict=True):
                parameter -= 0.1 * gradient

    return model, [], step
