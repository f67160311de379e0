import pytest
import torch
from torch import nn

from nbtorchviz.events import InputCaptured
from nbtorchviz.session import watch
from nbtorchviz.session.looks import Look


class Keywords(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(5, 3)

    def forward(self, x, *, y):
        return self.a(x) + self.b(y)


class Batch(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 3)

    def forward(self, batch):
        return self.a(batch["x"])


@pytest.fixture
def opened():
    sessions = []

    def open_session(model, **how):
        sessions.append(watch(model, every=1, **how))
        sessions[-1].recorder.looks.set(1, Look("a", pinned=True))
        sessions[-1].tap.look()
        return sessions[-1]

    yield open_session
    for session in sessions:
        session.close()


def test_pin_keeps_the_keywords_of_the_forward(opened):
    model = Keywords()
    session = opened(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.randn(6, 4), y=torch.randn(6, 5)).sum().backward()
    optimizer.step()
    assert session.pin_batch()
    session.recorder.run_probe()
    assert session.recorder.kept["pinned"].steps("a") == (1,)
    assert not session.faults


def test_probe_takes_a_dictionary_as_keywords_or_as_one_argument(opened):
    for model in (Keywords(), Batch()):
        given = {"x": torch.randn(2, 4), "y": torch.randn(2, 5)}
        session = opened(model)
        session.probe(given)
        assert session.recorder.kept["pinned"].steps("a") == (0,)


def test_pin_keeps_the_label_of_the_batch(opened):
    torch.manual_seed(0)
    model, criterion = nn.Sequential(), nn.CrossEntropyLoss()
    model.add_module("a", nn.Linear(4, 3))
    session = opened(model, criterion=criterion)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    criterion(model(torch.randn(3, 4)), torch.tensor([2, 1, 0])).backward()
    optimizer.step()
    session.pin_batch()
    session.recorder.run_probe()
    assert session.recorder.input["pinned"].label == 2


def test_pin_does_not_borrow_the_label_of_another_batch(opened):
    model = nn.Sequential()
    model.add_module("a", nn.Linear(4, 3))
    session = opened(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.ones(3, 4)).sum().backward()
    optimizer.step()
    values = torch.zeros(4).numpy()
    session.recorder.input["batch"] = InputCaptured(values=values, label=2)
    session.pin_batch()
    session.recorder.run_probe()
    assert session.recorder.input["pinned"].label is None


@pytest.mark.parametrize("labels", [[2, 1], (2, 1), torch.tensor([2, 1])])
def test_labels_of_a_probe_may_be_a_list(opened, labels):
    model = nn.Sequential()
    model.add_module("a", nn.Linear(4, 3))
    session = opened(model, probe=torch.randn(2, 4), labels=labels)
    assert session.recorder.input["pinned"].label == 2


def test_labels_that_do_not_fit_are_refused(opened):
    model = nn.Sequential()
    model.add_module("a", nn.Linear(4, 3))
    session = opened(model)
    with pytest.raises(ValueError, match=r"one class index per item .* got 3 for .*\(2, 4\)"):
        session.probe(torch.randn(2, 4), labels=torch.tensor([1, 2, 0]))
    with pytest.raises(TypeError, match="class indices"):
        session.probe(torch.randn(2, 4), labels=["cat", "dog"])
    for wrong in ([0.5, 1.0], [float("nan"), 1.0], [[1], [2]]):
        with pytest.raises(ValueError, match="labels must be class indices, one per item"):
            session.probe(torch.randn(2, 4), labels=wrong)


def test_a_label_without_a_class_name_is_refused(opened):
    model = nn.Sequential()
    model.add_module("a", nn.Linear(4, 3))
    names, x = ["cat", "dog", "bird"], torch.randn(4, 4)
    words = r"from 0 to 2, as there are 3 class_names: got 9\. Name every class"
    with pytest.raises(ValueError, match=words):
        opened(model, probe=x, labels=[0, 1, 2, 9], class_names=names)
    session = opened(model, probe=x, labels=[0, 1, 2, -100], class_names=names)  # -100: ignored
    with pytest.raises(ValueError, match=words):
        session.probe(x, labels=[0, 1, 2, 9])
    session = opened(model, probe=x, labels=torch.eye(4))  # probabilities
    assert session.recorder.pinned


def test_labels_may_be_whole_floats_or_class_probabilities(opened):
    model = nn.Sequential()
    model.add_module("a", nn.Linear(4, 3))
    for labels in ([2.0, 1.0], torch.tensor([[0.1, 0.2, 0.7], [1.0, 0.0, 0.0]])):
        session = opened(model, probe=torch.randn(2, 4), labels=labels)
        assert session.recorder.input["pinned"].label == 2


def test_a_probe_that_the_model_refuses_is_forgotten_and_the_error_says_what_was_given(opened):
    model = nn.Sequential()
    model.add_module("a", nn.Linear(4, 3))
    session = opened(model)
    with pytest.raises(RuntimeError) as raised:
        watch(model, probe=torch.zeros(2, 9))
    assert "The model refused the probe: Tensor of shape (2, 9)." in raised.value.__notes__[0]
    assert not session.recorder.pinned


def test_labels_that_do_not_fit_leave_what_is_pinned(opened):
    model = nn.Sequential()
    model.add_module("a", nn.Linear(4, 3))
    session = opened(model, probe=torch.randn(2, 4))
    with pytest.raises(ValueError, match="one class index per item"):
        watch(model, probe=torch.randn(2, 4), labels=[1, 2, 0])
    assert session.recorder.pinned
