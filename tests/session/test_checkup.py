import copy
import gc
import random
import threading
import weakref
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nbtorchviz as nbv
from nbtorchviz.session.checkup import RUNNING, checkup
from nbtorchviz.session.checkup_batch import understand
from tests.models import ZOO, DictOut, Lazy, NoParameters, NormDropout, TupleOut
from tests.session import sick_models as sick

CE = nn.CrossEntropyLoss()
CHECKS = (
    *("input", "optimizer", "forward", "labels", "finite numbers", "first loss", "gradients"),
    *("depends on input", "samples apart", "one batch"),
)


@dataclass
class Scored:
    first: torch.Tensor
    logits: torch.Tensor


def digits(samples=16, scale=1.0):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(samples, 1, 14, 14, generator=generator) * scale
    return images, torch.randint(0, 10, (samples,), generator=generator)


def look(model, batch, criterion=CE, *, optimizer=True, **options):
    torch.manual_seed(0)
    model = model() if isinstance(model, type) else model
    made = torch.optim.Adam(model.parameters()) if optimizer is True else optimizer
    options.setdefault("clock", lambda: 0.0)  # what is found must not depend on the machine's speed
    return checkup(model, batch, made, criterion, **options)


def answers(report):
    return {row.check: row.verdict for row in report.rows}


def found(report):
    """What is not ok, as one text."""
    return "\n".join(
        f"{r.check}: {r.answer} {r.sentence}" for r in report.rows if r.verdict != "ok"
    )


# Healthy models -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["digits", "words", "resnet18", "vit", "own_loss"])
def test_no_false_alarm_on_healthy_models(name):
    torch.manual_seed(0)
    images, labels = torch.randn(16, 3, 32, 32), torch.arange(16) % 10
    ids = torch.randint(0, 20, (8, 6))
    if name == "own_loss":
        batch = {"ids": ids, "mask": torch.ones(8, 6), "labels": ids.roll(-1, 1)}
        report = look(sick.OwnLoss, batch, None)
    elif name == "words":
        report = look(sick.Words, (ids, ids.roll(-1, 1)), None)
    elif name == "digits":
        report = look(sick.Digits, digits())
    else:
        torch.manual_seed(0)
        model = sick.resnet() if name == "resnet18" else sick.vit()
        report = look(model, (images, labels))
    assert report.ok, str(report)
    assert set(answers(report)) == set(CHECKS)
    assert set(answers(report).values()) == {"ok"}


@pytest.mark.parametrize("name", sorted(set(ZOO) - {"odd", "packed"}))
def test_no_false_alarm_on_awkward_models(name):
    torch.manual_seed(3)
    case = ZOO[name]
    report = look(case.build(), case.batch(torch.Generator().manual_seed(1)))
    # Samples apart too: BatchNorm mixes in train mode only.
    assert set(answers(report).values()) == {"ok"}, str(report)


def test_what_a_packed_lstm_leaves_unused_is_told():
    case = ZOO["packed"]  # its head reads the first time step alone
    report = look(case.build(), case.batch(torch.Generator().manual_seed(1)))
    assert found(report).startswith("gradients: warning The gradient of 1 parameter is exactly 0: ")
    assert "lstm.weight_hh_l0" in found(report)


def test_a_head_that_begins_at_zero_is_no_fault_and_is_spoken_of():
    torch.manual_seed(0)
    model = sick.vit()
    report = look(model, (torch.randn(4, 3, 32, 32), torch.arange(4)), most_steps=1)
    assert report.notes == (
        "class_token, heads.head.weight: zero at the start, given small values where the flow of "
        "signals was looked at.",
    )
    assert not model.heads.head.weight.any()


def test_the_numbers_are_told():
    report = look(sick.Digits, digits())
    assert report["input"].sentence == "(16, 1, 14, 14) float32, from 7.969e-05 to 0.9998."
    assert report["optimizer"].sentence == "All 8 parameters are in Adam."
    assert report["forward"].sentence == "It gives (16, 10) float32."
    assert report["labels"].sentence.startswith("16 labels from 0 to 9: 9 of 10 classes appear")
    assert "ln(10) = 2.303" in report["first loss"].sentence
    assert report["gradients"].sentence.startswith("All 8 parameters get one from the loss; norms")
    assert "none of the other 15" in report["samples apart"].sentence
    assert report["one batch"].sentence.startswith("Learnt by heart: loss 2.")
    assert report.batch == "input (16, 1, 14, 14) float32, labels (16,) int64"


