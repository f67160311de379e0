"""Pin in JupyterLab: the image that was on screen stays, though training went on meanwhile."""

import pytest

from tests.browser.loops import BROWSER, MODEL, STEP

NEW = "inputs = torch.rand_like(inputs)\n"
PIXELS = """() => {
  const canvas = document.querySelector(".nbtv-input-box canvas"), { width, height } = canvas;
  return [...canvas.getContext("2d").getImageData(0, 0, width, height).data].join();
}"""
PINNED = "() => document.querySelector('.nbtv-when').textContent.includes('pinned')"
PRESSED = f"""() => {{
  const seen = ({PIXELS})();
  document.querySelector(".nbtv-input button").click();
  return seen;
}}"""


@pytest.mark.parametrize("held", [True, False])
def test_pin_keeps_the_image_that_is_on_screen(open_notebook, loop, held):
    page = open_notebook([MODEL + BROWSER, loop.cell(NEW + STEP)])
    page.run_cell(0)
    page.wait_done(0)
    page.view().scroll_into_view_if_needed()
    page.run_cell(1)
    loop.begun()
    page.wait_painted(from_step=5)
    if held:
        page.view().get_by_role("button", name="Hold").click()
        step = loop.ask("browser.session.step")
        loop.until(f"browser.session.step > {step + 50}")  # other images have passed meanwhile
    seen = page.page.evaluate(PRESSED)
    page.page.wait_for_function(PINNED)
    page.page.wait_for_function(f"(seen) => ({PIXELS})() === seen", arg=seen)
    assert loop.ask("browser.session.faults") == []
    loop.end()
    page.wait_done()
