"""The widgets of one session share layer, step and sample, unless they are told not to."""

import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from tests.widgets.view import View


@pytest.fixture
def session():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    session = nbv.watch(model, torch.optim.SGD(model.parameters(), lr=0.1), every=1)
    yield session
    session.close()


def picks(*widgets):
    return [widget._choice.pick for widget in widgets]


def test_a_layer_goes_both_ways_and_comes_back_to_nobody(session):
    browser, other = nbv.ActivationBrowser(session), nbv.ActivationBrowser(session)
    inspector = nbv.GradientInspector(session)
    view = View(browser)
    view.intent("layer", "1")
    assert (other.layer, inspector.layer) == ("1", "1")
    revision = browser._moves._revision
    View(inspector).intent("layer", "2")
    assert (browser.layer, other.layer) == ("2", "2")
    assert browser._moves._revision == revision + 1  # told once
    assert session.faults == []


def test_sample_and_step_go_along_and_what_a_widget_lacks_is_left_out(session):
    browser, other = nbv.ActivationBrowser(session), nbv.ActivationBrowser(session)
    inspector = nbv.GradientInspector(session)
    View(browser).intent("sample", 2)
    View(browser).intent("step", 5)
    assert [(pick.sample, pick.step) for pick in picks(other)] == [(2, 5)]
    assert inspector._choice.step == 5
    View(inspector).intent("step", None)
    assert [pick.step for pick in picks(browser, other)] == [None, None]
    View(browser).intent("colormap", "gray")
    assert picks(other)[0].colormap == "viridis"
    assert session.faults == []


def test_a_parameter_takes_browsers_to_its_layer_and_no_layer_leaves_them(session):
    browser, inspector = nbv.ActivationBrowser(session, layer="1"), nbv.GradientInspector(session)
    session.linking.tell(inspector.owner, {"layer": "2.weight"})
    assert browser.layer == "2"
    session.linking.tell(inspector.owner, {"layer": "scale", "step": 4})
    assert (browser.layer, picks(browser)[0].step) == ("2", 4)
    assert session.faults == []


def test_code_moves_the_others_too_and_linked_false_stays_apart(session):
    browser = nbv.ActivationBrowser(session)
    alone = nbv.ActivationBrowser(session, layer="0", linked=False)
    inspector = nbv.GradientInspector(session, linked=False)
    browser.layer = "1"
    assert (alone.layer, inspector.layer) == ("0", "")
    alone.layer = "2"
    View(inspector).intent("layer", "2")
    assert browser.layer == "1"
    with pytest.raises(TypeError, match="linked must be True or False"):
        nbv.ActivationBrowser(session, linked="no")


def test_a_widget_that_follows_a_new_model_leaves_the_old_ones_circle(session, monkeypatch):
    browser, other = nbv.ActivationBrowser(session), nbv.ActivationBrowser(session)
    new = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    monkeypatch.setattr("nbtorchviz.widgets.notebook.find_successor", lambda *_: new)
    browser.follow_successor()
    View(other).intent("layer", "2")
    assert browser.layer != "2"
    browser.session.close()


def test_a_curve_points_at_the_step_of_the_others_and_takes_them_along(session):
    browser, plot = nbv.ActivationBrowser(session), nbv.LiveLossPlot(session)
    inspector, alone = nbv.GradientInspector(session), nbv.LiveLossPlot(session, linked=False)
    View(browser).intent("step", 5)
    assert (plot._state()["pointed"], alone._state()["pointed"]) == (5, None)
    View(plot).intent("step", {"step": 0, "layer": "2"})  # nothing ran: the newest means live
    assert plot._state()["pointed"] is None
    assert (browser.layer, browser._choice.pick.step) == ("2", None)
    assert (inspector.layer, inspector._choice.step) == ("2", None)
    assert session.faults == []
