"""Layers chosen by keyboard while an ordinary loop trains in the kernel."""

import pytest

from tests.browser.loops import SETUP

MODEL = f"""{SETUP}
model = nn.Sequential()
for number in range(6):
    model.add_module(f"conv{{number}}", nn.Conv2d(3 if number == 0 else 8, 8, 3, padding=1))
    model.add_module(f"relu{{number}}", nn.ReLU())
model.add_module("head", nn.Sequential(nn.Flatten(), nn.Linear(8 * 16 * 16, 10)))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
inputs, labels = torch.randn(32, 3, 16, 16), torch.randint(0, 10, (32,))
browser = nbv.ActivationBrowser(model, layer="conv0")
display(browser)
"""
MOVES = 12


@pytest.fixture
def training(open_notebook, loop):
    """Return a function that opens a host and returns once its loop is shown."""

    def start(app="lab"):
        page = open_notebook([MODEL, loop.cell()], app=app)
        page.run_all()
        loop.begun()
        page.view().scroll_into_view_if_needed()
        page.wait_painted(layer="conv0", from_step=1)
        return page

    return start


def end_at(page, loop, layer):
    """Let the loop end once Python has heard of the last choice: a thumbnail needs no Python."""
    loop.until(f"browser.layer == {layer!r}")
    assert "ended" not in page.text(1)
    loop.end()
    page.wait_text(1, "ended")


def slider(page, name):
    return page.view().get_by_role("slider", name=name)


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_every_move_of_layer_is_painted_while_the_cell_runs(training, loop, app):
    page = training(app)
    layers = ["conv0"]
    slider(page, "Layer").focus()
    for _ in range(MOVES):
        before = page.painted()
        page.page.keyboard.press("ArrowRight")
        page.page.wait_for_function(
            "(layer) => document.querySelector('.nbtv-activation-browser').dataset.layer !== layer",
            arg=before["layer"],
        )
        layers.append(page.painted()["layer"])
    assert len(set(layers)) == MOVES + 1, layers
    end_at(page, loop, layers[-1])


def test_a_storm_ends_on_the_last_choice_and_goes_on_live(training, loop):
    page = training()
    slider(page, "Layer").focus()
    for key in ["ArrowRight"] * 40 + ["ArrowLeft"] * 40 + ["Home"] + ["ArrowRight"] * 3:
        page.page.keyboard.press(key)
    assert slider(page, "Layer").input_value() == "3"  # input, conv0, relu0, conv1
    painted = page.wait_painted(layer="conv1")  # a thumbnail, without seq, does not count
    page.wait_painted(
        after=int(painted["seq"]), layer="conv1", from_step=int(painted["step"] or 0) + 1
    )
    end_at(page, loop, "conv1")
