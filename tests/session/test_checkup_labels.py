"""As many labels as items, whatever the shapes, and no alarm where their number is their own."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nbtorchviz.session.checkup import checkup

PIXELS = nn.Conv2d(3, 4, 1), torch.randn(2, 3, 8, 8)
TOKENS = nn.Embedding(9, 5), torch.arange(8).view(2, 4)
ROWS = nn.Linear(3, 4), torch.randn(8, 3)


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 4), nn.Linear(3, 4)

    def forward(self, x):
        return {"first": self.a(x), "logits": self.b(x)}


@pytest.mark.parametrize("given", [None, nn.CrossEntropyLoss(), nn.MSELoss()])
@pytest.mark.parametrize(
    ("model", "batch", "labels", "words"),
    [
        (*ROWS, torch.arange(7) % 4, "7 labels for a batch of 8"),
        (*ROWS, torch.arange(9) % 4, "9 labels for a batch of 8"),
        (*ROWS, torch.arange(16) % 4, "16 labels for a batch of 8"),
        (*ROWS, torch.arange(4), "4 labels for a batch of 8"),
        (*ROWS, torch.arange(3), "3 labels for a batch of 8"),
        (*ROWS, torch.arange(1), "1 label for a batch of 8"),
        (*ROWS, F.one_hot(torch.arange(7) % 4).float(), "7 labels for a batch of 8"),
        (*PIXELS, torch.zeros(3, 8, 8, dtype=torch.int64), "3 labels for a batch of 2"),
        (*TOKENS, torch.zeros(3, 4, dtype=torch.int64), "3 labels for a batch of 2"),
    ],
)
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_labels_that_some_items_lack_are_a_problem(model, batch, labels, words, given):
    report = checkup(model, (batch, labels), criterion=given, most_steps=1)
    (found,) = [row for row in report.problems if row.check == "labels"]
    assert words in found.sentence
    assert "give labels" not in str(report)


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_a_loss_that_broadcasts_does_not_hide_that_labels_are_missing():
    given = torch.randn(8, 3), torch.randn(7)
    report = checkup(nn.Linear(3, 1), given, criterion=nn.MSELoss(), most_steps=1)
    assert "7 labels for a batch of 8 (output (8, 1))" in str(report.problems)


def test_labels_of_several_heads_are_counted_by_head():
    labels = {"first": torch.arange(8) % 4, "logits": torch.arange(7) % 4}
    (found,) = checkup(Heads(), (torch.randn(8, 3), labels)).problems
    assert "7 labels of output logits for a batch of 8" in found.sentence


@pytest.mark.parametrize(
    ("model", "batch", "labels"),
    [
        (*ROWS, torch.arange(16).view(8, 2) % 4),
        (*ROWS, torch.arange(16).view(2, 8) % 4),
        (*ROWS, torch.rand(8, 4)),
        (*ROWS, torch.rand(8)),
        (*PIXELS, torch.arange(128).view(2, 8, 8) % 4),
        (*PIXELS, torch.zeros(2, 1, 8, 8)),
        (*TOKENS, torch.arange(8).view(2, 4) % 5),
        (*TOKENS, torch.arange(8) % 5),
        (*TOKENS, torch.arange(2)),
        (nn.Sequential(*TOKENS[:1], nn.Flatten(0, 1)), TOKENS[1], torch.arange(8) % 5),
    ],
)
def test_labels_of_every_usual_shape_fit(model, batch, labels):
    rows = {row.check: row for row in checkup(model, (batch, labels), most_steps=1).rows}
    assert rows["labels"].verdict == "ok"
    assert "give labels" not in rows["first loss"].sentence


@pytest.mark.parametrize(
    "labels",
    [
        {"first": torch.arange(8) % 4, "logits": torch.arange(8) % 4},
        {"boxes": torch.rand(5, 4), "logits": torch.arange(8) % 4},
        (torch.arange(8) % 4, torch.arange(8) % 4),
        [{"boxes": torch.rand(3, 4), "labels": torch.arange(3)}] * 8,
    ],
)
def test_labels_that_are_no_tensor_raise_no_alarm(labels):
    given = torch.randn(8, 3)
    assert checkup(Heads(), given, labels=labels, most_steps=1)["labels"].verdict == "not checked"


def test_labels_in_another_shape_that_give_a_loss_are_none():
    model, ctc = nn.Linear(3, 4), nn.CTCLoss()
    lengths = torch.full((2,), 6), torch.tensor([2, 3])

    def criterion(output, labels):
        return ctc(output.movedim(1, 0).log_softmax(-1), labels, *lengths)

    given = torch.randn(2, 6, 3), torch.tensor([1, 2, 3, 1, 2])
    report = checkup(model, given, criterion=criterion)
    assert "labels" not in [row.check for row in report.problems]


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize(
    ("outputs", "shape", "words"),
    [
        (1, (8,), "(8,) and output (8, 1) are broadcast to (8, 8)"),
        (4, (8, 1), None),  # one target for four outputs: nothing is stretched but the label
        (1, (8, 1), None),
    ],
)
def test_a_loss_that_compares_every_label_with_every_score_is_told(outputs, shape, words):
    given = torch.randn(8, 3), torch.randn(*shape)
    report = checkup(nn.Linear(3, outputs), given, criterion=nn.MSELoss(), most_steps=1)
    sentences = [row.sentence for row in report.problems if row.check == "labels"]
    assert bool(sentences) is (words is not None)
    if words:
        assert words in sentences[0]
        assert "labels.unsqueeze(-1)" in sentences[0]


@pytest.mark.parametrize(
    ("loss", "size", "verdict"),
    [
        (nn.MSELoss, 1.0, "ok"),
        (nn.MSELoss, 200_000.0, "warning"),
        (nn.PoissonNLLLoss, 500.0, "ok"),  # counts are not to be standardised
    ],
)
def test_targets_far_from_what_a_model_puts_out_are_told(loss, size, verdict):
    given = torch.randn(8, 3), size * (4 + torch.randn(8, 1)).abs()
    report = checkup(nn.Linear(3, 1), given, criterion=loss(), most_steps=1)
    assert report["labels"].verdict == verdict
    assert ("Standardise" in report["labels"].sentence) is (verdict == "warning")


@pytest.mark.parametrize("training", [True, False])
def test_a_model_in_eval_mode_is_told_and_stays_there(training):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).train(training)
    row = checkup(model, (torch.randn(8, 3), torch.arange(8) % 4), most_steps=1)["forward"]
    assert row.verdict == ("ok" if training else "warning")
    assert ("call model.train()" in row.sentence) is not training
    assert model.training is training


@pytest.mark.parametrize("shape", [(8,), (8, 1)])
def test_labels_of_yes_and_no_are_no_mask(shape):
    model = nn.Sequential(nn.Linear(3, 1), nn.Flatten(0)) if len(shape) == 1 else nn.Linear(3, 1)
    labels = (torch.arange(8) % 2 == 0).view(shape)
    report = checkup(model, (ROWS[1], labels), criterion=lambda o, y: F.mse_loss(o, y.float()))
    assert report["forward"].verdict == "ok"
    assert f"labels {shape} bool" in report.batch


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 4)

    def forward(self, x, mask=None):
        return self.head(x if mask is None else x * mask[:, None])


def test_a_mask_that_the_forward_takes_is_one():
    batch = (ROWS[1], torch.ones(8, dtype=torch.bool), torch.arange(8) % 4)
    report = checkup(Masked(), batch)
    assert report["forward"].verdict == "ok"
    assert "labels (8,) int64" in report.batch


@pytest.mark.parametrize(("low", "high"), [(1.0, 2.0), (-1.0, 1.0), (0.0, 255.0)])
def test_labels_beyond_yes_and_no_are_a_problem_of_binary_cross_entropy(low, high):
    labels = torch.linspace(low, high, 8).view(8, 1)
    row = checkup(nn.Linear(3, 1), (ROWS[1], labels), criterion=nn.BCEWithLogitsLoss())["labels"]
    assert row.verdict == "problem"
    assert "wants them from 0 to 1" in row.sentence
    good = checkup(
        nn.Linear(3, 1), (ROWS[1], labels.gt(0).float()), criterion=nn.BCEWithLogitsLoss()
    )
    assert good["labels"].verdict == "ok"


@pytest.mark.parametrize("last", [nn.Sigmoid(), nn.Tanh()])
@pytest.mark.parametrize("shaping", [nn.Identity(), nn.Flatten(0)])
def test_a_sigmoid_under_a_loss_that_applies_one_is_a_problem(last, shaping):
    labels = torch.tensor([[0.0], [1.0]] * 4)
    labels = labels if isinstance(shaping, nn.Identity) else labels.flatten()
    model = nn.Sequential(nn.Linear(3, 1), last, shaping)
    row = checkup(model, (ROWS[1], labels), criterion=nn.BCEWithLogitsLoss())["first loss"]
    assert ("leave the sigmoid out" in row.sentence) == isinstance(last, nn.Sigmoid)
    assert (
        checkup(model, (ROWS[1], labels), criterion=nn.MSELoss())["first loss"].verdict != "problem"
    )


def test_a_batch_without_items_is_refused():
    with pytest.raises(ValueError, match=r"a batch with items in it, got input \(0, 3\) float32"):
        checkup(nn.Linear(3, 4), (torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)))


@pytest.mark.parametrize("kind", [torch.float32, torch.int32, torch.bool])
def test_class_indices_of_a_type_that_the_loss_refuses_are_told_with_the_cure(kind):
    labels = (torch.arange(8) % 4).to(kind)
    row = checkup(ROWS[0], (ROWS[1], labels), criterion=nn.CrossEntropyLoss())["labels"]
    name = str(kind).removeprefix("torch.")
    assert row.verdict == "problem"
    assert row.sentence == f"Class indices must be int64, these are {name}: use labels.long()."


def test_class_probabilities_are_labels_of_a_cross_entropy():
    labels = F.one_hot(torch.arange(8) % 4).float()
    report = checkup(ROWS[0], (ROWS[1], labels), criterion=nn.CrossEntropyLoss())
    assert not report.problems


def test_labels_of_bytes_are_one_problem_of_a_binary_cross_entropy():
    labels = 255.0 * (torch.arange(8) % 2)[:, None]
    report = checkup(nn.Linear(3, 1), (ROWS[1], labels), criterion=nn.BCEWithLogitsLoss())
    assert [row.check for row in report.problems] == ["labels"]
    assert not report.warnings


@pytest.mark.parametrize("given", [None, nn.CrossEntropyLoss()])
def test_class_indices_in_a_column_are_told_with_the_cure(given):
    labels = (torch.arange(8) % 4)[:, None]
    row = checkup(ROWS[0], (ROWS[1], labels), criterion=given)["labels"]
    assert (row.verdict, row.sentence) == (
        "problem",
        "Class indices must have shape (8,): use labels.squeeze(1).",
    )


def test_labels_without_a_known_loss_say_where_to_name_it():
    row = checkup(nn.Linear(3, 1), (ROWS[1], torch.randn(8, 1)))["one batch"]
    assert "watch(model, criterion=nn.MSELoss())" in row.sentence
