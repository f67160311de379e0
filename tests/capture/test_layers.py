import pytest
import torch
from torch import nn

from nbtorchviz.capture.layers import Tree, join_key, split_key, unwrap
from nbtorchviz.capture.tap import Plan
from nbtorchviz.errors import LayerNotFoundError
from tests.models import Odd, Shared


def test_layers_start_in_named_modules_order_and_become_the_order_of_calls(tap_on):
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(2, 2)
            self.block = nn.Sequential(nn.ReLU(), nn.Linear(2, 2))
            self.unused = nn.Linear(2, 2)

        def forward(self, x):
            return self.last(self.block(x))

    model = Backwards()
    tap = tap_on(model, plan=Plan(survey=True))
    before = [info.key for info in tap.layers]
    assert before == ["input", "last", "block", "block.0", "block.1", "unused"]
    model(torch.ones(3, 2)).sum().backward()
    torch.optim.SGD(model.parameters(), 0.0).step()
    infos = {info.key: info for info in tap.layers}
    assert list(infos) == ["input", "block", "block.0", "block.1", "unused", "last"]
    assert (infos["block"].block, infos["block"].depth, infos["block.1"].depth) == (True, 0, 1)
    assert (infos["block.1"].shape, infos["block.1"].detail) == ((2,), "2→2")
    assert infos["unused"].called is False


def test_unknown_layers_name_the_nearest(tap_on):
    tap = tap_on(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))
    assert tap.find("0") == "0"
    assert tap.find("1#3") == "1#3"
    with pytest.raises(LayerNotFoundError, match=r"No layer 'inpt'\. Nearest: 'input' \(3 layers"):
        tap.find("inpt")


def test_aliases_of_shared_modules_lead_to_the_first_name():
    tree = Tree(Shared())
    assert tree.aliases == {"second": "first"}
    assert tree.find("second", ()) == "first"
    assert tree.find("second#1", ()) == "first#1"


def test_containers_that_are_never_called_are_not_layers():
    names = [info.key for info in Tree(Odd()).listing()]
    assert "containers.0" in names
    assert "containers" not in names


def test_keys_split_and_join():
    assert split_key("layer1.0.relu#12") == ("layer1.0.relu", 12)
    assert split_key("layer1") == ("layer1", 0)
    assert join_key("relu", 0) == "relu"
    assert join_key("relu", 2) == "relu#2"


def test_a_users_own_attribute_called_module_keeps_its_name():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = nn.Linear(2, 2)

    assert [info.key for info in Tree(Own()).listing()] == ["input", "module"]
    model = Own()
    assert unwrap(model) is model


@pytest.mark.parametrize(
    ("module", "detail"),
    [
        (nn.Conv2d(16, 32, 3), "16→32, 3×3"),
        (nn.Conv2d(3, 8, (3, 5), stride=2), "3→8, 3×5, stride 2"),
        (nn.Linear(256, 10), "256→10"),
        (nn.MaxPool2d(2), "2×2"),
        (nn.Dropout(0.1), "p 0.1"),
        (nn.LSTM(5, 7, 2, bidirectional=True), "5→7, 2 deep, both directions"),
        (nn.MultiheadAttention(8, 2), "8, 2 heads"),
        (nn.Embedding(100, 8), "100→8"),
        (nn.BatchNorm2d(4), "4"),
        (nn.ReLU(), ""),
    ],
)
def test_details_are_a_few_characters(module, detail):
    assert Tree(nn.Sequential(module)).entries["0"].detail == detail
