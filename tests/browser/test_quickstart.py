"""A new user's first minute: open the quickstart, choose Run All, look."""

from pathlib import Path

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "quickstart.ipynb"
TIMEOUT_S = 300


def index_of(page, cell_id):
    return page.page.evaluate(
        """(id) => {
          const { cells } = window.jupyterapp.shell.currentWidget.content.model;
          return [...Array(cells.length).keys()].find((i) => cells.get(i).id === id);
        }""",
        cell_id,
    )


def test_run_all_shows_pictures_while_it_trains_and_ends_well(open_notebook):
    page = open_notebook(source=NOTEBOOK, name="quickstart-run-all.ipynb")
    page.command("notebook:clear-all-cell-outputs")
    page.run_all()
    train = index_of(page, "train")
    page.wait_running(train)
    page.view().scroll_into_view_if_needed()  # Run All leaves the page at its end
    first = page.wait_painted(from_step=1, timeout_s=TIMEOUT_S)
    page.wait_painted(
        after=int(first["seq"]), from_step=int(first["step"]) + 1, timeout_s=TIMEOUT_S
    )
    assert page.cell(train)["outputs"] == []  # the loop was still running
    page.wait_done(timeout_s=TIMEOUT_S)
    assert "held-out digits read correctly: 9" in page.text(train)
    assert "block1.relu: ('C', 'H', 'W') (16, 28, 28) in train" in page.text(index_of(page, "join"))
    failed = page.page.evaluate(
        """() => window.jupyterapp.shell.currentWidget.content.model.toJSON().cells
          .flatMap((cell) => cell.outputs ?? [])
          .filter((output) => output.output_type === "error" || output.name === "stderr")"""
    )
    assert failed == []
    assert [line for line in page.console if "nbtv" in line] == []
