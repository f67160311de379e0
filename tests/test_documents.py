"""The documents are true: their links lead somewhere and their commands are what CI runs."""

import re
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_to_files_that_exist(path):
    targets = re.findall(r"\]\(([^)#\s]+)", path.read_text())
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (path.parent / target).exists()] == []


def test_ci_runs_the_readmes_own_test_command():
    (line,) = [line for line in README.splitlines() if line.startswith('pip install -e ".[test]"')]
    install, test = line.split("#")[0].strip().split(" && ")
    ci = (ROOT / ".ci" / "run").read_text()
    assert install in ci
    assert f"&& {test};" in ci
    assert "NBTORCHVIZ_REQUIRE_BROWSER=1" in ci


def test_ci_script_is_valid_and_executable():
    script = ROOT / ".ci" / "run"
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert script.stat().st_mode & stat.S_IXUSR


def test_the_readmes_code_runs_as_printed(capsys):
    import torch
    from torch import nn

    (code,) = re.findall(r"## Five lines\n\n```python\n(.*?)```", README, re.DOTALL)
    torch.manual_seed(0)
    shown = []
    model = nn.Linear(4, 2)
    names = {
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
        "criterion": nn.CrossEntropyLoss(),
        "loader": [(torch.randn(8, 4), torch.randint(0, 2, (8,))) for _ in range(3)],
        "display": shown.append,
    }
    exec(code, names)
    session = names["session"]
    try:
        assert shown == [session]
        assert session.step == 3
        assert session.faults == []
    finally:
        session.close()
