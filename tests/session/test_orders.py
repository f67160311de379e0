"""Orders that cannot be carried out are refused where they are given."""

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
    ],
)
def test_a_number_is_no_layer(session, order):
    with pytest.raises(TypeError, match="layer must be"):
        order(session)
    assert session.knobs.pending == ()


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
