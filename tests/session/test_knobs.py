import copy
import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nbtorchviz.errors import LayerNotFoundError, ModelGoneError, RunRefusedError
from nbtorchviz.session.knobs import Knobs
from tests.models import ZOO, Shared


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)
        self.drop1, self.drop2 = nn.Dropout2d(0.5), nn.Dropout(0.1)
        self.fc = nn.Linear(2, 3)

    def forward(self, x):
        x = self.drop1(self.bn(self.conv1(x)).relu()).mean((2, 3))
        return self.fc(self.drop2(x))


def bench(make=torch.optim.SGD, *, model=None, **options):
    """A model, its optimizer, and knobs for both."""
    model = Net() if model is None else model
    options = options or {"lr": 0.05}
    optimizer = make(model.parameters(), **options)
    return model, optimizer, Knobs(lambda: model, lambda: [optimizer])


def step(model, optimizer):
    optimizer.zero_grad()
    inputs = torch.randn(4, 1, 6, 6)
    F.cross_entropy(model(inputs), torch.tensor([0, 1, 2, 0])).backward()
    optimizer.step()


def texts(knobs, optimizer, model):
    return [change.text for change in knobs.apply(optimizer, model)]


def test_nothing_changes_until_a_step_has_finished_and_then_once():
    model, optimizer, knobs = bench()
    knobs.set(lr=0.005)
    assert optimizer.param_groups[0]["lr"] == 0.05
    assert knobs.pending == ("lr 0.005",)
    assert texts(knobs, optimizer, model) == ["lr 0.05 → 0.005"]
    assert optimizer.param_groups[0]["lr"] == 0.005
    assert knobs.pending == ()
    assert knobs.apply(optimizer, model) == ()


def test_nothing_changes_when_nobody_asks():
    model, optimizer, knobs = bench(torch.optim.Adam, lr=0.01)
    step(model, optimizer)
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    assert knobs.apply(optimizer, model) == ()
    after = model.state_dict(), optimizer.state_dict()
    assert str(before) == str(after)
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_last_request_of_a_knob_wins_and_order_is_that_of_asking():
    model, optimizer, knobs = bench(lr=0.05, momentum=0.9)
    knobs.set(lr=0.5)
    knobs.set(momentum=0.5)
    knobs.set(lr=0.01)
    assert texts(knobs, optimizer, model) == ["momentum 0.9 → 0.5", "lr 0.05 → 0.01"]


def test_a_value_that_is_there_already_is_no_change():
    model, optimizer, knobs = bench()
    knobs.set(lr=0.05)
    knobs.unfreeze("conv1")
    knobs.dropout(0.5, "drop1")
    assert knobs.apply(optimizer, model) == ()


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({"weight_decay": 0}, "weight decay 0.01 → 0"),
        ({"betas": (0.8, 0.99)}, "betas (0.9, 0.999) → (0.8, 0.99)"),
        ({"lr": 1e-5}, "lr 0.001 → 1e-05"),
    ],
)
def test_settings_of_adamw(wanted, text):
    model, optimizer, knobs = bench(torch.optim.AdamW, lr=1e-3)
    knobs.set(**wanted)
    assert texts(knobs, optimizer, model) == [text]
    step(model, optimizer)


def test_a_rate_that_is_a_tensor_stays_the_same_tensor():
    model, optimizer, knobs = bench(torch.optim.Adam, lr=torch.tensor(0.01))
    rate = optimizer.param_groups[0]["lr"]
    knobs.set(lr=0.001)
    assert texts(knobs, optimizer, model) == ["lr 0.01 → 0.001"]
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == pytest.approx(0.001)


def two_groups(**more):
    model = Net()
    groups = [
        {"params": [*model.conv1.parameters(), *model.bn.parameters()], "lr": 0.1},
        {"params": list(model.fc.parameters()), "lr": 0.01, **more},
    ]
    optimizer = torch.optim.SGD(groups)
    return model, optimizer, Knobs(lambda: model, lambda: [optimizer])


def test_groups_that_differ_are_not_made_equal_by_accident():
    model, optimizer, knobs = two_groups()
    with pytest.raises(ValueError, match=r"different lr \(0.1, 0.01\). Say which: group=0 to 1"):
        knobs.set(lr=0.5)
    knobs.set(lr=0.5, group=1)
    assert texts(knobs, optimizer, model) == ["lr 0.01 → 0.5 (group 1)"]
    knobs.set(lr=0.02, group="all")
    assert texts(knobs, optimizer, model) == ["lr 0.1, 0.5 → 0.02"]
    assert [group["lr"] for group in optimizer.param_groups] == [0.02, 0.02]


