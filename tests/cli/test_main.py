import subprocess
import sys

import pytest

import nbtorchviz
from nbtorchviz.cli import main


def test_help_names_both_commands(capsys):
    assert main([]) == 2
    text = capsys.readouterr().out
    assert "demo" in text
    assert "doctor" in text


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"nbtorchviz {nbtorchviz.__version__}\n"


def test_runs_as_a_module_without_loading_torch():
    code = (
        "import sys; from nbtorchviz.cli import main; main([]);"
        "sys.exit('torch' in sys.modules or 'ipywidgets' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("port", ["0", "65536", "many", "8.5"])
def test_no_port(port, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--port", port])
    assert ended.value.code == 2
    assert f"--port: {port} is no port; give one from 1 to 65535" in capsys.readouterr().err
