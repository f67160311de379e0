"""The first NaN in the ActivationBrowser's view: the tensors before it, and what came out."""

import base64
import json
import os
from pathlib import Path

import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from tests.browser.alone import frames, sent, show_alone
from tests.models import ScaledLog
from tests.widgets.view import View

SHOTS = os.environ.get("NBTORCHVIZ_SHOTS")
ROOT = ".nbtv-activation-browser"
REPORT = ".nbtv-report:not([hidden])"
PICTURES = f"{REPORT} .nbtv-piece canvas[role=img]"


class Scores(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4 * 6 * 6, 3)

    def forward(self, x):
        return self.head(torch.sqrt(self.conv(x) + 0.4).flatten(1))


def recorded(model, x):
    """Traits and packets after a step that broke."""
    torch.manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    session = nbv.watch(model, optimizer, every=1)
    session.on_nonfinite("tell", every_step=True)
    widget = nbv.ActivationBrowser(session)
    View(widget)
    model(x).sum().backward()
    optimizer.step()
    session.flush()
    names = ("kind", "options", "layers", "selection", "state")
    traits = json.loads(json.dumps({name: getattr(widget, name) for name in names}))
    traits["state"]["chip"] |= {"mode": "live", "latency_ms": 40, "cost": 0.01}
    traits["state"]["status"] = None
    packets = {
        name: base64.b64encode(getattr(widget, name)).decode() for name in ("picture", "nonfinite")
    }
    widget.close()
    session.close()
    return traits, packets


@pytest.fixture(scope="module")
def images():
    torch.manual_seed(0)
    return recorded(Scores(), torch.rand(4, 1, 8, 8))


@pytest.fixture(scope="module")
def small():
    return recorded(ScaledLog(), torch.tensor([[1.0, -2.0], [0.5, 4.0]]))


@pytest.fixture
def show(context):
    def show(recorded, width=900, *, dark=False, **options):
        traits, packets = recorded
        given = json.loads(json.dumps(traits)) | {"options": options}
        page = show_alone(context, given, packets, width=width)
        if dark:
            page.evaluate("document.body.dataset.jpThemeLight = 'false'")
            page.evaluate("document.body.style.background = '#111'")
        page.wait_for_selector(f"{ROOT}[data-nonfinite='1'] {REPORT}")
        page.wait_for_selector(PICTURES)
        return page

    return show


def shot(page, name):
    if SHOTS:
        frames(page)
        page.locator(ROOT).screenshot(path=str(Path(SHOTS) / f"{name}.png"))


def reddish(page, index):
    """Share of pixels of a picture that have the colour of errors."""
    return page.evaluate(
        """([selector, index]) => {
          const canvas = document.querySelectorAll(selector)[index];
          const style = getComputedStyle(canvas.closest(".nbtv-view"));
          const probe = document.createElement("i");
          probe.style.color = style.getPropertyValue("--nbtv-error");
          document.body.append(probe);
          const [r, g, b] = getComputedStyle(probe).color.match(/\\d+/g).map(Number);
          const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let count = 0;
          const far = (i) => [r, g, b].reduce((sum, v, k) => sum + Math.abs(data[i + k] - v), 0);
          for (let i = 0; i < data.length; i += 4) count += far(i) < 30;
          return count / (data.length / 4);
        }""",
        [PICTURES, index],
    )


def test_it_is_shown_by_itself_with_both_tensors(show, images):
    page = show(images)
    shot(page, "nonfinite_wide")
    names = page.locator(f"{REPORT} .nbtv-piece > b").all_text_contents()
    assert names == ["input 0 of sqrt", "result of sqrt"]
    assert (
        "First NaN at step 1, forward: sqrt" in page.locator(f"{REPORT} .nbtv-error b").inner_text()
    )
    assert "test_nonfinite_alone.py:" in page.locator(f"{REPORT} code").inner_text()
    assert "NaN of 576" in page.locator(f"{REPORT} .nbtv-after .nbtv-report-bad").inner_text()
    assert reddish(page, 0) == 0
    assert reddish(page, 1) > 0.01
    assert sent(page, "ack")


@pytest.mark.parametrize(
    ("name", "width", "dark", "options"),
    [
        ("dark", 900, True, {}),
        ("compact", 900, False, {"compact": True}),
        ("narrow", 400, False, {}),
        ("narrow_compact", 400, True, {"compact": True}),
    ],
)
def test_it_fits_everywhere(show, images, name, width, dark, options):
    page = show(images, width, dark=dark, **options)
    frames(page)
    shot(page, f"nonfinite_{name}")
    inside = page.evaluate(
        """(selector) => {
          const report = document.querySelector(selector), box = report.getBoundingClientRect();
          const within = (el) => {
            const {left, right} = el.getBoundingClientRect();
            return left >= box.left && right <= box.right + 1;
          };
          return report.scrollWidth <= report.clientWidth + 1
            && [...report.querySelectorAll("canvas")].every(within);
        }""",
        REPORT,
    )
    assert inside


def test_small_tensors_have_their_numbers_and_the_pointer_reads_both(show, small):
    page = show(small)
    shot(page, "nonfinite_small")
    page.locator(PICTURES).nth(1).hover(position={"x": 60, "y": 10})
    page.wait_for_function(
        "document.querySelector('.nbtv-report-read').textContent === "
        "'row 0, col 1: input 0 of log \u22124.000, result of log NaN'"
    )
    assert "scale (2) 1.00 to 2.00" in page.locator(".nbtv-report-lines").inner_text()


def test_maps_come_back_and_show_calls_it_again(show, images):
    page = show(images)
    page.locator(REPORT).get_by_role("button", name="Maps", exact=True).click()
    page.wait_for_selector(f"{ROOT}[data-nonfinite=''] .nbtv-cell")
    assert page.locator(REPORT).count() == 0
    page.get_by_label("Show").select_option(label="first NaN")
    page.wait_for_selector(f"{ROOT}[data-nonfinite='1'] {REPORT}")
    page.get_by_label("Show").select_option(label="all layers")
    page.wait_for_selector(f"{ROOT}[data-nonfinite='']")


def test_a_rebuilt_view_does_not_open_it_again(show, images):
    page = show(images)
    page.locator(REPORT).get_by_role("button", name="Maps", exact=True).click()
    page.wait_for_selector(f"{ROOT}[data-nonfinite='']")
    page.evaluate("window.rebuild()")
    page.wait_for_selector(f"{ROOT}[data-nonfinite=''] .nbtv-cell")


def test_it_goes_when_python_looks_for_the_next(show, images):
    page = show(images)
    page.evaluate("model.set('state', {...model.get('state'), nonfinite: null})")
    page.wait_for_selector(f"{ROOT}[data-nonfinite=''] .nbtv-cell")
    assert page.get_by_label("Show").locator("option").all_text_contents()[-1] == "all layers"