def test_a_group_is_known_by_its_name():
    model, optimizer, knobs = two_groups(name="head")
    knobs.set(lr=0.5, group="head")
    assert texts(knobs, optimizer, model) == ["lr 0.01 → 0.5 (head)"]
    with pytest.raises(ValueError, match=r"No parameter group 7. Accepted: 0 to 1, 'group 0', 'he"):
        knobs.set(lr=0.5, group=7)


def test_groups_of_several_optimizers_are_counted_through():
    model = Net()
    first = torch.optim.SGD(model.conv1.parameters(), lr=0.1, momentum=0.9)
    second = torch.optim.Adam(model.fc.parameters(), lr=0.1)
    knobs = Knobs(lambda: model, lambda: (first, second))
    knobs.set(lr=0.2)
    knobs.set(lr=0.3, group=1)
    knobs.set(momentum=0.5)
    changes = knobs.apply((first, second), model)
    assert [str(change) for change in changes] == [
        "lr 0.1 → 0.2",
        "lr 0.2 → 0.3 (group 1)",
        "momentum 0.9 → 0.5 (group 0)",
    ]
    assert (first.param_groups[0]["lr"], second.param_groups[0]["lr"]) == (0.2, 0.3)


def test_a_scheduler_that_will_overwrite_the_rate_is_named():
    model, optimizer, knobs = bench(lr=0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1.0)
    knobs.set(lr=0.01)
    [change] = knobs.apply(optimizer, model)
    assert change.note == (
        "A learning-rate scheduler that began at 0.1 is attached: its next step may overwrite this."
    )
    step(model, optimizer)
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.1  # what the note says


def test_a_scheduler_that_cycles_momentum_is_named():
    model, optimizer, knobs = bench(lr=0.1, momentum=0.9)
    torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=10)
    knobs.set(momentum=0.0)
    [change] = knobs.apply(optimizer, model)
    assert "cycles momentum" in change.note
    assert "Momentum buffers are kept" in change.note


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        ({}, TypeError, "at least one of lr, weight_decay, momentum, betas"),
        ({"lr": -1}, ValueError, "lr must be finite and from 0 on, got -1"),
        ({"lr": float("nan")}, ValueError, "lr must be finite"),
        ({"lr": "0.1"}, TypeError, "lr must be a number, got str"),
        ({"lr": True}, TypeError, "got bool"),
        ({"momentum": 0.9}, ValueError, "Adam has no momentum. Of these it has: lr, weight_decay"),
        ({"betas": 0.9}, TypeError, "betas must be two numbers"),
        ({"betas": (0.9, 1.0)}, ValueError, "betas must be finite and from 0 and below 1"),
        ({"lr": 0.1, "momentum": 0.5}, ValueError, "Adam has no momentum"),
    ],
)
def test_wrong_settings_are_refused_at_once_and_nothing_is_queued(wanted, error, message):
    _, _, knobs = bench(torch.optim.Adam, lr=0.01)
    with pytest.raises(error, match=message):
        knobs.set(**wanted)
    assert knobs.pending == ()


def test_momentum_is_from_0_to_1():
    _, _, knobs = bench(lr=0.1)
    with pytest.raises(ValueError, match=r"momentum must be finite and from 0 to 1, got 1.5"):
        knobs.set(momentum=1.5)


def test_without_an_optimizer_the_message_says_how_to_name_one():
    model = Net()
    knobs = Knobs(lambda: model, tuple)
    with pytest.raises(ValueError, match=r"Pass it: watch\(model, optimizer\)"):
        knobs.set(lr=0.1)
    knobs.dropout(0.2)  # needs none
    assert len(knobs.apply((), model)) == 1


