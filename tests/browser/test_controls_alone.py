"""The view of TrainingControls in a page without Jupyter: what it says, sends and keeps."""

import copy

import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.widgets.base import BUNDLE
from tests.browser.alone import crowded, frames, sent, show_alone

DEAF = "this host reads controls only when the cell ends"
ONE_WAY = {
    "code": "one_way", "level": "warn", "title": f"One-way: {DEAF}.", "lines": [],
    "code_line": "session.train_in_background(fn)", "table": None, "actions": [],
}  # fmt: skip


@pytest.fixture(scope="module")
def traits():
    """What a widget of a small model sends before training."""
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 2))
    groups = [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[3].parameters()}]
    optimizer = torch.optim.SGD(groups, lr=0.2, momentum=0.9)  # held weakly by the session
    session = nbv.watch(model, optimizer)
    controls = nbv.TrainingControls(session)
    for text in ("isnan(loss)", "grad_norm(0) > 100"):
        session.pause_when(text)
    session.flush()
    state = controls._state()
    session.close()
    return {"state": state, "vocabulary": controls.vocabulary, "options": {}, "beat": 0}


def show(context, traits, width=900):
    bundle = BUNDLE.with_name("controls.js")
    return show_alone(context, copy.deepcopy(traits), {}, width=width, bundle=bundle)


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def answer(page, state, error, **changes):
    """Answer the newest question of the view."""
    asked = sent(page, "intent")[-1]
    fresh = copy.deepcopy(state)
    fresh["controls"].update(changes)
    fresh["controls"]["answers"] = [{"view": asked["view"], "n": asked["n"], "error": error}]
    page.evaluate("(state) => window.model.set('state', state)", fresh)


def asked(page):
    return [(each["name"], each["value"]) for each in sent(page, "intent")]


def test_what_cannot_be_pressed_says_why(context, traits):
    page = show(context, traits)
    assert button(page, "Pause").get_attribute("aria-disabled") == "true"
    button(page, "Pause").click(force=True)
    page.get_by_role("alert").get_by_text("Pause: nothing is training.").wait_for()
    assert asked(page) == []
    state = copy.deepcopy(traits["state"])
    state["controls"]["can"] = dict.fromkeys(state["controls"]["can"], DEAF)
    state["status"] = ONE_WAY
    page.evaluate("(state) => window.model.set('state', state)", state)
    page.get_by_text(ONE_WAY["code_line"]).wait_for()
    assert page.get_by_role("combobox", name="Condition").is_disabled()
    assert page.get_by_role("textbox", name="Momentum").is_disabled()


def test_groups_that_differ_are_set_one_by_one(context, traits):
    page = show(context, traits)
    rate = page.get_by_role("textbox", name="Learning rate of group 1")
    assert rate.input_value() == "0.2"
    button(page, "Learning rate of group 1 divided by 10").click()
    assert rate.input_value() == "0.02"
    page.keyboard.press("Escape")
    assert rate.input_value() == "0.2"
    rate.fill("0.05")
    rate.press("Enter")
    assert asked(page) == [("knob", {"knob": "lr", "target": 1, "value": "0.05"})]
    answer(page, traits["state"], "", waiting=[["lr", "1", "lr 0.05 (1)"]])
    page.get_by_text("→ 0.05 after the next step").wait_for()
    assert rate.input_value() == "0.2"  # until it is done
    rate.fill("0.04")
    rate.press("Enter")
    rate.fill("0.045")  # before the answer to 0.04 has come
    answer(page, traits["state"], "", waiting=[["lr", "1", "lr 0.04 (1)"]])
    page.get_by_text("now 0.2").wait_for()
    frames(page)
    assert rate.input_value() == "0.045"
    rate.press("Enter")
    assert asked(page)[-1] == ("knob", {"knob": "lr", "target": 1, "value": "0.045"})
    answer(page, traits["state"], "", waiting=[["lr", "1", "lr 0.045 (1)"]])
    page.get_by_text("→ 0.045 after the next step").wait_for()
    page.get_by_role("combobox", name="Layer to freeze").select_option("3")
    button(page, "Freeze").click()
    assert asked(page)[-1] == ("freeze", {"layer": "3", "frozen": True})


def test_a_rebuilt_view_keeps_what_was_typed_and_hears_the_answer(context, traits):
    page = show(context, traits)
    field = page.get_by_role("combobox", name="Condition")
    field.fill("los > 5 and")
    field.press("Enter")
    page.get_by_role("textbox", name="Momentum").fill("0.95")
    page.evaluate("window.rebuild()")
    page.wait_for_function("() => document.activeElement.ariaLabel === 'Momentum of all 2 groups'")
    answer(page, traits["state"], "'los > 5 and' is no condition. Accepted: comparisons.")
    page.get_by_role("alert").get_by_text("is no condition.").wait_for()
    assert field.input_value() == "los > 5 and"
    assert field.get_attribute("aria-invalid") == "true"
    assert page.get_by_role("textbox", name="Momentum").input_value() == "0.95"
    field.fill("loss > 5")
    assert page.get_by_role("alert").get_by_text("is no condition.").count() == 0


