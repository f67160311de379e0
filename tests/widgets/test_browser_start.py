import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.errors import LayerNotFoundError
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


def encoder():
    """Its first layer that holds no others is ``self_attn.out_proj``, which is never called."""
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1)


@pytest.mark.parametrize("probe", [True, False])
def test_a_layer_that_is_never_called_is_left_for_one_that_is(probe):
    model, inputs = encoder(), torch.ones(2, 3, 8)
    session = nbv.watch(model, every=1)
    if not probe:
        browser = nbv.ActivationBrowser(session)
        assert browser.layer == "layers.0.self_attn.out_proj"
        for _ in range(2):  # the first forward tells which layers there are
            model(inputs).square().mean().backward()
            torch.optim.SGD(model.parameters(), lr=0.1).step()
    else:
        browser = nbv.ActivationBrowser(session, probe=inputs)
    session.flush()
    assert browser.layer == browser.selection["layer"] == "layers.0.dropout1"
    assert browser.frame.values.shape == (3, 8)
    session.close()


def test_a_layer_that_somebody_named_stays_though_it_is_not_called():
    name = "layers.0.self_attn.out_proj"
    model = encoder()
    browser = nbv.ActivationBrowser(model, layer=name, probe=torch.ones(2, 3, 8))
    assert browser.layer == name
    assert browser.summary().endswith("was not called in the last forward.")
    browser.session.close()
    browser = nbv.ActivationBrowser(model)
    browser.layer = name
    browser.session.probe(torch.ones(2, 3, 8))
    assert browser.layer == name
    browser.session.close()


def test_axes_are_given_for_the_layer_or_by_layer():
    model, inputs = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 3, 1)), torch.ones(2, 1, 5, 6)
    for layout in (("H", "W", "C"), {"1": ("H", "W", "C")}):
        browser = nbv.ActivationBrowser(model, layer="1", probe=inputs, layout=layout)
        assert browser.frame.axes == ("H", "W", "C")
        browser.session.close()
    with pytest.raises(LayerNotFoundError, match="nope"):
        nbv.ActivationBrowser(model, probe=inputs, layout={"nope": ("C", "H", "W")})
    nbv.watch(model).close()


class Sparse(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, x):
        return getattr(x.relu(), self.how)()


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
@pytest.mark.parametrize("how", ["to_sparse", "to_sparse_csr"])
def test_an_output_that_is_sparse_has_a_prediction_and_no_fault(how):
    torch.manual_seed(0)
    model, inputs = nn.Sequential(nn.Linear(6, 4), Sparse(how)), torch.randn(3, 6)
    browser = nbv.ActivationBrowser(model, layer="0", probe=inputs)
    assert browser.session.faults == []
    assert browser.frame.values.shape == (4,)
    browser.session.close()