def test_a_frozen_layer_stays_where_it_is_and_learns_again_later():
    model, optimizer, knobs = bench(lr=0.1, momentum=0.9, weight_decay=0.1)
    step(model, optimizer)
    knobs.freeze("conv1")
    [change] = knobs.apply(optimizer, model)
    assert change.text == "froze conv1 (2 parameters)"
    assert change.note == "Optimizer state is kept, and used again when it is unfrozen."
    assert change.layer == "conv1"
    weight, buffer = model.conv1.weight, optimizer.state[model.conv1.weight]["momentum_buffer"]
    before, momentum = weight.detach().clone(), buffer.clone()
    head = model.fc.weight.detach().clone()
    for _ in range(2):
        step(model, optimizer)
    assert torch.equal(weight, before)  # in spite of momentum and weight decay
    assert torch.equal(buffer, momentum)
    assert not torch.equal(model.fc.weight, head)
    knobs.unfreeze("conv1")
    assert texts(knobs, optimizer, model) == ["unfroze conv1 (2 parameters)"]
    step(model, optimizer)
    assert not torch.equal(weight, before)


def test_a_gradient_kept_as_zeros_does_not_move_a_frozen_layer():
    model, optimizer, knobs = bench(lr=0.1, momentum=0.9, weight_decay=0.1)
    step(model, optimizer)
    knobs.freeze("fc")
    knobs.apply(optimizer, model)
    before = model.fc.weight.detach().clone()
    optimizer.zero_grad(set_to_none=False)
    optimizer.step()
    assert torch.equal(model.fc.weight, before)


def test_running_statistics_of_a_frozen_batchnorm_are_spoken_of():
    model, optimizer, knobs = bench()
    knobs.freeze("bn")
    [change] = knobs.apply(optimizer, model)
    assert change.note == ("Running statistics of BatchNorm inside it go on moving in train mode.")
    before = model.bn.running_mean.clone()
    step(model, optimizer)
    assert not torch.equal(model.bn.running_mean, before)


def test_a_pattern_freezes_all_its_layers():
    model, optimizer, knobs = bench()
    knobs.freeze("*n*")  # conv1 and bn
    assert texts(knobs, optimizer, model) == ["froze *n* (4 parameters)"]
    assert [name for name, p in model.named_parameters() if p.requires_grad] == [
        "fc.weight",
        "fc.bias",
    ]


def test_tied_parameters_are_named():
    model = nn.Sequential()
    model.embed, model.head = nn.Embedding(4, 3), nn.Linear(3, 4, bias=False)
    model.head.weight = model.embed.weight
    model.other = nn.Linear(4, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    knobs = Knobs(lambda: model, lambda: [optimizer])
    knobs.freeze("embed")
    [change] = knobs.apply(optimizer, model)
    assert "head.weight is the same parameter, so it is frozen too." in change.note


def test_a_shared_module_is_frozen_under_either_name():
    model, optimizer, knobs = bench(model=Shared())
    knobs.freeze("second#1")
    [change] = knobs.apply(optimizer, model)
    assert (change.text, change.layer) == ("froze second#1 (2 parameters)", "first")


def test_parameters_in_no_optimizer_are_spoken_of():
    model = Net()
    model.conv1.requires_grad_(False)
    optimizer = torch.optim.SGD([*model.bn.parameters(), *model.fc.parameters()], lr=0.1)
    knobs = Knobs(lambda: model, lambda: [optimizer])
    knobs.unfreeze("")
    [change] = knobs.apply(optimizer, model)
    assert change.text == "unfroze all layers (2 parameters)"
    assert "2 of them in no optimizer" in change.note


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        ("conv9", LayerNotFoundError, "No layer 'conv9'. Nearest: 'conv1'"),
        ("q*", LayerNotFoundError, r"No layer 'q\*'"),
        ("drop1", ValueError, "'drop1' has no parameters to freeze"),
        ("*", ValueError, r"With \* frozen nothing would be left to train"),
        ("", ValueError, "With all layers frozen nothing would be left to train"),
    ],
)
def test_what_cannot_be_frozen_is_refused_at_once(layer, error, message):
    _, _, knobs = bench()
    with pytest.raises(error, match=message):
        knobs.freeze(layer)


def test_an_optimizer_is_not_left_without_anything_to_step():
    model = Net()
    body = torch.optim.SGD([*model.conv1.parameters(), *model.bn.parameters()], lr=0.1)
    head = torch.optim.SGD(model.fc.parameters(), lr=0.1)
    knobs = Knobs(lambda: model, lambda: (body, head))
    with pytest.raises(ValueError, match="nothing would be left to train"):
        knobs.freeze("fc")