# Sick models --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "check", "verdict", "words"),
    [
        (sick.Detached, "gradients", "warning", "4 of 8 parameters get no gradient"),
        (sick.Detached, "gradients", "warning", "something cuts them off"),
        (sick.Forgotten, "gradients", "warning", "(these layers are never called): auxiliary.we"),
        (sick.Constant, "depends on input", "problem", "with another sample in each place the out"),
        (sick.Constant, "gradients", "warning", "exactly 0: stem.0.weight"),
        (sick.Dead, "depends on input", "problem", "No: "),
        (sick.Dead, "one batch", "problem", "no better than guessing by the labels' frequency"),
        (sick.Doubled, "first loss", "problem", "leave the softmax out of the model"),
        (sick.Sure, "first loss", "problem", "far too sure"),
        (sick.Poisoned, "finite numbers", "problem", "are NaN or Inf, first in block"),
        (sick.AcrossBatch, "samples apart", "problem", "depends on the input of sample"),
    ],
)
def test_each_illness_is_named(model, check, verdict, words):
    steps = {} if check == "one batch" else {"most_steps": 1}
    report = look(model, digits(), **steps)
    assert report[check].verdict == verdict
    assert words in report[check].sentence
    assert not report.ok


def test_a_view_in_place_of_a_transpose_mixes_samples():
    batch = torch.randn(4, 6, 3), torch.tensor([0, 1, 0, 1])
    assert look(sick.WrongView, batch)["samples apart"].verdict == "problem"


def test_attention_across_the_batch_is_found_with_tokens_too():
    ids = torch.randint(0, 20, (8, 6))
    torch.manual_seed(0)
    report = look(sick.Words(batch_first=False), (ids, ids.roll(-1, 1)), None)
    assert "depends on the input of other samples" in report["samples apart"].sentence


def test_a_model_that_writes_to_its_input_is_followed_too():
    class Inplace(sick.AcrossBatch):
        def forward(self, x):
            return super().forward(x.relu_())

    images, labels = digits()
    before = images.clone()
    report = look(Inplace, (images, labels), most_steps=1)
    assert "depends on the input of sample" in report["samples apart"].sentence
    assert torch.equal(images, before)


def test_a_batch_is_learnt_without_dropout():
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Dropout(0.95), nn.Linear(32, 3))
    report = look(model, (torch.randn(4, 6), torch.tensor([0, 1, 2, 0])))
    assert report["one batch"].sentence.startswith("Learnt by heart")
    assert model[2].p == 0.95


def test_a_mask_beside_tokens_does_not_hide_that_they_mix():
    torch.manual_seed(0)
    model, ids = sick.OwnLoss(), torch.randint(0, 20, (8, 6))
    model.words = sick.Words(batch_first=False)
    report = look(model, {"ids": ids, "mask": torch.ones(8, 6), "labels": ids}, None, most_steps=1)
    assert report["samples apart"].verdict == "problem"


def test_batchnorm_without_running_statistics_mixes_in_eval_mode():
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8, track_running_stats=False))
    report = look(model, (torch.randn(4, 6), torch.tensor([0, 1, 2, 3])))
    assert report["samples apart"].verdict == "problem"


def test_labels_that_do_not_follow_from_the_input_cannot_be_learnt():
    images = torch.ones(8, 1, 14, 14)
    images[:, :, 0] = 0
    report = look(sick.Digits, (images, torch.arange(8)))
    assert report["input"].sentence.endswith("all samples of the batch are the same.")
    assert report["one batch"].verdict == "problem"
    assert report["depends on input"].verdict == "ok"  # noise is added instead
    assert report["samples apart"].verdict == "ok"


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        (lambda x: x * 255, "warning", "to 255: large for a network; divide by 255"),
        (lambda x: x * 50 - 25, "warning", "large for a network; normalise them"),
        (lambda x: x * 0, "warning", "every value is 0"),
        (lambda x: x.double(), "problem", "but the parameters are float32"),
        (lambda x: (x * 255).byte(), "warning", "raw bytes; use x.float() / 255"),
        (lambda x: x.log() * 0 + torch.nan, "problem", "NaN or Inf"),
        (lambda x: x.index_fill(0, torch.tensor([3]), torch.inf), "problem", "196 values of"),
        (lambda x: x.to("meta"), "problem", "is on meta, the model on cpu"),
    ],
)
def test_input_range_and_dtype(change, verdict, words):
    images, labels = digits()
    row = look(sick.Digits, (change(images), labels), most_steps=1)["input"]
    assert row.verdict == verdict
    assert words in row.sentence


