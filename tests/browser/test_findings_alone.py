"""The list of findings in a page without Jupyter: cards, words, what a press says."""

import pytest

from nbtorchviz.widgets.base import BUNDLE
from tests.browser.alone import sent, show_alone

ROOT = ".nbtv-findings-panel"
EVIL = "<img src=x onerror='window.harmed=1'>"
DEAD = {
    "rule": "dead_relu", "layer": "block.relu", "layers": ["block.relu", "stem.relu", "a", "b"],
    "title": "block.relu is dead.", "evidence": "Zero in 40 batches.", "active": True,
    "remedy": "Try `nn.LeakyReLU`.", "severity": "problem", "since_step": 38,
}  # fmt: skip
HINT = DEAD | {"rule": "dead_channels", "title": EVIL, "severity": "hint", "since_step": 1200}


@pytest.fixture
def show(context):
    def show(findings, width=900, **known):
        gradients = {"findings": findings, "rules": 19, "judged": 400} | known
        state = {"model": "Net", "step": 400, "chip": {"mode": "live"}, "gradients": gradients}
        bundle = BUNDLE.with_name("findings.js")
        page = show_alone(context, {"state": state, "options": {}}, {}, width=width, bundle=bundle)
        page.wait_for_selector(f"{ROOT}[data-findings='{len(findings)}']")
        return page

    return show


def test_a_card_has_severity_sentence_evidence_remedy_layer_and_since_when(show):
    page = show([HINT, DEAD])
    cards = page.locator(".f-card").all_inner_texts()
    assert cards[0].startswith("block.relu is dead.")  # problems first
    for text in ("problem, since step 38", "in block.relu, stem.relu, a and 1 more",
                 "Zero in 40 batches.", "Try: Try nn.LeakyReLU."):  # fmt: skip
        assert text.lower() in cards[0].lower()
    assert EVIL in cards[1]
    assert page.evaluate("window.harmed") is None
    assert page.locator(".f-top").inner_text().startswith("1 problem, 1 hint")


def test_show_me_and_each_name_say_which_layer(show):
    page = show([DEAD])
    asked = "window.asked = []; document.addEventListener('nbtv-show', e => asked.push(e.detail))"
    page.evaluate(asked)
    page.get_by_role("button", name="Show me: block.relu is dead.").click()
    page.get_by_role("button", name="stem.relu", exact=True).click()
    assert [each["value"] for each in sent(page, "intent")] == ["block.relu", "stem.relu"]
    assert {each["name"] for each in sent(page, "intent")} == {"layer"}
    page.get_by_role("button", name="step 38", exact=True).click()
    assert [sent(page, "intent")[-1][key] for key in ("name", "value")] == ["step", 38]
    shown = page.evaluate("asked.map(({kind, finding}) => [kind, finding.layer])")
    assert shown == [["activation-browser", "block.relu"], ["activation-browser", "stem.relu"]]


@pytest.mark.parametrize(
    ("judged", "text"),
    [(None, "Nothing to judge yet."), (400, "Nothing wrong was found.")],
)
def test_without_findings_words_say_why(show, judged, text):
    page = show([], judged=judged)
    assert text in page.locator(ROOT).inner_text()
    assert page.locator(".f-card").count() == 0


@pytest.mark.parametrize("width", [400, 900])
def test_nothing_is_wider_than_its_place_nor_higher_than_a_tab(show, width):
    page = show([HINT | {"title": "layer" * 40}, DEAD] * 5, width=width)
    assert page.locator(ROOT).bounding_box()["height"] == 375
    wide = page.evaluate(f"""() => {{
      const edge = document.querySelector("{ROOT}").getBoundingClientRect().right + 0.5;
      return [...document.querySelectorAll("{ROOT} *")]
        .filter((el) => el.getBoundingClientRect().right > edge).map((el) => el.outerHTML);
    }}""")
    assert wide == []


def test_a_new_number_leaves_the_focus_where_it_is(show):
    page = show([DEAD])
    page.get_by_role("button", name="Show me: block.relu is dead.").focus()
    page.evaluate("""() => {
      const state = structuredClone(window.model.get("state"));
      state.gradients.findings[0].evidence = "Zero in 41 batches.";
      window.model.set("state", state);
    }""")
    page.get_by_text("Zero in 41 batches.").wait_for()
    label = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert label == "Show me: block.relu is dead."