def told(page, state, *errors):
    """Answer the newest questions of the view in one message, the oldest first."""
    newest = sent(page, "intent")[-len(errors) :]
    fresh = copy.deepcopy(state)
    fresh["controls"]["answers"] = [
        {"view": each["view"], "n": each["n"], "error": error}
        for each, error in zip(newest, errors, strict=True)
    ]
    page.evaluate("(state) => window.model.set('state', state)", fresh)


def typed(page, *conditions):
    field = page.get_by_role("combobox", name="Condition")
    for text in conditions:
        field.fill(text)
        field.press("Enter")
    return field


def test_a_refused_second_condition_stays_beside_its_error(context, traits):
    page = show(context, traits)
    field = typed(page, "loss > 5", "los > 6")
    told(page, traits["state"], "", "'los > 6' is no condition.")
    page.get_by_role("alert").get_by_text("'los > 6' is no condition.").wait_for()
    assert field.input_value() == "los > 6"


def test_an_added_condition_takes_no_other_text_with_it(context, traits):
    page = show(context, traits)
    field = typed(page, "loss > 5", "los > 6")
    first, second = sent(page, "intent")[-2:]
    state = copy.deepcopy(traits["state"])
    state["controls"]["answers"] = [{"view": first["view"], "n": first["n"], "error": ""}]
    page.evaluate("(state) => window.model.set('state', state)", state)
    frames(page)
    assert field.input_value() == "los > 6"
    state["controls"]["answers"] += [{"view": second["view"], "n": second["n"], "error": "No."}]
    page.evaluate("(state) => window.model.set('state', state)", state)
    page.get_by_role("alert").get_by_text("No.").wait_for()
    assert field.input_value() == "los > 6"


def test_a_refused_condition_is_put_back_where_another_was_typed_meanwhile(context, traits):
    page = show(context, traits)
    field = typed(page, "los > 5")
    field.fill("loss > 9")
    told(page, traits["state"], "'los > 5' is no condition.")
    page.get_by_role("list", name="Refused conditions").get_by_text("is no condition").wait_for()
    assert field.input_value() == "loss > 9"
    page.evaluate("window.rebuild()")
    button(page, "los > 5").click()
    assert page.get_by_role("combobox", name="Condition").input_value() == "los > 5"
    assert page.get_by_role("alert").get_by_text("is no condition").is_visible()
    assert page.get_by_role("list", name="Refused conditions").count() == 0


def test_a_removed_breakpoint_hands_the_focus_on(context, traits):
    page = show(context, traits)
    button(page, "Remove isnan(loss)").click()
    assert asked(page) == [("unbreak", traits["state"]["controls"]["breakpoints"][0]["id"])]
    label = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert label == "Remove grad_norm(0) > 100"


@pytest.mark.parametrize("width", [400, 900])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_and_axe_finds_nothing_serious(context, traits, width, dark):
    from axe_playwright_python.sync_playwright import Axe

    page = show(context, traits, width)
    page.evaluate(
        "(light) => { document.body.dataset.jpThemeLight = light; }", str(not dark).lower()
    )
    page.evaluate(
        "(back) => { document.body.style.background = back; }", "#111" if dark else "#fff"
    )
    page.wait_for_selector(f".nbtv-view{'.nbtv-dark' if dark else ':not(.nbtv-dark)'}")
    page.wait_for_selector(f".nbtv-view{'.c-narrow' if width < 640 else ':not(.c-narrow)'}")
    view = page.locator(".nbtv-training-controls")
    assert view.evaluate("(el) => el.scrollWidth <= el.clientWidth")
    tops = {button(page, name).bounding_box()["y"] for name in ("Pause", "Step", "Stop")}
    assert len(tops) == 1  # one row, at 400 px too
    found = Axe().run(page, context={"include": [[".nbtv-view"]]})
    assert [
        (violation["id"], [node["html"][:200] for node in violation["nodes"]])
        for violation in found.response["violations"]
        if violation["impact"] in ("serious", "critical")
    ] == []


@pytest.mark.parametrize("width", [280, 400, 642, 900])
def test_every_control_is_in_sight_and_apart_from_the_others(context, traits, width):
    page = show(context, traits, width=width)
    frames(page)
    assert crowded(page, ".nbtv-training-controls") == []
