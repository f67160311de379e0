"""The ActivationBrowser's view in a browser without Jupyter: a fake model, real packets."""

import base64
import json

import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from tests.browser.alone import (
    crowded,
    frames,
    press_at_once,
    said_of_nothing,
    sent,
    show_alone,
    wait_count,
)
from tests.widgets.view import View

ROOT = ".nbtv-activation-browser"
BOXES = """() => [...document.querySelectorAll(
  ".nbtv-cell:not([hidden]), .nbtv-large, .nbtv-foot, .nbtv-row, .nbtv-activation-browser")]
  .map((el) => { const b = el.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; })"""
EVIL = "<img src=x onerror='window.harmed=1'>"


@pytest.fixture(scope="module")
def recorded():
    """Traits and two packets of a widget that saw a few training steps."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(2048, 3))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    x, y = torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 0])
    widget = nbv.ActivationBrowser(nbv.watch(net, every=1), layer="1")
    View(widget)
    packets = []
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
        widget.session.flush()
        packets.append(base64.b64encode(widget.picture).decode())
        widget._dispatch({"type": "ack", "view": "view-1", "stream": "frame", "seq": 10**9})
    names = ("kind", "options", "layers", "selection", "state")
    traits = json.loads(json.dumps({name: getattr(widget, name) for name in names}))
    state = traits["state"]
    state["chip"] |= {"mode": "live", "latency_ms": 40, "cost": 0.01}
    state["status"] = None
    widget._thumbs.forget()
    traits["thumbs"] = base64.b64encode(widget._thumbs.packet(1, 64_000)).decode()
    yield traits, packets
    session = widget.session
    widget.close()
    session.close()


@pytest.fixture
def show(context, recorded):
    def show(width=900, **changes):
        traits, packets = recorded
        given = json.loads(json.dumps(traits)) | changes
        page = show_alone(context, given, {"picture": packets[0]}, width=width)
        page.wait_for_selector(f"{ROOT}[data-layer='1'] .nbtv-cell")
        return page

    return show


def painted(page, name, value):
    page.wait_for_selector(f"{ROOT}[data-{name}='{value}']")


def with_status(page, status):
    page.evaluate(
        "(status) => model.set('state', {...model.get('state'), status})",
        status and {"lines": [], "code_line": None, "table": None, "actions": []} | status,
    )


def test_controls_have_the_names_that_are_promised(show):
    page = show()
    for role, names in {
        "slider": ("Layer", "Channel", "Sample", "Step"),
        "combobox": ("Colour map",),
        "button": ("Pin", "Hold"),
    }.items():
        for name in names:
            assert page.get_by_role(role, name=name, exact=True).count() == 1, name
    page = show(420)
    page.get_by_role("combobox", name="Layer", exact=True).wait_for()


def test_jupyter_takes_no_key_from_a_control(show):
    page = show()
    selector = f"{ROOT} :is(button, input, select, [tabindex])"
    assert page.locator(selector).count() > 20
    assert page.locator(f"{selector}:not([data-lm-suppress-shortcuts='true'])").count() == 0


def test_a_frame_is_acked_once_after_it_was_painted(show, recorded):
    page = show()
    page.wait_for_function("() => window.sent.some(({type}) => type === 'ack')")
    before = page.locator(ROOT).get_attribute("data-seq")
    assert [ack["seq"] for ack in sent(page, "ack")] == [int(before)]
    page.evaluate("(packet) => model.paint(packet)", recorded[1][1])
    page.wait_for_function("() => window.sent.filter(({type}) => type === 'ack').length === 2")
    last = sent(page, "ack")[-1]
    assert last["stream"] == "frame"
    assert str(last["seq"]) == page.locator(ROOT).get_attribute("data-seq") != before


WORDS = "() => window.sent.filter(({type}) => type === 'nudge').length"
MOVES = """(count) => {
  const layer = document.querySelector("input[aria-label=Layer]");
  for (let i = 0; i < count; i += 1) {
    layer.value = 1 + (i % 2);
    layer.dispatchEvent(new Event("input", {bubbles: true}));
  }
}"""


def test_a_move_is_followed_by_two_words_that_bring_its_picture_sooner(show):
    page = show()
    page.wait_for_function("() => window.sent.some(({type}) => type === 'ack')")
    page.evaluate(MOVES, 1)
    page.wait_for_function(f"() => ({WORDS})() === 2")
    frames(page, 8)
    assert page.evaluate(WORDS) == 2


def test_the_moves_of_a_drag_share_two_words(show):
    page = show()
    page.wait_for_function("() => window.sent.some(({type}) => type === 'ack')")
    page.evaluate(MOVES, 12)
    page.wait_for_function(f"() => ({WORDS})() === 2")
    frames(page, 8)
    assert page.evaluate(WORDS) == 2
    assert len(sent(page, "intent")) == 12


def test_no_words_pile_up_where_messages_wait_for_the_end_of_the_cell(show):
    page = show()
    page.wait_for_function("() => window.sent.some(({type}) => type === 'ack')")
    page.evaluate("() => { model.get('state').chip.mode = 'one-way'; }")
    page.evaluate(MOVES, 1)
    frames(page, 8)
    assert page.evaluate(WORDS) == 0


def test_keys_choose_tiles_and_values_and_blocks_answer(show):
    page = show()
    page.locator(".nbtv-cell[data-channel='0']").click()
    press_at_once(page, "ArrowRight", "ArrowRight", "End", "ArrowLeft")
    painted(page, "channel", 30)
    chosen = [intent["value"] for intent in sent(page, "intent") if intent["name"] == "channel"]
    assert chosen[-4:] == [1, 2, 31, 30]
    plane = page.get_by_role("img", name="Enlarged channel").first
    plane.focus()
    for key in ("ArrowUp",) * 8 + ("ArrowLeft",) * 8 + ("ArrowDown",):
        page.keyboard.press(key)
    page.wait_for_selector("[aria-label^='Enlarged channel: row 1, col 0 = ']")
    page.keyboard.press("/")
    assert page.evaluate("() => document.activeElement.type") == "search"


def test_what_a_key_opens_takes_the_next_key(show, recorded):
    page = show()
    page.locator(".nbtv-cell[data-channel='3']").click()
    press_at_once(page, "Enter", "ArrowUp", "ArrowLeft", "ArrowDown")
    page.wait_for_selector("[aria-label^='Enlarged channel: row '] >> visible=true")
    focused = "() => document.activeElement.className"
    assert page.evaluate(focused) == "nbtv-plane"
    painted(page, "channel", 3)
    press_at_once(page, "Escape", "ArrowRight")
    assert page.evaluate(focused) == "nbtv-cell"
    painted(page, "channel", 4)

    rows = [row | {"depth": 1, "key": f"block.{row['key']}"} for row in recorded[0]["layers"]]
    block = rows[0] | {"key": "block", "name": "block", "depth": 0, "block": True}
    page = show(layers=[*recorded[0]["layers"], block, *rows])
    wait_count(page, "[role=treeitem]", 11)
    page.locator("[role=treeitem][data-key=block]").click()
    press_at_once(page, "ArrowLeft", "ArrowRight", "ArrowRight", "ArrowDown", "Enter")
    assert sent(page, "intent")[-1]["value"] == rows[1]["key"]
    page.get_by_role("searchbox").evaluate(
        """(search) => {
          search.value = "linear";
          search.dispatchEvent(new Event("input"));
          search.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter"}));
        }"""
    )
    assert sent(page, "intent")[-1]["value"] == "3"


def test_a_search_without_hits_says_so(show):
    page = show()
    assert said_of_nothing(page, ".nbtv-tree") == "none"
    page.get_by_role("searchbox").fill("zzz")
    wait_count(page, "[role=treeitem]", 0)
    assert said_of_nothing(page, ".nbtv-tree") == '"No layer of this name."'


def test_thumbnails_are_drawn_when_they_change_and_not_at_each_move(show, recorded):
    page = show()
    page.evaluate(
        """(thumbs) => {
          window.drawn = 0;
          const { clearRect } = CanvasRenderingContext2D.prototype;
          CanvasRenderingContext2D.prototype.clearRect = function (...box) {
            window.drawn += this.canvas.closest(".nbtv-thumb") ? 1 : 0; // each drawing begins so
            clearRect.apply(this, box);
          };
          window.model.say({ type: "thumbs" }, thumbs);
        }""",
        recorded[0]["thumbs"],
    )
    page.wait_for_function("() => window.drawn >= 3")
    drawn = page.evaluate("() => window.drawn")
    page.locator("[role=treeitem][data-key='0']").click()  # with a sign: other colours beside
    page.wait_for_selector(f"{ROOT}[data-layer='0']")
    frames(page)
    assert page.evaluate("() => window.drawn") == drawn
    page.get_by_role("combobox", name="Colour map").select_option("magma")
    page.wait_for_function("(drawn) => window.drawn === 2 * drawn", arg=drawn)


def test_a_row_without_a_thumbnail_yet_takes_its_own_clicks(show):
    page = show()
    for key in ("3", "0", "2", "input"):
        page.locator(f"[role=treeitem][data-key='{key}']").click()
        assert sent(page, "intent")[-1]["value"] == key


def test_flags_above_the_step_slider_are_opened_by_keys_and_by_a_click(show, recorded):
    flags = [
        {"step": 1, "text": "lr 0.1 → 0.01", "kind": "change"},
        {"step": 2, "text": "loss rises", "kind": "finding"},
        {"step": 9, "text": "lr 0.01 → 0.001", "kind": "change"},
    ]
    state = recorded[0]["state"]
    browser = state["browser"] | {"flags": flags, "kept_steps": [1, 2, 4], "sample_count": 4}
    page = show(state=state | {"step": 4, "browser": browser})
    page.get_by_role("slider", name="Step").focus()
    page.keyboard.press("Tab")
    named = "() => document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(named) == "step 1: lr 0.1 → 0.01"
    page.keyboard.press("ArrowRight")
    assert page.evaluate(named) == "step 2: loss rises"
    page.get_by_text("step 2: loss rises").wait_for()  # not only in a tip under the pointer
    page.keyboard.press("Enter")
    page.keyboard.press("End")
    page.keyboard.press("Space")
    page.get_by_role("button", name="step 1: lr 0.1 → 0.01").click()
    chosen = [said["value"] for said in sent(page, "intent") if said["name"] == "step"]
    assert chosen == [2, None, 1]
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.type") == "range"  # one tab stop for all
    assert page.get_by_role("slider", name="Step", exact=True).count() == 1


def test_a_flag_that_moves_under_the_pointer_is_opened_where_it_was_pressed(show, recorded):
    flags = [{"step": 2, "text": "loss rises", "kind": "finding"}]
    state = recorded[0]["state"] | {"step": 40}
    browser = state["browser"] | {"flags": flags, "kept_steps": [1, 2, 4]}
    page = show(state=state | {"browser": browser})
    flag = page.get_by_role("button", name="step 2: loss rises")
    flag.hover()
    page.mouse.down()
    x = flag.bounding_box()["x"]
    more = browser | {"kept_steps": [1, 2, *range(4, 41)]}
    page.evaluate("(state) => model.set('state', state)", state | {"browser": more})
    assert flag.bounding_box()["x"] < x - 40
    page.mouse.up()
    chosen = [said["value"] for said in sent(page, "intent") if said["name"] == "step"]
    assert chosen == [2]


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("width", [280, 320, 400, 742, 900])
def test_every_control_is_in_sight_and_apart_from_the_others(show, recorded, width, compact):
    page = show(width=width, options=recorded[0]["options"] | {"compact": compact})
    frames(page)
    assert crowded(page, ROOT) == []


def test_a_saved_picture_shows_the_input_that_made_it(show):
    page = show()
    page.evaluate(
        """() => {
          const paint = CanvasRenderingContext2D.prototype, {fillText, drawImage} = paint;
          window.put = [];
          paint.fillText = function (text, ...place) {
            window.put.push(text);
            fillText.call(this, text, ...place);
          };
          paint.drawImage = function (image, ...place) {
            if (image.ariaLabel) window.put.push(image.ariaLabel);
            drawImage.call(this, image, ...place);
          };
        }"""
    )
    with page.expect_download() as saving:
        page.get_by_role("button", name="Save PNG").click()
    assert saving.value.suggested_filename == "1-step1.png"
    put = page.evaluate("window.put")
    words = page.locator(".nbtv-input-text > div:nth-child(2)").text_content()
    assert words.startswith("predicted ")
    assert f"Input: {words}" in put
    assert "Input" in put  # the picture itself
    assert "sample 0, new each step" in put


def test_nothing_moves_when_the_state_changes(show):
    for width in (900, 420):
        page = show(width)
        frames(page)  # its parts have their sizes then
        before = page.evaluate(BOXES)
        assert max(box[3] for box in before) <= 640
        for code in ("one_way", "model_gone", "stale", "paused", "forward_failed"):
            with_status(page, {"code": code, "level": "warn", "title": f"Now {code}."})
            page.get_by_text(f"Now {code}.").wait_for()
            after = page.evaluate(BOXES)
            fixed = [box for box in after if box in before]
            # Under a banner the last tiles may be scrolled out of sight; none may shift.
            assert fixed == after, code
        with_status(page, None)


def test_a_control_under_the_pointer_is_left_alone(show):
    page = show()
    channel = page.get_by_role("slider", name="Channel")
    channel.dispatch_event("pointerdown")
    channel.evaluate("(el) => { el.value = 4; }")
    page.evaluate("model.set('selection', {...model.get('selection'), rev: 99, channel: 2})")
    painted(page, "channel", 2)
    assert channel.input_value() == "4"
    channel.dispatch_event("pointerup")
    page.wait_for_function("() => document.querySelector('[aria-label=Channel]').value === '2'")


def test_a_rebuilt_view_goes_on_where_it_was(show):
    page = show()
    page.locator(".nbtv-cell[data-channel='3']").click()
    painted(page, "channel", 3)
    page.get_by_role("combobox", name="Range").select_option("symmetric")
    page.evaluate("rebuild()")
    painted(page, "channel", 3)
    page.wait_for_function(
        """() => document.querySelector("select[aria-label='Range']")?.value === "symmetric" """
    )
    page.wait_for_function("() => document.activeElement.dataset.channel === '3'")
    assert len(sent(page, "gone")) == 1
    assert len({message["view"] for message in sent(page, "ready")}) == 2


def test_without_a_kernel_the_picture_still_answers(show):
    page = show()
    page.evaluate("window.gone = true")
    page.get_by_role("slider", name="Channel").fill("4")
    painted(page, "mode", "kernel gone")
    painted(page, "channel", 4)
    page.get_by_text("Kernel gone.").wait_for()
    assert page.get_by_role("button", name="Hold").is_disabled()
    assert page.get_by_role("slider", name="Sample").is_disabled()
    page.get_by_role("combobox", name="Colour map").select_option("gray")


def test_names_from_a_model_are_text(show, recorded):
    layers = [{**row, "name": EVIL, "type": EVIL, "detail": EVIL} for row in recorded[0]["layers"]]
    page = show(layers=layers)
    with_status(
        page,
        {"code": "x", "level": "warn", "title": EVIL, "lines": [EVIL], "table": [[EVIL] * 3]},
    )
    page.get_by_text(EVIL).first.wait_for()
    assert page.locator(f"{ROOT} img").count() == 0
    assert page.evaluate("() => window.harmed") is None