@pytest.mark.parametrize(
    ("labels", "verdict", "words"),
    [
        (torch.arange(16) % 11, "problem", "but the model gives 10 class scores"),
        (torch.arange(16) % 10 - 1, "problem", "labels must be from 0 to 9"),
        (torch.full((16,), 3), "warning", "All 16 labels are 3: is the data shuffled?"),
        (torch.full((16,), -100), "problem", "Every label is ignored"),
        ([3, 4] * 8, "ok", "16 labels from 3 to 4: 2 of 10 classes appear"),
    ],
)
def test_labels(labels, verdict, words):
    row = look(sick.Digits, digits()[0], labels=labels, most_steps=1)["labels"]
    assert row.verdict == verdict
    assert words in row.sentence


def test_the_scores_are_looked_at_where_the_loss_comes_before_them():
    class OwnLoss(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 4)

        def forward(self, x, labels=None):
            logits = self.fc(x)
            return {"loss": F.cross_entropy(logits, labels), "logits": logits}

    given = {"x": torch.randn(8, 3), "labels": torch.arange(8) % 4}
    rows = {row.check: row for row in checkup(OwnLoss(), given).rows}
    assert rows["forward"].sentence == "It gives (8, 4) float32, tensor logits of a dict."
    assert rows["samples apart"].verdict == "ok"


@pytest.mark.parametrize(
    "first",
    [
        lambda fc: torch.ones(1),  # a temperature, or the loss of one process
        lambda fc: fc.weight,
        lambda fc: fc.weight.sum(),
    ],
)
@pytest.mark.parametrize("kind", [dict, tuple, Scored])
def test_the_scores_are_what_holds_the_batch(first, kind):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 4)

        def forward(self, x):
            parts = {"first": first(self.fc), "logits": self.fc(x)}
            return tuple(parts.values()) if kind is tuple else kind(**parts)

    rows = {row.check: row for row in look(Model, (torch.randn(8, 3), torch.arange(8) % 4)).rows}
    place = "1 of a tuple" if kind is tuple else f"logits of a {kind.__name__}"
    assert rows["forward"].sentence == f"It gives (8, 4) float32, tensor {place}."
    assert "8 labels from 0 to 3: 4 of 4 classes appear" in rows["labels"].sentence
    assert [rows[check].verdict for check in ("first loss", "samples apart")] == ["ok", "ok"]


def test_a_criterion_that_raises_is_quoted():
    images, labels = digits()
    row = look(sick.Digits, (images, labels.float()))["first loss"]
    assert row.verdict == "problem"
    assert row.sentence.startswith("CrossEntropyLoss raised RuntimeError: ")


def test_nll_of_class_scores_is_named():
    row = look(sick.Digits, digits(), nn.NLLLoss())["first loss"]
    assert "wants log-probabilities" in row.sentence


def test_a_forward_that_raises_is_quoted_and_the_rest_is_not_checked():
    report = look(sick.Digits, (torch.rand(4, 3, 14, 14), torch.arange(4)))
    assert report["forward"].verdict == "problem"
    assert report["forward"].sentence.startswith("It raised RuntimeError: Given groups=1")
    assert report["one batch"].answer == "not checked: the forward failed."
    assert report["optimizer"].verdict == "ok"


# Optimizer ----------------------------------------------------------------------------------


def optimizer_row(model, *groups, **options):
    made = [torch.optim.SGD(group, lr=options.get("lr", 0.1)) for group in groups]
    return look(model, (torch.randn(4, 4), torch.arange(4) % 3), optimizer=made)["optimizer"]


def test_parameters_outside_every_optimizer_are_named():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3))
    row = optimizer_row(model, model[0].parameters())
    assert row.verdict == "problem"
    assert row.sentence == (
        "2 of 4 parameters in no optimizer, so they will not learn: 2.weight, 2.bias."
    )
    assert optimizer_row(model, model[0].parameters(), model[2].parameters()).verdict == "ok"


