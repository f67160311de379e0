""" "Can I trust this map?" in a page without Jupyter: buttons, progress, answers, refusals."""

import pytest

from tests.browser.alone import darken, frames, serious
from tests.browser.test_gradcam_alone import EVIL, ROOT, painted, show, state

__all__ = ["show"]
CHECKS = ("faithfulness", "weights", "methods")
ABOUT = "Grad-CAM of relu2 for digit 3, image 0, step 5"


def trust(running=None, refusal="", **answers):
    checks = [{"id": check, "refusal": refusal, "cost": "about 3 s"} for check in CHECKS]
    return {"checks": checks, "share": 0.2, "running": running, "answers": answers}


def answer(**changes):
    known = {
        "about": ABOUT, "verdict": "It depends on the weights.", "said": f"0.51 {EVIL}", "note": "",
        "failed": False, "step": 5, "row": 0, "layer": "relu2", "target": 3, "method": "gradcam",
    }  # fmt: skip
    return known | changes


def cam(given):
    return {"message": None, "steps": [], "busy": False, "trust": given}


def panel(page, given):
    """Let Python say ``given``, and wait until that is painted."""
    page.evaluate("(state) => window.model.set('state', state)", state(cam=cam(given)))
    frames(page)


def opened(show, given, **how):
    page = show(cam=cam(given), **how)
    painted(page, "layer", "relu2")
    page.get_by_role("button", name="Can I trust this map?").click()
    page.wait_for_selector(f"{ROOT}.c-asking")
    return page


def actions(page):
    return page.evaluate("window.sent.filter((said) => said.type === 'action').map(({id}) => id)")


def test_a_button_asks_and_progress_is_shown_until_the_answer(show):
    page = opened(show, trust())
    row = page.locator(f"{ROOT} [data-check=weights]")
    assert "about 3 s" in row.inner_text()
    page.get_by_role("combobox", name="Image to check").select_option("2")
    page.get_by_role("button", name="Does it depend on the weights?").click()
    assert actions(page) == ["trust:weights:2"]
    running = {"check": "weights", "share": 0.4, "left_s": 1.2, "about": "of image 2"}
    panel(page, trust(running))
    page.wait_for_selector(f"{ROOT} [data-check=weights][data-state=running]")
    assert row.get_by_role("progressbar").get_attribute("aria-valuenow") == "40"
    assert "40 %, about 2 s of work left" in row.inner_text()
    assert page.get_by_role("button", name="Do other methods agree?").is_disabled()
    row.get_by_role("button", name="Cancel").click()
    assert actions(page)[-1] == "trust:cancel"
    panel(page, trust(weights=answer(row=2)))
    page.wait_for_selector(f"{ROOT} [data-check=weights][data-state=answered]")
    assert row.locator("b").inner_text().strip() == "It depends on the weights."
    assert ABOUT in row.inner_text()
    assert "Not of the map" not in row.inner_text()
    assert page.evaluate("window.harmed") is None


def test_an_answer_stays_and_says_when_it_is_of_another_map(show):
    page = opened(show, trust(weights=answer()))
    row = page.locator(f"{ROOT} [data-check=weights]")
    assert row.locator(".c-stale").inner_text() == ""
    page.get_by_role("slider", name="Layer").press("Home")
    painted(page, "layer", "conv1")
    assert row.locator(".c-stale").inner_text() == "Not of the map shown: layer changed since."
    page.get_by_role("combobox", name="Class", exact=True).select_option("5")
    painted(page, "class", "5")
    assert "layer and class changed" in row.inner_text()
    page.get_by_role("button", name="Can I trust this map?").click()
    page.wait_for_selector(f"{ROOT}:not(.c-asking)")
    page.evaluate("window.rebuild()")
    painted(page, "layer", "conv1")
    assert "1 of 3 checked" in page.locator(f"{ROOT} .c-fold").inner_text()


def test_what_cannot_be_checked_is_disabled_with_a_sentence(show):
    page = opened(show, trust(refusal="It is for one class."))
    buttons = page.locator(f"{ROOT} .c-press > button:first-child")
    assert [button.is_disabled() for button in buttons.all()] == [True] * 3
    said = page.locator(f"{ROOT} .c-answer").all_inner_texts()
    assert all("It is for one class." in each for each in said)
    panel(page, trust())
    assert not buttons.first.is_disabled()
    page.evaluate("window.gone = true")
    page.get_by_role("slider", name="Layer").press("Home")  # the view notices that nobody hears it
    painted(page, "layer", "conv1")
    page.get_by_text("The kernel is gone: nothing can be checked.").wait_for()
    assert buttons.first.is_disabled()


def test_without_a_word_from_python_there_is_no_panel(show):
    page = show()
    painted(page, "layer", "relu2")
    assert not page.locator(f"{ROOT} .c-trust").is_visible()


@pytest.mark.parametrize("width", [900, 400])
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("compact", [False, True])
def test_the_open_panel_has_its_place_and_axe_finds_nothing_serious(show, width, dark, compact):
    running = {"check": "methods", "share": 0.4, "left_s": None, "about": ABOUT}
    given = trust(running, faithfulness=answer(), weights=answer(layer="conv1"))
    page = opened(show, given, width=width, images=2, options={"compact": compact})
    darken(page, ROOT, dark=dark)
    frames(page)
    assert page.locator(ROOT).bounding_box()["height"] <= 640
    assert page.locator(f"{ROOT} .c-rows").bounding_box()["height"] > 60
    end = page.locator(ROOT).bounding_box()
    for part in page.locator(f"{ROOT} .c-check").all():
        box = part.bounding_box()
        assert box["x"] + box["width"] <= end["x"] + end["width"]
    assert serious(page) == []
