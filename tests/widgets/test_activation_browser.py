import copy
import math
import threading

import numpy as np
import pytest
import torch
from ipywidgets.widgets import widget as ipywidgets_registry
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.analysis.packets import unpack
from nbtorchviz.errors import LayerNotFoundError, SessionClosedError
from tests.widgets.view import View


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 3),
    )


@pytest.fixture
def train(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    x, y = torch.randn(6, 1, 4, 4), torch.tensor([0, 1, 2, 0, 1, 2])

    def steps(count=1):
        for _ in range(count):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()

    return steps


def painted(browser):
    """What a view would paint now: header and arrays."""
    browser.session.flush()
    return unpack(browser.picture)


def test_one_line_and_an_unchanged_loop_show_a_layer(net, browse, train):
    session = nbv.watch(net, every=1)
    browser = browse(session, layer="0")
    before = copy.deepcopy(net)
    train(1)
    assert browser.frame.step == 1
    assert browser.frame.values.shape == (4, 4, 4)
    assert browser.frame.values.min() < 0  # before the in-place ReLU
    header, arrays = painted(browser)
    assert (header["layer"], header["step"], header["view"]) == ("0", 1, "maps")
    assert arrays["planes"].shape == (4, 4, 4)
    assert before is not None


def test_view_reads_the_same_numbers_as_the_frame(net, browse, train):
    browser = browse(nbv.watch(net, every=1), layer="1", sample=3)
    train(2)
    header, arrays = painted(browser)
    values = browser.frame.to_numpy()
    shown = arrays["lo"][:, None, None] + arrays["planes"] * (
        (arrays["hi"] - arrays["lo"])[:, None, None] / 252
    )
    assert np.abs(shown - values).max() <= (arrays["hi"] - arrays["lo"]).max() / 504 + 1e-6
    assert header["stats"]["maximum"] == pytest.approx(float(values.max()))
    assert header["sample"] == browser.frame.sample == 3


def test_moving_the_slider_shows_the_kept_frame_at_once_and_then_a_fresh_one(net, browse, train):
    browser = browse(nbv.watch(net, every=1), layer="0")
    view = View(browser)
    train(2)
    view.intent("layer", "2")
    header, _ = painted(browser)
    assert (header["layer"], header["preview"], header["step"]) == ("2", True, 2)
    train(1)
    header, _ = painted(browser)
    assert (header["layer"], header["preview"], header["step"]) == ("2", False, 3)


def test_a_move_is_served_at_the_next_step_although_the_budget_is_spent(browse, train):
    browser = browse(layer="0")
    view = View(browser)
    train(1)
    browser.session.budget.spent("capture", 60.0)
    train(1)
    assert browser.frame.step == 1
    view.intent("layer", "4")
    train(1)
    assert (browser.frame.layer, browser.frame.step) == ("4", 3)


def test_python_selects_by_attribute_and_the_view_hears_of_it(net, browse, train):
    browser = browse(nbv.watch(net, every=1))
    browser.layer = "4"
    assert browser.layer == "4"
    train(1)
    browser.session.flush()
    assert browser.selection["layer"] == "4"
    assert browser.selection["rev"] == 2
    assert browser.frame.layer == "4"


def test_wrong_layer_is_refused_with_the_nearest_names(browse):
    with pytest.raises(LayerNotFoundError, match="No layer 'layer5'"):
        browse(layer="layer5")
    browser = browse()
    with pytest.raises(LayerNotFoundError, match=r"6 layers; see session\.layers"):
        browser.layer = "nope"
    assert browser.layer == "0"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"show": "weights"}, "show must be one of"),
        ({"colormap": "jet"}, "colormap must be one of"),
        ({"normalize": "all"}, "normalize must be one of"),
        ({"sample": -1}, "sample must be a whole number"),
        ({"channel": -1}, "channel must be a whole number from 0, got -1"),
        ({"channel": 1.5}, "channel must be a whole number"),
        ({"call": 1.5}, "call must be a whole number from 0, got 1.5"),
    ],
)
def test_wrong_values_are_refused_in_words(browse, wrong, message):
    with pytest.raises(ValueError, match=message):
        browse(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"layer": 0}, r'the key of a layer, .* \(see session.layers\); .* write "0", got 0'),
        ({"call": ""}, "call must be a whole number from 0, got ''"),
        ({"sample": "a"}, "sample must be a whole number from 0, got 'a'"),
        ({"channel": []}, r"channel must be a whole number from 0, got \[\]"),
        ({"layout": 5}, "layout of '0' must be a sequence of axes, .* got 5"),
    ],
)
def test_values_of_a_wrong_type_are_refused_in_words(browse, wrong, message):
    with pytest.raises(TypeError, match=message):
        browse(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"hold": "a"}, "hold must be True or False, got 'a'"),
        ({"path": 1}, "path must be a place in the output, such as '1.0', got 1"),
        ({"step": "newest"}, "step must be a whole number from 0, got 'newest'"),
        ({"chanel": 1}, r"select\(\) got unknown keyword 'chanel'; accepted: layer, call, path"),
    ],
)
def test_a_wrong_selection_is_refused_and_changes_nothing(browse, wrong, message):
    browser = browse(layer="2")
    with pytest.raises(TypeError, match=message):
        browser.select(layer="0", **wrong)
    assert browser.layer == "2"