def test_an_optimizer_of_another_model_is_named():
    model = nn.Linear(4, 3)
    row = optimizer_row(model, nn.Linear(4, 3).parameters())
    assert row.sentence.startswith("None of 2 parameters is in the optimizer.")


def test_other_answers_about_the_optimizer():
    model = nn.Linear(4, 3)
    assert "learning rate is 0" in optimizer_row(model, model.parameters(), lr=0.0).sentence
    assert optimizer_row(model).answer == "not checked: no optimizer was given."
    model.bias.requires_grad_(False)
    assert (
        optimizer_row(model, [model.weight]).sentence
        == "All 1 parameter are in SGD; 1 more frozen."
    )
    model.weight.requires_grad_(False)
    assert optimizer_row(model).sentence == "All 2 parameters are frozen."
    hidden = optimizer_row(sick.Hidden())
    assert hidden.verdict == "warning"
    assert hidden.sentence.startswith("layers: plain containers, whose parameters")


def test_a_model_without_parameters_is_not_checked_for_them():
    report = look(NoParameters(), torch.randn(4, 6), None, optimizer=None)
    assert report["optimizer"].answer == "not checked: the model has no parameters."
    assert report["gradients"].answer == "not checked: no parameter requires a gradient."
    assert report["depends on input"].verdict == "ok"
    assert report.ok


# Losses -------------------------------------------------------------------------------------


def test_without_labels_the_gradients_are_those_of_the_output():
    report = look(sick.Digits, digits()[0], None)
    assert report.batch == "input (16, 1, 14, 14) float32, no labels"
    assert "get one from the output" in report["gradients"].sentence
    for check in ("first loss", "one batch"):
        words = "not checked: there is no loss: give labels, checkup((inputs, labels))."
        assert report[check].answer == words
    assert report.ok


def test_the_batch_axis_of_an_lstm_is_found_without_labels():
    report = look(nn.LSTM(5, 7), torch.randn(6, 4, 5), None)
    assert report["samples apart"].sentence.endswith("none of the other 3.")


def test_regression_has_no_expected_first_loss_and_can_be_learnt():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 1))
    inputs = torch.randn(8, 4)
    report = look(model, (inputs, inputs.sum(1, keepdim=True)), nn.MSELoss())
    assert "for MSELoss no value is expected" in report["first loss"].sentence
    assert report["labels"].sentence.startswith("(8, 1) float, from")
    assert report["one batch"].verdict == "ok"
    assert report.ok


def test_binary_losses_begin_at_ln_2():
    torch.manual_seed(0)
    labels = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    report = look(nn.Linear(4, 1), (torch.randn(4, 4), labels), nn.BCEWithLogitsLoss())
    assert "ln(2) = 0.693" in report["first loss"].sentence


def test_an_optimizer_that_made_steps_already_means_a_trained_model():
    torch.manual_seed(0)
    model, (images, labels) = sick.Digits(), digits()
    optimizer = torch.optim.Adam(model.parameters())
    F.cross_entropy(model(images), labels).backward()
    optimizer.step()
    report = checkup(model, (images, labels), optimizer, CE)
    assert "the optimizer has made steps already" in report["first loss"].sentence


def test_a_criterion_with_parameters_is_copied_too():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))
            self.calls = 0

        def forward(self, output, labels):
            self.calls += 1
            return F.cross_entropy(output * self.scale, labels)

    criterion = Scaled()
    assert look(sick.Digits, digits(), criterion)["one batch"].verdict == "ok"
    assert (criterion.calls, criterion.scale.grad) == (0, None)


def test_a_criterion_that_reads_the_users_model_leaves_no_gradient_there():
    model = sick.Digits()

    def decayed(output, labels):
        return F.cross_entropy(output, labels) + 1e-4 * model.scores.weight.norm()

    look(model, digits(), decayed)
    assert all(parameter.grad is None for parameter in model.parameters())


# Batches ------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [TupleOut, DictOut])
def test_structured_outputs(model):
    report = look(model, (torch.randn(4, 6), torch.tensor([0, 1, 2, 0])))
    assert report.ok, str(report)
    assert ", tensor " in report["forward"].sentence


