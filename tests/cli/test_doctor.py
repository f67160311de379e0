import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nbtorchviz.cli import doctor, servers
from nbtorchviz.cli.servers import EXTENSIONS, Server


def environment(root, extensions=tuple(EXTENSIONS), lab="4.6.6"):
    """A Python environment as a server's doctor sees it."""
    packages = root / "lib" / "python3.12" / "site-packages"
    packages.mkdir(parents=True)
    (root / "bin").mkdir()
    (root / "bin" / "python").touch()
    (root / "bin" / "jupyter-lab").touch()
    for extension in extensions:
        folder = root / "share" / "jupyter" / "labextensions" / extension
        folder.mkdir(parents=True)
        (folder / "package.json").write_text("{}")
    if lab is not None:
        info = packages / f"jupyterlab-{lab}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: jupyterlab\nVersion: {lab}\n")
    return root


@pytest.fixture(autouse=True)
def no_extensions_of_this_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(servers, "_system_folders", list)
    monkeypatch.setattr(servers, "_jupyter_folder", lambda name: tmp_path / "nothing")
    monkeypatch.delenv("JUPYTER_PATH", raising=False)


@pytest.mark.parametrize(
    ("name", "wanted", "found", "level"),
    [
        ("bqplot", "bqplot>=0.13,<0.14", "0.13.1", "ok"),
        ("bqplot", "bqplot>=0.13,<0.14", "0.12.9", "fix"),
        ("bqplot", "bqplot>=0.13,<0.14", "0.14.0", "fix"),
        ("torch", "torch>=2.4", "2.14.1+cpu", "ok"),
        ("torch", "torch>=2.4", "2.3.1", "fix"),
        ("ipykernel", "ipykernel>=7.0", "6.31.0", "note"),
        ("ipykernel", "ipykernel>=7.0", "7.0.0a1", "ok"),
        ("anywidget", "anywidget>=0.9.13", None, "fix"),
    ],
)
def test_versions(name, wanted, found, level):
    finding = doctor.check_package(name, wanted, found)
    assert finding.level == level
    assert bool(finding.command) == (level != "ok")
    if finding.command:
        assert finding.command == f'{sys.executable} -m pip install "{wanted}"'


def test_a_server_with_everything(tmp_path):
    root = environment(tmp_path / "lab")
    (finding,) = doctor.check_server(Server(7, 8888, root))
    assert (finding.level, finding.text) == ("ok", "has the widget code")


def test_a_server_without_widget_code_gets_the_command_for_its_own_environment(tmp_path):
    root = environment(tmp_path / "base", extensions=["bqplot", "ipycanvas"])
    (finding,) = doctor.check_server(Server(7, 8888, root))
    assert finding.level == "fix"
    assert "jupyterlab_widgets, anywidget: widgets will not appear" in finding.text
    assert finding.command.startswith(
        f'{root}/bin/python -m pip install "jupyterlab_widgets" "anywidget>=0.9.13"'
    )


def test_a_lab_without_subshells_is_noted(tmp_path):
    root = environment(tmp_path / "old", lab="4.3.5")
    code, lab = doctor.check_server(Server(7, 8888, root))
    assert (code.level, lab.level) == ("ok", "note")
    assert lab.command == f'{root}/bin/python -m pip install "jupyterlab>=4.4"'


def test_a_server_whose_environment_is_unknown_is_said_to_be_so():
    (finding,) = doctor.check_server(Server(7, 8888, None))
    assert finding.level == "unknown"
    assert "cannot be told" in finding.text
    assert "jupyterlab_widgets" in finding.command


def test_environment_of_a_command_line(tmp_path):
    root = environment(tmp_path / "venv")
    python, script = str(root / "bin" / "python"), str(root / "bin" / "jupyter-lab")
    assert servers.environment_of([python, script, "--no-browser"]) == root
    assert servers.environment_of(["python", script]) == root
    assert servers.environment_of(["python", "-m", "jupyterlab"]) is None
    assert servers.environment_of([str(tmp_path / "bin" / "gone")]) is None
    assert servers.environment_of([]) is None


def test_a_virtual_environment_is_not_taken_for_the_python_it_links_to(tmp_path):
    real = environment(tmp_path / "real")
    venv = environment(tmp_path / "venv")
    (venv / "bin" / "python").unlink()
    (venv / "bin" / "python").symlink_to(real / "bin" / "python")
    assert servers.environment_of([str(venv / "bin" / "python")]) == venv


def test_running_servers_are_read_from_notes_that_may_be_broken(tmp_path):
    def note(name, content):
        (tmp_path / f"jpserver-{name}.json").write_text(content)

    note("mine", json.dumps({"pid": os.getpid(), "port": 8890}))
    note("dead", json.dumps({"pid": 2**31 - 1, "port": 8891}))
    note("half", '{"pid": 1')
    note("odd", "[]")
    note("wild", json.dumps({"pid": "x"}))
    (found,) = servers.running_servers(tmp_path)
    assert (found.pid, found.port) == (os.getpid(), 8890)
    assert (tmp_path / "jpserver-dead.json").exists()  # nobody asked us to clean up


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_a_process_is_found_in_its_environment():
    if Path(sys.executable).parent.name != "bin":
        pytest.skip("this Python does not lie in an environment's bin folder")
    for name in (sys.executable, Path(sys.executable).name):  # by its path, and found on PATH
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        process = subprocess.Popen(
            [name, "-c", "print(flush=True); input()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PATH": path},
        )
        try:
            process.stdout.readline()
            assert servers.environment_of(servers._command_line(process.pid)) == Path(sys.prefix)
        finally:
            process.communicate(b"\n")


def test_jupyter_path_is_searched_too(tmp_path, monkeypatch):
    environment(tmp_path / "extra")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "extra" / "share" / "jupyter"))
    folders = servers.extension_folders(environment(tmp_path / "bare", extensions=[]))
    assert servers.missing_extensions(folders) == ()


def test_the_real_examination_ends_in_a_readable_report():
    findings = doctor.examine()
    text = doctor.report(findings)
    assert not [f for f in findings if "could not be examined" in f.text]
    assert {"python", "torch", "ipykernel", "mode"} <= {f.subject for f in findings}
    assert ("Nothing to fix." in text) == (doctor.exit_code(findings) == 0)


def test_an_examination_that_fails_is_a_finding(monkeypatch):
    monkeypatch.setattr(doctor, "running_servers", lambda: 1 / 0)
    (finding,) = [f for f in doctor.examine() if f.subject == "servers"]
    assert finding.level == "unknown"
    assert "ZeroDivisionError" in finding.text


def test_the_route_of_the_installed_ipykernel_is_known():
    assert doctor.comm_route() in ("front end", "override")


def test_a_kernel_with_an_unknown_route_is_expected_to_be_one_way(monkeypatch):
    monkeypatch.setattr(doctor, "comm_route", lambda: "unknown")
    (finding,) = doctor._kernel_mode()
    assert finding.level == "note"
    assert "train_in_background" in finding.text


def test_an_old_kernel_is_expected_to_be_one_way(monkeypatch):
    monkeypatch.setattr(doctor, "_version", lambda name: "6.31.0")
    (finding,) = doctor._kernel_mode()
    assert finding.text.startswith("one-way in a plain loop")


def test_the_report_lists_each_command_once_and_counts():
    fix = doctor.Finding("fix", "a", "broken", "do this")
    text = doctor.report([fix, fix, doctor.Finding("ok", "longer name", "fine")])
    assert text.count("do this") == 1
    assert text.endswith("2 to fix.")
    assert doctor.exit_code([fix]) == 1
    assert doctor.exit_code([]) == 0
