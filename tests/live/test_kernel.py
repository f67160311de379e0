"""The line into a busy cell, in a real kernel, without a browser."""

import time

import pytest

from nbtorchviz.live.host import SUBSHELL_FEATURE

SETUP = """
import os, sys, threading, time
sys.path.insert(0, {root!r})
import ipywidgets
from nbtorchviz.live.host import detect, in_subshell, kernel_loop_call, route_over_subshell
slider = ipywidgets.IntSlider()
moved = threading.Event()
seen = []
def on_move(change):
    seen.append((change["new"], in_subshell()))
    moved.set()
slider.observe(on_move, "value")
print(slider.comm.comm_id, detect().subshells)
"""
BUSY = "print('busy', flush=True); print('moved in time:', moved.wait({patience}), seen)"


@pytest.fixture
def client(pytestconfig):
    manager_module = pytest.importorskip("jupyter_client.manager")
    manager, client = manager_module.start_new_kernel(kernel_name="python3")
    try:
        client.root = str(pytestconfig.rootpath)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def output(client, request_id, until):
    """Text printed by a cell, up to a word or to its end."""
    text = ""
    while True:
        message = client.get_iopub_msg(timeout=120)
        if message["parent_header"].get("msg_id") != request_id:
            continue
        content = message["content"]
        if message["msg_type"] == "stream":
            text += content["text"]
        elif message["msg_type"] == "error":
            pytest.fail("\n".join(content["traceback"]))
        if until in text or content.get("execution_state") == "idle":
            return text


def run(client, code):
    return output(client, client.execute(code), until="\0")


def subshell(client):
    request = client.session.msg("create_subshell_request")
    client.control_channel.send(request)
    return client.control_channel.get_msg(timeout=120)["content"]["subshell_id"]


def move(client, comm_id, value, subshell_id):
    data = {"method": "update", "state": {"value": value}, "buffer_paths": []}
    message = client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
    message["header"]["subshell_id"] = subshell_id
    client.shell_channel.send(message)


def test_a_move_reaches_a_busy_cell_over_a_subshell(client):
    text = run(client, SETUP.format(root=client.root))
    comm_id, has_subshells = text.split()
    if has_subshells != "True":
        pytest.skip(f"this kernel has no {SUBSHELL_FEATURE}")
    subshell_id = subshell(client)
    run(client, "route_over_subshell(slider.comm)")
    busy = client.execute(BUSY.format(patience=120))
    output(client, busy, until="busy")
    began = time.monotonic()
    move(client, comm_id, 7, subshell_id)
    assert "moved in time: True [(7, True)]" in output(client, busy, until="\0")
    assert time.monotonic() - began < 100


def test_calls_posted_from_a_thread_run_on_the_main_thread_between_cells(client):
    comm_id, has_subshells = run(client, SETUP.format(root=client.root)).split()
    if has_subshells != "True":
        pytest.skip(f"this kernel has no {SUBSHELL_FEATURE}")
    subshell_id = subshell(client)
    code = """
route_over_subshell(slider.comm)
ran, handled = [], threading.Semaphore(0)
slider.observe(lambda change: handled.release(), "value")
def post():
    kernel_loop_call(lambda: ran.append(threading.current_thread() is threading.main_thread()))
thread = threading.Thread(target=post); thread.start(); thread.join()
print('posted', flush=True)
print('handled', sum(handled.acquire(timeout=120) for _ in range(5)), 'during the cell', ran)
"""
    busy = client.execute(code)
    output(client, busy, until="posted")
    for value in range(1, 6):
        move(client, comm_id, value, subshell_id)
    assert "handled 5 during the cell []" in output(client, busy, until="\0")
    assert "after it [True]" in run(client, "print('after it', ran)")


UNATTENDED = """
import os, sys
sys.path.insert(0, {root!r})
for name in list(os.environ):  # this kernel's parent may have been started by a front end
    if name.startswith(("JPY_", "VSCODE_")):
        del os.environ[name]
import torch
import nbtorchviz as nbv
model = torch.nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
session = nbv.watch(model, optimizer)
controls = nbv.TrainingControls(session)
display(controls)
session.pause_when("step() >= 5")
session.on_nonfinite("stop", every_step=True)
"""
LOOP = """
for step in range(20):
    optimizer.zero_grad()
    model(torch.full((3, 4), float("nan") if step == 9 else 1.0)).mean().backward()
    optimizer.step()
print("trained", session.step)
print(controls.summary())
"""


def test_a_kernel_that_no_front_end_looks_at_is_not_held(client):
    run(client, UNATTENDED.format(root=client.root))
    text = run(client, LOOP)  # two minutes without a word would fail
    assert "trained 20" in text
    assert text.count("nbtorchviz: not paused at step 5") == 1
    assert "Training goes on: No front end has answered in this kernel" in text
