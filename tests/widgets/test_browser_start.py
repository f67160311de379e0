import pytest
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.widgets.browser_start import remembered_layer


@pytest.mark.parametrize(
    ("layers", "first"),
    [
        ([nn.Flatten(), nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)], "1"),
        ([nn.Sequential(nn.Linear(2, 2)), nn.ReLU()], "0.0"),
        ([], "output"),
    ],
    ids=["first convolution", "first layer that holds no others", "no layer at all"],
)
def test_first_layer_of_a_model_nobody_has_looked_at(layers, first):
    model = nn.Sequential(*layers)
    session = nbv.watch(model)
    assert remembered_layer(session) == first
    session.close()


def test_layer_chosen_last_is_shown_while_it_exists():
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU())
    session = nbv.watch(model)
    session.last_layer = "1"
    assert remembered_layer(session) == "1"
    session.last_layer = "of another model"
    assert remembered_layer(session) == "0"
    session.close()
