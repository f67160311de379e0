import pytest
import torch

from nbtorchviz.session.logbook import Logbook
from nbtorchviz.session.metrics import MetricHistory


@pytest.fixture
def book():
    book = Logbook(MetricHistory())
    yield book
    book.close()


def test_a_metric_logged_again_begins_the_next_step(book):
    book.log(loss=3.0)
    book.log(loss=2.0)
    book.log(val_loss=2.5)
    book.log(loss=1.0)
    assert book.metrics.history("loss").steps.tolist() == [1, 2, 3]
    assert book.metrics.history("val_loss").steps.tolist() == [2]


def test_phases_of_one_name_share_a_step(book):
    book.log(loss=1.0)
    book.log(loss=2.0, phase="eval")
    assert book.metrics.history("loss/eval").steps.tolist() == [1]


def test_validation_by_any_name_is_kept_apart_from_training(book):
    book.log(loss=1.0)
    book.log(loss=2.0, phase="val")
    assert book.metrics.names() == ("loss", "loss/eval")
    with pytest.raises(ValueError, match="phase must be 'train' or 'eval'"):
        book.log(loss=3.0, phase="test")
    assert book.metrics.history("loss").values.tolist() == [1.0]


def test_a_given_step_counts_on_from_there(book):
    book.log(10, loss=1.0)
    book.log(loss=1.0)
    assert book.metrics.history("loss").steps.tolist() == [10, 11]


def test_a_loop_started_again_is_a_new_run(book):
    for _ in range(2):
        for step in range(3):
            book.log(step, loss=float(step))
    assert [info.run for info in book.metrics.runs] == [1, 2]


def test_numbers_without_a_name_are_not_lost_in_silence(book):
    for given in ((), (3.0,)):
        with pytest.warns(UserWarning, match=r"recorded nothing.*log\(loss=loss\)"):
            book.log(*given)
    book.log(epoch=2)  # of what is logged next
    book.log(loss=1.0)
    assert (book.epoch, book.metrics.names()) == (2.0, ("loss",))


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        ("low", TypeError, "metric 'loss' must be a number"),
        (torch.zeros(3), ValueError, r"metric 'loss' has shape \(3,\)"),
        (None, TypeError, "metric 'loss'"),
    ],
)
def test_what_is_no_number_is_refused_by_name(book, value, error, words):
    with pytest.raises(error, match=words):
        book.log(loss=value)


@pytest.mark.parametrize(
    "wrong", [{"acc": "x"}, {"step": "2"}, {"epoch": float("nan")}, {"phase": 5}]
)
def test_all_is_recorded_or_nothing(book, wrong):
    book.log(loss=3.0)
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        book.log(**{"loss": 1.0, **wrong})
    assert (book.step, book.epoch) == (1, None)
    assert book.metrics.history("loss").values.tolist() == [3.0]


def test_tensors_and_bools_are_numbers(book):
    book.log(a=torch.tensor(2.0, requires_grad=True), b=torch.tensor([3]), c=True)
    assert [book.metrics.latest(name).value for name in "abc"] == [2.0, 3.0, 1.0]


def test_the_state_is_json_and_names_no_model(book):
    book.log(loss=1.0, epoch=2)
    state = book.state()
    assert state["model"] == ""
    assert (state["step"], state["epoch"]) == (1, 2)
    assert state["chip"]["mode"] in ("script", "waiting")
