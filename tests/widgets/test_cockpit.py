import pytest
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.widgets import notebook
from nbtorchviz.widgets.cockpit import Cockpit


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
