"""Copies and checkpoints made while hooks are armed need no nbtorchviz and do nothing."""

import contextlib
import copy
import io
import pickle
import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from nbtorchviz.capture.tap import Plan, Want
from tests.capture.desk import hook_count


@pytest.fixture
def armed(tap_on, desk):
    """A model whose forward was entered: root hooks and layer hooks are on it."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    tap = tap_on(model, plan=Plan((Want("0", gradient=True),), survey=True, statistics=True))
    tap._course.root_began(model, (torch.zeros(2, 1, 4, 4),), {})
    assert hook_count(model) > 4
    return model


def test_deepcopy_of_an_armed_model_publishes_nothing(armed, desk):
    twin = copy.deepcopy(armed)
    for module in twin.modules():
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values()):
            assert type(hook.__self__) is contextlib.nullcontext
    before = len(desk.began)
    torch.testing.assert_close(
        twin(torch.ones(1, 1, 4, 4)), torch.relu(armed[0].forward(torch.ones(1, 1, 4, 4)))
    )
    assert len(desk.began) == before
    assert AveragedModel(armed)(torch.ones(1, 1, 4, 4)).shape == (1, 2, 2, 2)


def test_checkpoint_of_an_armed_model_loads_without_nbtorchviz(armed, tmp_path):
    torch.save(armed, tmp_path / "model.pt")
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(armed))
    code = f"""
        import sys
        sys.modules["nbtorchviz"] = None
        import pickle, torch
        from pathlib import Path
        folder = Path({str(tmp_path)!r})
        for model in (
            torch.load(folder / "model.pt", weights_only=False),
            pickle.loads((folder / "model.pickle").read_bytes()),
        ):
            print(tuple(model(torch.ones(1, 1, 4, 4)).shape))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.stdout.split("\n")[:2] == ["(1, 2, 2, 2)"] * 2, done.stderr


def test_state_dict_of_an_armed_model_is_untouched(armed):
    assert list(armed.state_dict()) == ["0.weight", "0.bias"]
    torch.save(armed.state_dict(), io.BytesIO())


def test_nothing_is_stored_on_the_model(tap_on):
    model = nn.Sequential(nn.Linear(2, 2))
    before = {name: set(module.__dict__) for name, module in model.named_modules()}
    tap_on(model)
    assert {name: set(module.__dict__) for name, module in model.named_modules()} == before


def test_pickling_a_tap_is_refused_in_a_sentence(tap_on):
    tap = tap_on(nn.Linear(2, 2))
    with pytest.raises(TypeError, match="cannot be pickled; pickle the model"):
        pickle.dumps(tap)


def test_scripting_a_watched_model_fails_with_one_clear_message(tap_on):
    model = nn.Sequential(nn.Linear(2, 2))
    tap_on(model)
    with pytest.raises(AttributeError, match=r"close\(\) before torch.jit.script"):
        torch.jit._recursive.get_hook_stubs(model)


def test_export_and_trace_of_a_watched_model_work(tap_on, desk):
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    tap_on(model, plan=Plan((Want("0"),), survey=True))
    program = torch.export.export(model, (torch.ones(1, 2),))
    assert program.module()(torch.ones(1, 2)).shape == (1, 2)
    assert desk.faults == []
