import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.widgets import notebook
from nbtorchviz.widgets.cockpit import TABS, Cockpit, CockpitTabs
from nbtorchviz.widgets.findings_panel import FindingsPanel
from tests.widgets.view import View


@pytest.mark.parametrize("part", ["header", "activations", "loss"])
def test_one_click_takes_every_part_to_the_new_model(monkeypatch, part):
    old, new = nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    cockpit = Cockpit(old)
    before = cockpit.session
    monkeypatch.setattr(notebook, "find_successor", lambda *_: new)
    getattr(cockpit, part)._on_message(None, {"type": "action", "view": "v", "id": "follow"}, [])
    assert cockpit.session.model is new
    assert {child.session for child in cockpit.children} == {nbv.watch(new)}
    assert cockpit.activations.layer in cockpit.session.layers
    assert cockpit.session.faults == []
    cockpit.close()
    cockpit.session.close()
    before.close()


def test_every_tab_has_the_view_that_its_part_draws():
    cockpit = Cockpit(nn.Sequential(nn.Linear(2, 2)))
    tabs = next(part for part in cockpit.children if isinstance(part, CockpitTabs))
    shown = cockpit.children[3:]
    assert tabs.options["tabs"] == [
        [tab.name, part.kind, tab.counts] for tab, part in zip(TABS, shown, strict=True)
    ]
    assert [tab.name for tab in TABS if tab.counts] == ["Findings"]
    cockpit.session.close()


def test_show_me_takes_the_other_parts_to_the_layer():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    cockpit = Cockpit(model)
    panel = next(part for part in cockpit.children if isinstance(part, FindingsPanel))
    View(panel).intent("layer", "2.weight")
    assert cockpit.activations.layer == "2"
    View(panel).intent("harm", "2")
    assert cockpit.session.faults == []
    cockpit.session.close()


def test_findings_say_what_was_judged_and_name_the_first_nan():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    session = nbv.watch(model, optimizer, every=1)
    panel, inspector = FindingsPanel(session), nbv.GradientInspector(session)
    assert panel._state()["gradients"]["judged"] is None
    assert panel.summary() == "Findings of Sequential: no step yet"
    for scale in (1.0, float("nan")):
        (model(torch.ones(3, 2)).sum() * scale).backward()
        optimizer.step()
    session.flush()
    state = panel._state()["gradients"]
    first = state["findings"][0]
    assert (state["judged"], first["rule"], first["since_step"]) == (2, "first_nonfinite", 2)
    assert first["title"] == session.first_nonfinite.title
    assert first["remedy"]
    assert first["title"] in panel.summary()
    assert inspector._state()["gradients"] == state
    assert first["title"] in inspector.summary()
    session.close()
