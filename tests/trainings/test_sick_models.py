"""Real trainings on digits, each of a model with exactly one illness: that one is told."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.analysis.findings import sick_models as sick
from tests.analysis.findings.digits import digits
from tests.analysis.findings.training import Watched, events_of, watch

Make = Callable[[nn.Module], torch.optim.Optimizer]


def sgd(rate: float, momentum: float = 0.9) -> Make:
    return lambda model: torch.optim.SGD(model.parameters(), rate, momentum=momentum)


USUAL = sgd(0.02)


def train(
    model: nn.Module,
    make: Make = USUAL,
    *,
    steps: int = 30,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> Watched:
    return watch(events_of(model, make(model), loss, digits(steps)))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def told(watched: Watched) -> list[tuple[str, str]]:
    return [(finding.rule, finding.layer) for finding in watched.findings.active]


def test_vanishing_in_a_deep_sigmoid_net():
    watched = train(sick.deep(6, nn.Sigmoid))
    assert told(watched) == [("vanishing_gradients", "1")]
    (finding,) = watched.findings.active
    assert finding.title.startswith("Gradients vanish: 1 gets ")
    assert finding.title.endswith(" times less than 11 (steps 1-30)")
    assert "nn.ReLU" in finding.remedy


def test_vanishing_is_not_taken_back_when_only_the_head_has_learnt_what_it_can():
    watched = train_on_one_batch(sick.deep(6, nn.Sigmoid), sgd(0.1, 0))
    assert ("vanishing_gradients", "1") in told(watched)
    assert not [change for change in watched.changes if not change.active]


def test_vanishing_is_taken_back_when_the_first_layers_learn():
    def adam(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), 0.001)

    watched = train_on_one_batch(sick.deep(6, nn.Sigmoid), adam)
    assert ("vanishing_gradients", "1") in watched.raised
    assert "vanishing_gradients" not in {rule for rule, _ in told(watched)}
    assert watched.losses[-1] < 2.1


def train_on_one_batch(model: nn.Module, make: Make) -> Watched:
    batches = [*digits(1, batch_size=256)] * 150
    return watch(events_of(model, make(model), F.cross_entropy, batches))


def test_vanishing_is_told_beside_a_head_that_begins_at_zero():
    model = sick.deep(8, nn.Sigmoid)
    nn.init.zeros_(model[-1].weight)
    assert ("vanishing_gradients", "1") in told(train(model))


def test_vanishing_in_twenty_layers_of_relu():
    assert ("vanishing_gradients", "") not in told(watched := train(sick.deep(20, nn.ReLU)))
    assert "vanishing_gradients" in {rule for rule, _ in told(watched)}


def without_care(model: nn.Module) -> torch.optim.Optimizer:
    """SGD whose learning rate a schedule multiplies by fifty after 20 steps."""
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 if step < 20 else 50)
    optimizer.register_step_post_hook(lambda *_: schedule.step())
    return optimizer


def test_exploding_in_a_recurrent_net_without_clipping():
    # Where exactly it breaks hangs on the last bit of the machine's sums: several starts.
    exploded = []
    for seed in range(4):
        torch.manual_seed(seed)
        watched = train(sick.Recurrent(), without_care, steps=50)
        rules = [rule for rule, _ in told(watched)]
        assert ("nonfinite_loss" in rules) == (not math.isfinite(watched.losses[-1]))
        exploded += [watched.findings.active] if "exploding_gradients" in rules else []
    assert exploded
    for findings in exploded:
        assert findings[0].rule == "exploding_gradients"  # the cause before its consequences
        assert "clip_grad_norm_" in findings[0].remedy


def test_clipping_cures_the_explosion():
    for seed in range(4):
        torch.manual_seed(seed)
        model = sick.Recurrent()
        events = events_of(model, without_care(model), F.cross_entropy, digits(50), clip=1e-2)
        assert watch(events).findings.active == ()


def test_dead_relu():
    watched = train(sick.with_a_dead_relu())
    assert told(watched) == [("dead_relu", "3")]
    assert watched.findings.active[0].title == (
        "Dead ReLU: 3 puts out zeros only, and no gradient passes it (steps 1-30)"
    )
    # No learning rate can have done that.
    assert watched.findings.active[0].remedy.startswith("It was so from the first step on: look at")


def test_relus_that_die_of_a_learning_rate_far_too_high():
    rules = {rule for rule, _ in told(train(sick.convolutions(), sgd(10.0, 0), steps=40))}
    assert rules == {"dead_relu"}


def test_saturated_tanh():
    assert told(train(sick.with_a_saturated_tanh())) == [("saturated", "4")]


def test_layer_that_forward_never_uses():
    watched = train(sick.Forgetful(detach=False))
    assert told(watched) == [("no_gradient", "extra")]
    assert watched.findings.active[0].title == "No gradient reaches extra (steps 1-30)"


def test_body_cut_off_by_a_detach_is_told_as_one():
    assert told(train(sick.Forgetful(detach=True))) == [("no_gradient", "body")]


def test_layer_forgotten_in_the_optimizer():
    def all_but_the_first(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(model[1:].parameters())

    assert told(train(sick.convolutions(), all_but_the_first)) == [("no_optimizer", "0")]


def test_group_with_a_learning_rate_of_zero():
    def first_at_zero(model: nn.Module) -> torch.optim.Optimizer:
        groups = [{"params": model[0].parameters(), "lr": 0.0}, {"params": model[1:].parameters()}]
        return torch.optim.SGD(groups, lr=0.02)

    watched = train(sick.convolutions(), first_at_zero)
    assert told(watched) == [("no_update", "0")]
    assert watched.findings.active[0].title.startswith("Learning rate 0: no update reaches 0")


def test_updates_lost_in_the_rounding_of_bfloat16():
    model = sick.convolutions().bfloat16()
    batches = ((x.bfloat16(), y) for x, y in digits(30))
    events = events_of(
        model, sgd(1e-6, 0)(model), lambda out, y: F.cross_entropy(out.float(), y), batches
    )
    assert "no_update" in {rule for rule, _ in told(watch(events))}


def test_learning_rate_far_too_small():
    watched = train(sick.convolutions(), sgd(1e-5, 0), steps=60)
    assert told(watched) == [("update_too_small", watched.findings.active[0].layer)]
    assert watched.findings.active[0].severity == "hint"
    assert watched.findings.active[0].remedy == "Try a learning rate ten times higher, 0.0001."


def test_learning_rate_far_too_large():
    model = sick.deep(3, nn.Tanh)
    rules = {rule for rule, _ in told(train(model, sgd(5.0), steps=60))}
    assert "update_too_large" in rules
    assert rules <= {"update_too_large", "diverging_loss", "saturated", "constant_output"}


def test_batch_norm_in_eval_while_the_model_trains():
    model = sick.Normed()
    model.bn.eval()
    assert told(train(model)) == [("eval_mode", "bn")]


def test_model_left_in_eval_after_a_validation():
    model = sick.Normed()
    model.eval()
    watched = train(model)
    assert told(watched) == [("eval_mode", "")]
    assert "model.train()" in watched.findings.active[0].remedy


def test_model_that_is_blind_to_its_input():
    assert told(train(sick.Blind())) == [("constant_output", "fc1")]


def test_branch_that_stays_a_copy():
    assert told(train(sick.Copied())) == [("duplicated_layer", "b")]


def test_relu_applied_twice():
    assert told(train(sick.with_a_double_relu())) == [("repeated_layer", "3")]


def test_nan_in_backward_alone():
    watched = train(sick.Rooted(), sgd(1e-3, 0))
    rules = [change.rule for change in watched.changes]
    assert "nonfinite_gradients" in rules
    assert watched.losses[0] < 10  # the first forward was fine


def test_loss_that_becomes_nan():
    def log_of_zero(logits: Tensor, target: Tensor) -> Tensor:
        return -torch.log(F.softmax(logits * 500, 1).gather(1, target[:, None])).mean()

    rules = [rule for rule, _ in told(train(sick.convolutions(), loss=log_of_zero))]
    assert rules[0] == "nonfinite_loss"


def test_loss_that_diverges():
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

    def squares(out: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(out, F.one_hot(target, 10).float())

    # a little above the largest rate at which gradient descent on this data is stable
    watched = train(model, sgd(0.26, 0), steps=60, loss=squares)
    assert "diverging_loss" in {change.rule for change in watched.changes}


@pytest.mark.parametrize("turned", [False, True])
def test_loss_that_has_no_least_value(turned):
    def of_bytes(out: Tensor, target: Tensor) -> Tensor:  # labels 0 to 255 in place of 0 to 1
        labels = 255.0 * F.one_hot(target, 10).float()
        return F.binary_cross_entropy_with_logits(out, labels)

    def backwards(out: Tensor, target: Tensor) -> Tensor:
        return -F.cross_entropy(out, target)

    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    watched = train(model, sgd(0.02), steps=60, loss=backwards if turned else of_bytes)
    assert "bottomless_loss" in {change.rule for change in watched.changes}


def test_states_of_a_recurrent_layer_at_their_limits():
    watched = train(sick.RowReader(), sgd(0.1), steps=260)
    assert ("saturated_states", "rnn") in told(watched)


def test_a_layer_of_which_few_neurons_are_left():
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    watched = train(model, sgd(1.0), steps=60)
    (finding,) = [each for each in watched.findings.active if each.rule == "almost_dead_relu"]
    assert (finding.layer, finding.severity) == ("2", "hint")
