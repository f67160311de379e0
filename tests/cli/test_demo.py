import json
import socket
import sys
from importlib.util import find_spec

import nbformat
import pytest

import nbtorchviz
from nbtorchviz.cli import demo, main, server


@pytest.fixture
def as_quickstart(monkeypatch, tmp_path):
    """Let a small notebook of the given cells stand in for the quickstart."""

    def put(*sources):
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        path = tmp_path / "small.ipynb"
        path.write_text(nbformat.writes(nbformat.v4.new_notebook(cells=cells)))
        monkeypatch.setattr(demo, "quickstart", lambda: path)

    return put


def test_copies_the_notebook_that_the_repository_tests(tmp_path, capsys):
    path = nbtorchviz.demo(tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "quickstart.ipynb"
    assert path.read_bytes() == demo.quickstart().read_bytes()
    assert json.loads(path.read_text())["nbformat"] == 4
    assert str(path) in capsys.readouterr().out


def test_keeps_the_copy_a_user_has_changed(tmp_path, capsys):
    mine = tmp_path / "quickstart.ipynb"
    mine.write_text("mine")
    assert nbtorchviz.demo(tmp_path) == mine
    assert mine.read_text() == "mine"
    assert "Kept your copy" in capsys.readouterr().out


def test_folder_that_is_a_file(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["demo", "--no-browser", "--dir", str(tmp_path / "file")]) == 1
    error = capsys.readouterr().err
    assert f"cannot write to {tmp_path / 'file'}" in error
    assert "--dir FOLDER" in error


def test_folder_without_permission(tmp_path, monkeypatch, capsys):
    def refuse(source, target):
        raise PermissionError(13, "Permission denied", str(target))

    monkeypatch.setattr(demo.shutil, "copyfile", refuse)
    assert main(["demo", "--no-browser", "--dir", str(tmp_path)]) == 1
    assert "Permission denied" in capsys.readouterr().err


def test_says_which_pip_command_brings_jupyterlab(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(
        demo.importlib.util,
        "find_spec",
        lambda name: None if name == "jupyterlab" else find_spec(name),
    )
    assert main(["demo", "--no-browser", "--dir", str(tmp_path / "d")]) == 1
    error = capsys.readouterr().err
    assert "jupyterlab not installed" in error
    assert 'python -m pip install -e ".[demo]"' in error
    assert not (tmp_path / "d").exists()


def test_port_taken_names_a_free_one(tmp_path, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["demo", "--no-browser", "--port", str(port), "--dir", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert f"port {port} is taken" in error
    assert "--port" in error


def test_without_a_wish_the_next_free_port(monkeypatch):
    monkeypatch.setattr(server, "_port_problem", lambda port: "is taken" if port < 8890 else None)
    assert server.choose_port(None) == 8890


def test_missing_notebook_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "NAME", "other.ipynb")
    with pytest.raises(server.DemoError, match="Reinstall"):
        nbtorchviz.demo(tmp_path)


def test_check_passes_in_one_line(as_quickstart, capfd, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    as_quickstart("x = 1", "assert x == 1; open('left.txt', 'w').close()")
    assert main(["demo", "--check"]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("ok: 2 cells of quickstart.ipynb ran in ")
    assert out.count("\n") == 1
    assert err == ""
    assert not (tmp_path / "left.txt").exists()  # it ran in a folder of its own


def test_check_fails_in_one_line(as_quickstart, capfd):
    as_quickstart("x = 1", "x / 0")
    assert main(["demo", "--check"]) == 1
    out, err = capfd.readouterr()
    assert out == "FAILED: quickstart.ipynb: ZeroDivisionError: division by zero\n"
    assert err == ""


def test_check_says_when_the_kernel_dies(as_quickstart, capfd):
    as_quickstart("import os; os._exit(1)")
    assert main(["demo", "--check"]) == 1
    out, _ = capfd.readouterr()
    assert out.startswith("FAILED: quickstart.ipynb did not finish: DeadKernelError")
    assert out.count("\n") == 1


def test_check_uses_this_environments_kernel(as_quickstart, capfd):
    as_quickstart(f"import sys; assert sys.prefix == {sys.prefix!r}, sys.prefix")
    assert main(["demo", "--check"]) == 0, capfd.readouterr().out
