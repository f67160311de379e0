"""The demo as a user runs it: a child process, an address, Ctrl-C."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import psutil
import pytest

TIMEOUT_S = 180


def get(url, token=None):
    headers = {"Authorization": f"token {token}"} if token else {}
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        return answer.read()


@pytest.fixture
def demo(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "nbtorchviz", "demo", "--no-browser", "--dir", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield process
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    process.communicate(timeout=TIMEOUT_S)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_prints_one_address_serves_the_notebook_and_stops_clean(demo, tmp_path, stop):
    seen = ""
    while "Ctrl-C" not in seen:
        line = demo.stdout.readline()
        assert line, seen
        seen += line
    (url,) = re.findall(r"http://\S+", seen)
    base, port, token = re.fullmatch(
        r"(http://127\.0\.0\.1:(\d+))/lab/tree/quickstart\.ipynb\?token=(\S+)", url
    ).groups()
    assert json.loads(get(f"{base}/api/contents/quickstart.ipynb?content=0", token))["writable"]
    with pytest.raises(urllib.error.HTTPError, match="403"):
        get(f"{base}/api/contents")
    (lab,) = psutil.Process(demo.pid).children()
    assert token not in " ".join(lab.cmdline())
    assert {c.laddr.ip for c in lab.net_connections("tcp") if c.status == "LISTEN"} == {"127.0.0.1"}

    demo.send_signal(stop)
    rest, _ = demo.communicate(timeout=TIMEOUT_S)
    assert demo.returncode == 0, rest
    assert f"Stopped. Your notebook: {tmp_path / 'quickstart.ipynb'}" in rest
    assert "Traceback" not in seen + rest
    assert not lab.is_running()
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", int(port)))