def test_unknown_keyword_is_a_type_error_that_lists_what_is_known(browse):
    with pytest.raises(TypeError, match="unknown keyword 'leyer'; accepted: layer, call"):
        browse(leyer="0")


def test_a_bad_message_from_a_view_is_a_fault_and_nothing_else(browse, train):
    browser = browse()
    view = View(browser)
    view.intent("layer", "no such layer")
    view.intent("channel", "seven")
    view.say({"type": "ack", "stream": "frame"})
    view.say({})
    train(1)
    assert browser.layer == "0"
    assert len(browser.session.faults) == 3


def seen_of(browser):
    """Layer, step and notes as a view would paint them."""
    header, _ = painted(browser)
    return header["layer"], header["step"], header.get("notes", []), header["message"]


def test_walking_layers_at_a_held_step_stays_there(net, browse, train):
    browser = browse(nbv.watch(net, every=1), layer="1")
    view = View(browser)
    train(4)
    view.intent("step", 2)
    train(1)
    for layer in ("0", "2", "1"):  # neighbours of what is watched are kept at each sample
        view.intent("layer", layer)
        assert browser.frame.layer == layer
        assert (browser.frame.step, seen_of(browser)[1]) == (2, 2)
        assert seen_of(browser)[2] == []
        train(1)
    assert browser.frame.step == 2
    view.intent("step", None)
    train(1)
    assert browser.frame.step == 9


def test_a_held_picture_is_held_for_the_other_layers_too(net, browse, train):
    browser = browse(nbv.watch(net, every=1), layer="1")
    view = View(browser)
    train(3)
    view.intent("hold", True)
    train(3)
    view.intent("layer", "0")
    assert (browser.frame.layer, browser.frame.step) == ("0", 3)
    view.intent("hold", False)
    train(1)
    assert browser.frame.step == 7


def test_a_step_that_was_not_kept_of_the_other_layer_is_said(net, browse, train):
    browser = browse(nbv.watch(net, every=1), layer="1")
    view = View(browser)
    train(6)
    kept = browser.session.recorder.kept["batch"]
    with kept._lock:
        frames = kept._frames["0", "", False]
        del frames[1:4]  # steps 2 to 4
        kept._frames.pop(("4", "", False))
    view.intent("step", 4)
    view.intent("layer", "0")
    nearest = "step 5: the nearest to step 4 that is kept of 0"
    assert seen_of(browser)[:3] == ("0", 5, [nearest])
    view.intent("layer", "4")
    layer, _, _, message = seen_of(browser)
    assert layer == "4"
    assert message.startswith("Nothing of 4 was kept at step 4 or near it.")
    train(1)  # it stays
    assert seen_of(browser)[3] == message


def test_hold_keeps_the_picture_while_training_goes_on(net, browse, train):
    browser = browse(nbv.watch(net, every=1))
    view = View(browser)
    train(1)
    view.intent("hold", True)
    train(3)
    assert browser.frame.step == 1
    view.intent("hold", False)
    train(1)
    assert browser.frame.step == 5


def test_step_slider_shows_a_kept_step_and_the_live_edge_again(net, browse, train):
    browser = browse(nbv.watch(net, every=1), layer="2")
    view = View(browser)
    train(5)
    view.intent("step", 2)
    assert (browser.frame.step, painted(browser)[0]["live"]) == (2, False)
    train(1)
    assert browser.frame.step == 2
    view.intent("step", None)
    assert browser.frame.step == 6