def test_requests_that_no_longer_fit_come_back_with_the_reason():
    model, optimizer, knobs = bench()
    for layer in ("conv1", "bn", "fc"):  # each alone is possible
        knobs.freeze(layer)
    *done, last = knobs.apply(optimizer, model)
    assert [change.applied for change in done] == [True, True]
    assert (last.applied, last.text) == (False, "not done: freeze fc")
    assert "nothing would be left to train" in str(last)
    step(model, optimizer)


def test_dropout_of_one_layer_and_of_all():
    model, optimizer, knobs = bench()
    knobs.dropout(0.3, "drop1")
    assert texts(knobs, optimizer, model) == ["dropout p 0.5 → 0.3 (drop1)"]
    knobs.dropout(0)
    assert texts(knobs, optimizer, model) == ["dropout p 0.3, 0.1 → 0 (2 layers)"]
    assert (model.drop1.p, model.drop2.p) == (0, 0)


def test_attention_and_recurrent_layers_drop_out_too():
    model, optimizer, knobs = bench(model=ZOO["transformer"].build())
    knobs.dropout(0.0)
    [text] = texts(knobs, optimizer, model)
    assert text == "dropout p 0.1 → 0 (8 layers)"
    assert model.encoder.layers[0].self_attn.dropout == 0.0
    recurrent, optimizer, knobs = bench(model=nn.Sequential(nn.LSTM(3, 3, 2, dropout=0.4)))
    knobs.dropout(0.0)
    assert texts(knobs, optimizer, recurrent) == ["dropout p 0.4 → 0 (0)"]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ((1.5,), ValueError, "dropout p must be from 0 to 1, got 1.5"),
        (("half",), TypeError, "must be a number, got str"),
        ((0.5, "fc"), ValueError, "fc has no dropout. Layers that do: 'drop1', 'drop2'"),
        ((0.5, "drop9"), LayerNotFoundError, "No layer 'drop9'"),
    ],
)
def test_wrong_dropout_is_refused_at_once(given, error, message):
    _, _, knobs = bench()
    with pytest.raises(error, match=message):
        knobs.dropout(*given)


def test_a_model_without_dropout_says_so():
    _, _, knobs = bench(model=nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"Linear has no dropout. No layer does"):
        knobs.dropout(0.1)


def test_where_every_knob_stands():
    model, _, knobs = bench(lr=0.05, momentum=0.9)
    model.bn.requires_grad_(False)
    rows = [(row.knob, row.target, row.value) for row in knobs.read()]
    assert rows == [
        ("lr", "group 0", 0.05),
        ("weight_decay", "group 0", 0.0),
        ("momentum", "group 0", 0.9),
        ("frozen", "conv1", False),
        ("frozen", "bn", True),
        ("frozen", "fc", False),
        ("dropout", "drop1", 0.5),
        ("dropout", "drop2", 0.1),
    ]


def test_waiting_requests_can_be_cancelled():
    model, optimizer, knobs = bench()
    knobs.set(lr=0.1, weight_decay=0.2)
    knobs.freeze("conv1")
    knobs.dropout(0.25, "drop1")
    assert knobs.pending == (
        "lr 0.1",
        "weight decay 0.2",
        "freeze conv1",
        "dropout p 0.25 (drop1)",
    )
    knobs.cancel()
    assert knobs.apply(optimizer, model) == ()


def test_no_request_is_lost_or_done_twice_between_threads():
    model, optimizer, knobs = bench(lr=1.0)
    done = []
    thread = threading.Thread(target=lambda: [knobs.set(lr=float(i)) for i in range(2, 400)])
    thread.start()
    while thread.is_alive() or knobs.pending:
        done += texts(knobs, optimizer, model)
    rates = [text.split(" → ")[1] for text in done]
    assert rates == sorted(set(rates), key=float)
    assert optimizer.param_groups[0]["lr"] == 399.0


def test_a_model_that_is_gone_cannot_be_changed():
    knobs = Knobs(lambda: None, tuple)
    with pytest.raises(ModelGoneError, match="gone"):
        knobs.freeze("conv1")
    assert knobs.read() == ()


def test_ranks_of_a_group_are_not_changed_apart(monkeypatch):
    _, _, knobs = bench()
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    with pytest.raises(RunRefusedError, match="every rank would have to make the change"):
        knobs.set(lr=0.1)