def test_lazy_models_are_shaped_on_the_copy_only():
    model = Lazy()
    report = look(model, (torch.randn(4, 6), torch.tensor([0, 1, 2, 0])))
    assert report.ok, str(report)
    assert isinstance(model.fc1.weight, nn.UninitializedParameter)


@pytest.mark.parametrize(
    ("batch", "labels", "expected"),
    [
        (torch.ones(2, 4), None, "input (2, 4) float32, no labels"),
        ((torch.ones(2, 4), [0, 1]), None, "input (2, 4) float32, labels (2,) int64"),
        ([torch.ones(2, 4)], [0, 1], "input (2, 4) float32, labels (2,) int64"),
        (
            (torch.ones(2, 4), torch.ones(2).bool()),
            None,
            "0 (2, 4) float32, 1 (2,) bool, no labels",
        ),
        ((torch.ones(2, 4), None, [1, 0]), None, "0 (2, 4) float32, labels (2,) int64"),
        ({"x": torch.ones(2, 4), "y": [1, 0]}, None, "x (2, 4) float32, labels (2,) int64"),
        (((torch.ones(2, 4),), [1, 0]), None, "input (2, 4) float32, labels (2,) int64"),
        (({"x": torch.ones(2, 4)}, [1, 0]), None, "x (2, 4) float32, labels (2,) int64"),
        ((torch.ones(2, 4), {"boxes": 1}), None, "input (2, 4) float32, labels dict"),
        ((torch.ones(2, 4), np.array([1, 0])), None, "input (2, 4) float32, labels (2,) int64"),
    ],
)
def test_inputs_and_labels_are_told_apart(batch, labels, expected):
    class Masked(nn.Module):
        def forward(self, x, mask=None):
            return x

    assert understand(Masked(), batch, labels).describe() == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("model",), "needs a torch.nn.Module, got str"),
        ((nn.Linear(4, 3), torch.ones(2, 4), nn.MSELoss()), "Its order is checkup"),
        ((nn.Linear(4, 3), torch.ones(2, 4), None, "mse"), "criterion must be callable, got str"),
        ((nn.Linear(4, 3), DataLoader(TensorDataset(torch.ones(2, 4)))), r"next\(iter\(loader\)\)"),
    ],
)
def test_wrong_arguments_are_refused(given, message):
    with pytest.raises(TypeError, match=message):
        checkup(*(given if len(given) > 1 else (*given, torch.ones(2, 4))))


def test_wrappers_are_looked_through():
    report = look(nn.DataParallel(sick.Digits()), digits(), most_steps=1)
    assert report.model == "Digits"
    assert report["forward"].verdict == "ok"


# Copies -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (sick.Locked, "this model cannot be copied (TypeError: cannot pickle '_thread.lock'"),
        (sick.Single, "this model cannot be copied (its copy shares parameters or buffers"),
    ],
)
def test_models_that_cannot_be_copied_say_so(model, words):
    report = look(model, (torch.randn(4, 4), torch.arange(4) % 3))
    assert {row.check for row in report.rows if row.verdict == "not checked"} == set(RUNNING)
    assert report["one batch"].sentence.startswith(words)
    assert report["input"].verdict == report["optimizer"].verdict == "ok"


def test_a_model_that_keeps_its_last_activation_is_copied():
    model = sick.Remembering()
    model(torch.randn(4, 4))
    last = model.last
    report = look(model, (torch.randn(4, 4), torch.arange(4) % 3))
    assert answers(report)["one batch"] != "not checked"
    assert model.last is last


def test_hooks_of_the_user_do_not_hear_the_copies():
    model, heard = sick.Digits(), []
    model.scores.register_forward_hook(lambda module, args, output: heard.append(output))
    model.scores.register_forward_pre_hook(lambda module, args: heard.append(args))
    report = look(model, digits(), most_steps=1)
    assert heard == []
    assert report.notes == ("2 hooks of yours left off the copies.",)
    assert "2 hooks of yours" in str(report)