def test_gradient_is_autograds_own(net, browse, train):
    browser = browse(nbv.watch(net, every=1), layer="0", show="gradient", sample=1)
    twin = copy.deepcopy(net)
    twin[1] = nn.ReLU()
    x, y = torch.randn(6, 1, 4, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    hidden = twin[0](x)
    hidden.retain_grad()
    nn.functional.cross_entropy(twin[1:](hidden), y).backward()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    nn.functional.cross_entropy(net(x), y).backward()
    optimizer.step()
    np.testing.assert_array_equal(browser.frame.values, hidden.grad[1].numpy())
    assert painted(browser)[0]["signed"]


def test_probe_shows_activations_at_once_without_training(browse, net):
    browser = browse(probe=torch.randn(1, 1, 4, 4), layer="2")
    assert browser.frame.values.shape == (4, 2, 2)
    header, arrays = painted(browser)
    assert header["source"] == "pinned"
    assert header["input"]["prediction"] in "012"
    assert arrays["input"].shape == (4, 4)


def test_pin_keeps_the_image_and_follows_training(net, browse, train):
    browser = browse(nbv.watch(net, every=1), layer="0")
    view = View(browser)
    train(1)
    view.intent("pin", True)
    train(1)
    first = browser.frame.to_numpy()
    assert painted(browser)[0]["source"] == "pinned"
    browser.session.recorder.want_probe()
    train(1)
    assert browser.frame.step == 3
    assert not np.array_equal(browser.frame.values, first)
    view.intent("pin", False)
    train(1)
    assert painted(browser)[0]["source"] == "batch"


def test_nothing_is_left_after_fifty_widgets(net, browse, train):
    before, threads = len(ipywidgets_registry._instances), threading.active_count()
    session = nbv.watch(net, every=1)
    for _ in range(50):
        browser = nbv.ActivationBrowser(session)
        train(1)
        browser.close()
    session.close()
    assert len(ipywidgets_registry._instances) == before
    assert threading.active_count() <= threads + 1  # the ticker may still be ending
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_summary_is_stable_text_and_snapshot_is_a_small_png(net, browse, train):
    browser = browse(nbv.watch(net, every=1), layer="1")
    assert browser.summary() == "ActivationBrowser of Sequential: 1, no step yet"
    assert browser.snapshot().startswith(b"\x89PNG")
    train(1)
    assert browser.summary().startswith(
        "ActivationBrowser of Sequential: 1 activation 4×4×4, step 1, 0 to "
    )
    picture = browser.snapshot()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) <= 100_000


def test_half_built_widget_closes_without_a_word(net):
    with pytest.raises(LayerNotFoundError):
        nbv.ActivationBrowser(net, layer="x")
    nbv.watch(net).close()


def test_repr_is_short(browse):
    assert repr(browse()) == "<ActivationBrowser of Sequential>"


def test_a_held_picture_keeps_the_input_that_made_it(net, browse, train):
    browser = browse(nbv.watch(net, every=1), layer="0")
    view = View(browser)
    train(1)
    view.intent("hold", True)
    train(2)
    view.intent("colormap", "magma")
    view.say({"type": "ready", "visible": True})
    header, _ = painted(browser)
    assert (header["step"], header["held"]) == (1, True)
    assert header["input"] is not None
    assert browser._choice.shot().input.step == 1


def test_a_kept_frame_is_not_shown_beside_the_input_of_another_step(net, browse, train):
    browser = browse(nbv.watch(net, every=1), layer="0")
    view = View(browser)
    train(3)
    view.intent("step", 1)
    header, _ = painted(browser)
    assert (header["step"], header["input"]) == (1, None)
    view.intent("step", None)
    header, _ = painted(browser)
    assert header["step"] == 3
    assert header["input"] is not None


def test_two_browsers_show_their_own_samples(net, browse, train):
    session = nbv.watch(net, every=1)
    first, second = browse(session, layer="0", sample=0), browse(session, layer="0", sample=5)
    train(2)
    assert (first.frame.sample, second.frame.sample) == (0, 5)
    assert second._choice.shot().input is None  # the input that is kept is of sample 0
    View(second).intent("sample", 1000)
    train(1)
    assert second.frame.sample == 5  # the last of six


