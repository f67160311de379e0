"""Orders that cannot be carried out are refused where they are given."""

import numpy as np
import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.errors import SessionClosedError


@pytest.fixture
def session():
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    session = nbv.watch(model, optimizer)
    session.test_keeps = model, optimizer
    yield session
    session.close()


@pytest.mark.parametrize(
    "order",
    [
        lambda session: session.knobs.freeze(0),
        lambda session: session.knobs.unfreeze(0),
        lambda session: session.knobs.dropout(0.1, 1),
        lambda session: nbv.GradientInspector(session, layer=0),
        lambda session: nbv.GradientInspector(session).select(layer=0),
        lambda session: nbv.ActivationBrowser(session, layer=0),
        lambda session: nbv.ActivationBrowser(session).select(layer=np.int64(0), call=1),
        lambda session: nbv.GradCAMViewer(session, layer=0),
        lambda session: nbv.GradCAMViewer(session).select(layer=0),
        lambda session: nbv.gradcam(session.model, torch.ones(2, 3), layer=0),
        lambda session: nbv.gradcam(session.model, torch.ones(2, 3), layer=["0", 0]),
        lambda session: session.set_layout({0: "F"}),
    ],
)
def test_a_number_is_no_layer_and_its_name_is_told(session, order):
    with pytest.raises(TypeError, match=r'(layer|layout) must be .* write "[01]", got'):
        order(session)
    assert session.knobs.pending == ()
    assert session.faults == []


@pytest.mark.parametrize("layer", [None, True, b"0"])
def test_what_is_no_number_either_is_refused_without_such_advice(session, layer):
    with pytest.raises(TypeError, match="layer must be the name of a layer, got"):
        session.knobs.unfreeze(layer)
    with pytest.raises(TypeError, match="layer must be the key of a layer"):
        nbv.GradCAMViewer(session).select(layer=layer)


@pytest.mark.parametrize(
    "order",
    [
        lambda session: session.pause_when("loss > 1"),
        lambda session: session.knobs.set(lr=0.1),
        lambda session: session.knobs.freeze("0"),
        lambda session: session.knobs.unfreeze(""),
        lambda session: session.knobs.dropout(0.1),
        lambda session: session.on_nonfinite("tell"),
    ],
)
def test_a_closed_session_takes_no_orders(session, order):
    session.close()
    with pytest.raises(SessionClosedError):
        order(session)


def test_every_step_is_true_or_false(session):
    with pytest.raises(TypeError, match="every_step must be True or False, got 'yes'"):
        session.on_nonfinite("tell", every_step="yes")


def test_a_widget_without_options_says_that_it_takes_none(session):
    with pytest.raises(TypeError, match="unknown keyword 'foo'; it takes none"):
        nbv.TrainingControls(session, foo=1)