def test_in_a_process_group_no_rank_runs_alone(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    report = look(sick.Digits, digits())
    assert "one rank alone would wait" in report["forward"].sentence
    assert report["input"].verdict == "ok"


# Without a trace ----------------------------------------------------------------------------


def state_of(model, optimizer):
    return copy.deepcopy(
        {
            "tensors": dict(model.state_dict()),
            "grads": {n: p.grad for n, p in model.named_parameters()},
            "versions": [t._version for t in model.state_dict(keep_vars=True).values()],
            "modes": [module.training for module in model.modules()],
            "learning": [parameter.requires_grad for parameter in model.parameters()],
            "optimizer": optimizer.state_dict(),
            "attributes": [sorted(vars(module)) for module in model.modules()],
            "streams": (torch.get_rng_state(), random.getstate(), np.random.get_state()),  # noqa: NPY002
            "grad mode": torch.is_grad_enabled(),
        }
    )


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.parametrize("name", sorted(ZOO))
def test_everything_stays_bitwise_as_it_was(name):
    torch.manual_seed(3)
    case = ZOO[name]
    model = case.build()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    inputs, labels = case.batch(torch.Generator().manual_seed(1))
    F.cross_entropy(model(inputs), labels).backward()
    optimizer.step()
    kept = inputs.clone(), labels.clone()
    before = state_of(model, optimizer)
    checkup(model, (inputs, labels), optimizer, CE, most_steps=3)
    after = state_of(model, optimizer)
    for part in before:
        assert same(before[part], after[part]), part
    assert same(kept, (inputs, labels))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_works_in_every_grad_mode_and_restores_it(mode):
    with mode():
        report = look(sick.Digits(), digits(), most_steps=1)
        assert not torch.is_grad_enabled()
    assert report["gradients"].verdict == "ok"


def test_an_interrupt_goes_through_and_leaves_no_trace():
    class Interrupted(NormDropout):
        def forward(self, x):
            random.random()
            torch.rand(1)
            raise KeyboardInterrupt

    model = Interrupted()
    optimizer = torch.optim.Adam(model.parameters())
    inputs = torch.randn(4, 6)
    before = state_of(model, optimizer)
    with pytest.raises(KeyboardInterrupt):
        checkup(model, inputs, optimizer)
    assert same(before, state_of(model, optimizer))


def test_the_same_model_gets_the_same_answers_twice():
    model = sick.Digits()
    first, second = look(model, digits()), look(model, digits())
    assert str(first) == str(second)


def test_a_watched_model_takes_no_step_and_hears_nothing():
    model = NormDropout()
    session = nbv.watch(model)
    seen = []
    for event in (nbv.events.ActivationCaptured, nbv.events.ForwardFailed):
        session.bus.subscribe(event, seen.append)
    try:
        report = look(model, (torch.randn(4, 6), torch.arange(4) % 3))
        session.flush()
        assert report["one batch"].verdict == "ok"
        assert (session.step, seen, session.faults) == (0, [], [])
    finally:
        session.close()


def test_learning_is_bounded_in_steps():
    report = look(sick.Digits, digits(), most_steps=5)
    assert report["one batch"].answer == "not checked: only 5 steps allowed."


def test_learning_is_bounded_in_time():
    now = iter(range(1000))
    report = look(sick.Digits, digits(), most_s=10.0, clock=lambda: float(next(now)))
    assert report["one batch"].answer.endswith("steps fitted into the time.")


def test_it_can_run_on_any_thread():
    reports = []
    thread = threading.Thread(target=lambda: reports.append(look(sick.Digits, digits())))
    thread.start()
    thread.join()
    assert reports[0].ok


def test_a_criterion_written_inside_the_call_is_not_forgotten():
    model = nn.Linear(3, 4)
    session = nbv.watch(model, criterion=nn.CrossEntropyLoss(ignore_index=255))
    gc.collect()
    assert session.tap.criterion.ignore_index == 255
    session.close()


@pytest.mark.parametrize("how", ["module", "listed", "named", "method"])
def test_a_criterion_that_holds_the_model_does_not_keep_it_alive(how):
    class Regularised(nn.Module):
        def __init__(self, model):
            super().__init__()
            ways = {"listed": [model], "named": {"a": model}, "method": model.forward}
            self.model = ways.get(how, model)

    model = nn.Linear(3, 4)
    criterion, alive = Regularised(model), weakref.ref(model)
    nbv.watch(model, criterion=criterion)
    del model, criterion
    gc.collect()
    assert alive() is None