def test_what_is_shown_and_its_colours_are_set_as_the_layer_is(net, browse, train):
    browser = browse(nbv.watch(net, every=1), layer="0")
    browser.show, browser.colormap = "gradient", "magma"
    train(2)
    assert (browser.show, browser.colormap, browser.frame.show) == ("gradient", "magma", "gradient")
    with pytest.raises(ValueError, match="show must be one of"):
        browser.show = "gradients"
    with pytest.raises(ValueError, match="colormap must be one of"):
        browser.colormap = "jet"
    assert (browser.show, browser.colormap) == ("gradient", "magma")


def test_a_probe_that_fails_leaves_nothing_behind(net):
    with pytest.raises(RuntimeError, match=r"shape|channels|size"):
        nbv.ActivationBrowser(net, probe=torch.randn(1, 9))
    assert not any(module._forward_hooks for module in net.modules())
    nbv.watch(net).close()


def test_pin_lets_go_of_what_is_held(net, browse):
    session = nbv.watch(net, every=1)
    browser = browse(session, layer="input")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(2):
        net(torch.zeros(4, 1, 4, 4)).square().mean().backward()
        optimizer.step()
    session.flush()
    view = View(browser)
    view.intent("hold", True)
    view.intent("step", 1)
    view.intent("pin", True)
    assert not browser._choice.pick.hold
    assert browser._choice.pick.step is None
    assert browser.frame is not None


@pytest.mark.parametrize("held", [True, False])
def test_pin_keeps_the_input_of_the_picture_that_is_looked_at(net, browse, held):
    browser = browse(nbv.watch(net, every=1), layer="0")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    view, batches = View(browser), torch.randn(6, 4, 1, 4, 4)

    def step(batch):
        net(batch).square().mean().backward()
        optimizer.step()
        return painted(browser)[0]

    for batch in batches[:3]:
        header = step(batch)
    if held:
        view.intent("hold", True)
    for batch in batches[3:]:
        step(batch)
    view.intent("pin", header["seq"])
    (pinned,) = browser.session.recorder.pinned_inputs[0].args
    assert torch.equal(pinned, batches[2][:1])


def test_a_held_step_whose_input_is_not_kept_cannot_be_pinned(net, browse, train):
    browser = browse(nbv.watch(net, every=1), layer="0")
    view = View(browser)
    train(3)
    view.intent("step", 1)
    header = painted(browser)[0]
    assert header["input"] is None
    view.intent("pin", header["seq"])
    assert not browser.session.recorder.pinned
    assert browser._choice.pick.step == 1


def test_a_widget_says_that_its_session_was_closed(net):
    session = nbv.watch(net)
    widgets = [nbv.ActivationBrowser(session), nbv.LiveLossPlot(session)]
    session.close()
    for widget in widgets:
        assert widget.state["chip"]["mode"] == "closed"
        assert widget.state["status"]["title"] == "Session closed."
        assert widget.state["status"]["code_line"] == "session = nbv.watch(model)"
        widget.close()


def test_a_closed_session_is_refused(net):
    session = nbv.watch(net)
    session.close()
    with pytest.raises(SessionClosedError, match=r"watch\(model\) opens a new one"):
        nbv.ActivationBrowser(session)


def test_layouts_of_several_layers_add_up_and_are_checked_at_once(net, browse, train):
    session = nbv.watch(net, every=1, layout={"0": ("H", "W", "C")})
    first, second = browse(session, layer="0"), browse(session, layer="1", layout="HWC")
    train(1)
    assert first.frame.axes == second.frame.axes == ("H", "W", "C")
    with pytest.raises(ValueError, match="layout of '0': got"):
        nbv.ActivationBrowser(session, layer="0", layout=("X", "Y"))
    with pytest.raises(LayerNotFoundError, match="layer5"):
        nbv.watch(net, layout={"layer5": ("F",)})


def test_odd_names_other_names_and_later_calls_can_be_selected(browse):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.add_module("fc#b", nn.Linear(4, 4))
            self.other = getattr(self, "fc#b")
            self.relu = nn.ReLU()

        def forward(self, x):
            return self.relu(self.other(self.relu(x)))

    model = Twice()
    session = nbv.watch(model, every=1)
    browser = browse(session, layer="relu", call=1)
    by_alias = browse(session, layer="other")
    assert (by_alias.layer, browser.layer) == ("fc#b", "relu#1")
    model(torch.randn(2, 4)).sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert (browser.frame.layer, browser.frame.call) == ("relu#1", 1)
    assert by_alias.frame.layer == "fc#b"
    with pytest.raises(LayerNotFoundError, match="relu#2"):
        browser.select(call=2)


def test_the_layer_list_of_a_huge_model_fits_into_a_message(browse):
    model = nn.Sequential(*(nn.Sequential(nn.Identity()) for _ in range(3000)), nn.Linear(2, 2))
    session = nbv.watch(model)
    browser = browse(session, layer="2999.0")
    browser.layer = "2998.0"
    session.flush()
    assert browser.selection["layer"] == "2998.0"
    assert 500 < len(browser.layers) < 3000
    assert {row["depth"] for row in browser.layers} == {0}
    assert session.faults == []


def test_an_epoch_may_be_a_tensor(net, browse, train):
    browser = browse()
    View(browser)
    train(1)
    browser.session.log(loss=1.0, epoch=torch.tensor(3))
    browser.session.flush()
    assert type(browser._state()["epoch"]) is float
    with pytest.raises(TypeError, match="epoch"):
        browser.session.log(loss=1.0, epoch="three")


def test_a_path_without_a_tensor_is_refused_and_states_are_no_tokens(browse):
    net = nn.Sequential()
    net.add_module("lstm", nn.LSTM(5, 7, num_layers=2))
    browser = browse(nbv.watch(net, every=1), layer="lstm")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def step():
        net(torch.randn(6, 4, 5))[0].sum().backward()
        optimizer.step()

    step()
    with pytest.raises(ValueError, match=r"path of 'lstm' must be one of '0', '1.0', '1.1'"):
        browser.select(path="2")
    browser.select(path="1.0")
    step()
    header, arrays = painted(browser)
    assert (header["view"], header["rows"], header["sample_word"]) == ("matrix", "state", "sample")
    assert arrays["planes"].shape == (1, 2, 7)  # one row per layer
    assert browser.session.faults == []


def test_views_follow_each_other_and_are_told_which_moves_were_heard(net, browse, train):
    browser = browse(nbv.watch(net, every=1))
    one, other = View(browser, "one"), View(browser, "other")
    train(1)
    before = browser.selection["rev"]
    one.say({"type": "intent", "name": "layer", "value": "4", "n": 1})
    other.say({"type": "intent", "name": "channel", "value": 1, "n": 1})
    one.say({"type": "intent", "name": "layer", "value": "no such layer", "n": 2})
    browser.session.flush()
    told = browser.selection
    assert (told["layer"], told["channel"], told["rev"]) == ("4", 1, before + 3)
    assert told["heard"] == {"other": 1, "one": 2}
    assert len(browser.session.faults) == 1


def test_widget_made_anew_begins_at_the_layer_chosen_last(net, browse):
    first = browse()
    first.layer = "4"
    assert browse().layer == "4"
    assert browse(layer="1").layer == "1"


def test_a_probe_given_to_watch_is_what_widgets_begin_with(net):
    probe = torch.full((4, 1, 4, 4), 7.0)
    session = nbv.watch(net, probe=probe, labels=[0, 1, 2, 0], every=1)
    browser = nbv.ActivationBrowser(session, layer="input")
    assert browser.frame.values.max() == 7
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    net(torch.zeros(4, 1, 4, 4)).square().mean().backward()
    optimizer.step()
    session.flush()
    assert browser.frame.values.max() == 7
    View(browser).intent("pin", False)
    optimizer.zero_grad()
    net(torch.zeros(4, 1, 4, 4)).square().mean().backward()
    optimizer.step()
    session.flush()
    assert browser.frame.values.max() == 0
    assert nbv.ActivationBrowser(session, layer="input").frame.values.max() == 0


def test_the_summary_says_what_is_not_finite_and_why_nothing_is_shown():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(2, 3), nn.Linear(2, 3)

        def forward(self, x):
            return self.used(x)

    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    session = nbv.watch(net, optimizer, every=1)
    browsers = [nbv.ActivationBrowser(session, layer=key) for key in ("input", "used", "unused")]
    net(torch.tensor([[math.nan, 1.0]])).sum().backward()
    optimizer.step()
    session.flush()
    said = [browser.summary().partition(": ")[2] for browser in browsers]
    assert said == [
        "input activation 2, step 1, 1 to 1, 1 NaN",
        "used activation 3, step 1, all NaN",
        "unused was not called in the last forward.",
    ]
    session.close()
