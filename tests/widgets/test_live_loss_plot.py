import io
import sys

import numpy as np
import pytest
import torch
from ipywidgets.widgets import widget as ipywidgets_registry
from PIL import Image
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.analysis import curve_picture
from nbtorchviz.analysis.drawing import Picture
from nbtorchviz.analysis.packets import unpack
from nbtorchviz.analysis.smoothing import smooth
from tests.widgets.view import View


@pytest.fixture
def words(monkeypatch):
    """What static pictures say, and where each word begins."""
    found = []

    class Listening(Picture):
        def text(self, at, text, **how):
            found.append((at, text))
            return super().text(at, text, **how)

    monkeypatch.setattr(curve_picture, "Picture", Listening)
    return found


@pytest.fixture
def plot():
    made = []

    def plot(*args, **kwargs):
        made.append(nbv.LiveLossPlot(*args, **kwargs))
        return made[-1]

    yield plot
    for widget in made:
        session = widget.session
        widget.close()
        session.close()


def drawn(plot):
    """Header and arrays of what a view would draw now."""
    plot.session.flush()
    return unpack(plot.curve)


def test_works_alone(plot):
    alone = plot()
    for value in (3.0, float("nan"), float("inf"), 0.5):
        alone.log(loss=torch.tensor(value))
    alone.log(val_loss=np.float32(0.75))
    steps, values = alone.history("loss")
    assert steps.tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(values, [3.0, np.nan, np.inf, 0.5])
    header, _ = drawn(alone)
    assert [line["name"] for line in header["lines"]] == ["loss", "val_loss"]
    assert alone.options["code"] == "plot.log(loss=loss)"


def test_shows_what_the_session_logs(plot):
    net = nn.Linear(2, 1)
    session = nbv.watch(net)
    shown = plot(net)
    session.log(5, loss=1.25)
    shown.log(6, loss=1.0)
    assert shown.session is session
    assert shown.history("loss").values.tolist() == [1.25, 1.0]
    header, arrays = drawn(shown)
    assert arrays[header["lines"][0]["y"]].tolist() == [1.25, 1.0]
    assert shown.options["code"] == "session.log(loss=loss)"


def test_an_unknown_keyword_a_wrong_model_and_a_bad_weight_are_refused():
    with pytest.raises(TypeError, match="unknown keyword 'smoothin'"):
        nbv.LiveLossPlot(smoothin=0.9)
    with pytest.raises(TypeError, match="LiveLossPlot"):
        nbv.LiveLossPlot("net")
    with pytest.raises(ValueError, match="smoothing must be a number from 0"):
        nbv.LiveLossPlot(smoothing=1.0)
    for wrong in (5, ["loss", 5], {"loss": 1}):
        with pytest.raises(TypeError, match="metrics must be the name of a metric, a list of"):
            nbv.LiveLossPlot(metrics=wrong)
    with pytest.raises(TypeError, match=r"smoothing must be a number .* got 'much'"):
        nbv.LiveLossPlot(smoothing="much")
    with pytest.raises(TypeError, match="log_y must be True or False, got 'log'"):
        nbv.LiveLossPlot(log_y="log")


def test_a_history_is_asked_for_by_name(plot):
    with pytest.raises(TypeError, match=r"name must be the name of a metric .* got 3"):
        plot().history(3)


@pytest.mark.parametrize(
    ("names", "lines", "offered"),
    [
        ("acc", ["acc"], ["acc"]),
        ("loss", ["loss", "val_loss"], ["loss"]),
        ("val_loss", ["val_loss"], ["loss"]),
        (["acc", "loss"], ["acc", "loss", "val_loss"], ["acc", "loss"]),
        (("grad", "never"), ["grad"], ["grad"]),
        ("never", [], []),
        ([], ["loss", "val_loss", "acc", "grad"], ["loss", "acc", "grad"]),
    ],
)
def test_only_the_metrics_asked_for_are_drawn(plot, names, lines, offered):
    chosen = plot(metrics=names)
    chosen.log(loss=1.0, val_loss=2.0, acc=0.5, grad=3.0)
    header, _ = drawn(chosen)
    assert [line["name"] for line in header["lines"]] == lines
    assert header["metrics"] == offered
    assert chosen.summary().count(" at step ") == 2 * len(lines)
    assert chosen.history("loss").values.tolist() == [1.0]  # everything is recorded
    assert chosen.snapshot()


def test_a_bad_value_names_its_metric(plot):
    with pytest.raises(TypeError, match="metric 'accuracy' must be a number"):
        plot().log(accuracy="high")


def test_a_move_of_the_smoothing_slider_reaches_the_next_packet(plot):
    shown = plot(smoothing=0.5)
    for step in range(3000):
        shown.log(loss=1.0 / (step + 1))
    view = View(shown)
    view.intent("smoothing", 0.9)
    header, arrays = drawn(shown)
    line = header["lines"][0]
    assert header["smoothing"] == shown.smoothing == 0.9
    steps, values = shown.history("loss")
    expected = smooth(steps, values, 0.9)[np.searchsorted(steps, arrays[line["sx"]])]
    np.testing.assert_allclose(arrays[line["sy"]], expected, rtol=1e-5)


def test_python_changes_carry_a_new_revision_and_intents_do_not(plot):
    shown = plot()
    shown.log(loss=1.0)
    before = drawn(shown)[0]["rev"]
    View(shown).intent("log_y", True)
    assert drawn(shown)[0]["rev"] == before
    shown.smoothing = 0.8
    header = drawn(shown)[0]
    assert header["rev"] == before + 1
    assert header["log_y"]


def test_a_wrong_intent_is_a_fault_and_changes_nothing(plot):
    shown = plot(smoothing=0.5)
    View(shown).intent("smoothing", 7)
    assert shown.smoothing == 0.5
    assert len(shown.session.faults) == 1


def test_a_range_is_asked_for_and_given_back(plot):
    shown = plot()
    for step in range(6000):
        shown.log(step, loss=float(step % 7))
    view = View(shown)
    view.intent("range", [1000, 1500])
    assert drawn(shown)[0]["range"] == [1000.0, 1500.0]
    view.intent("range", [5000, None])
    assert drawn(shown)[0]["range"][0] == 5000.0
    assert drawn(shown)[0]["range"][1] >= 5999.0
    view.intent("range", None)
    assert drawn(shown)[0]["range"] is None


def test_a_click_takes_the_other_widgets_of_the_session_to_that_step(plot):
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    shown, browser = plot(net), nbv.ActivationBrowser(net)
    for _ in range(3):
        net(torch.ones(4, 2)).sum().backward()
        optimizer.step()
    view = View(shown)
    view.intent("step", {"step": 2, "layer": "1"})
    assert (browser._choice.pick.step, browser.layer) == (2, "1")
    view.intent("step", 3)  # the newest: live again
    assert browser._choice.pick.step is None
    view.intent("step", {"step": 1, "layer": "no such layer"})
    assert (browser._choice.pick.step, browser.layer) == (1, "1")
    browser.close()


def test_the_summary_is_stable_text(plot):
    shown = plot()
    assert shown.summary() == "LiveLossPlot: no values yet"
    shown.log(loss=2.0)
    shown.log(loss=float("nan"))
    assert shown.summary() == "LiveLossPlot:\n  loss NaN at step 2, best 2 at step 1"


def test_the_summary_tells_every_metric_however_many(plot):
    shown = plot()
    shown.log(**{f"m{at}": at for at in range(50)}, val_m0=7.0)
    rows = shown.summary().splitlines()[1:]
    names = ["m0", "val_m0", *(f"m{at}" for at in range(1, 50))]
    assert [row.split()[0] for row in rows] == names
    assert rows[-1] == "  m49 49 at step 1, best 49 at step 1"
    few = plot(metrics=["m3", "m40"])
    few.log(**{f"m{at}": at for at in range(50)})
    assert [row.split()[0] for row in few.summary().splitlines()[1:]] == ["m3", "m40"]


def test_the_summary_is_of_the_newest_run(plot):
    shown = plot()
    shown.log(loss=3.0)
    shown.log(0, loss=1.0)
    shown.log(0, loss=2.0)
    assert shown.metrics.current_run > 1
    assert shown.summary() == "LiveLossPlot:\n  loss 2 at step 0, best 1 at step 0"


@pytest.mark.parametrize("log_y", [False, True])
def test_the_static_picture_is_small_and_shows_a_curve(plot, log_y):
    shown = plot(smoothing=0.9, log_y=log_y)
    random = np.random.default_rng(0)
    for step in range(3000):
        shown.log(loss=float(np.exp(-step / 500) + 0.1 * random.random()), epoch=step // 300)
    png = shown.snapshot()
    assert len(png) <= 100_000
    colors = {color for _, color in Image.open(io.BytesIO(png)).convert("RGB").getcolors(1 << 20)}
    assert any(abs(r - 13) + abs(g - 71) + abs(b - 161) < 60 for r, g, b in colors)


@pytest.mark.parametrize("values", [[], [float("nan")] * 3, [-1.0, 0.0], [1e300, 1.0], [5.0]])
@pytest.mark.parametrize("log_y", [False, True])
def test_every_state_has_a_static_picture(plot, values, log_y):
    shown = plot(log_y=log_y)
    for value in values:
        shown.log(loss=value, epoch=1)
    assert shown.snapshot().startswith(b"\x89PNG")


def test_each_line_of_the_static_picture_has_its_own_name(plot, words):
    alone = plot()
    for step in range(3):
        alone.log(loss=3.0 - step, train_loss=2.0 - step, val_loss=2.5, test_loss=2.7)
    alone.snapshot()
    said = [text for _, text in words]
    for name in ("loss", "train_loss", "val_loss", "test_loss"):
        assert said.count(name) == 2 + (name == "loss") * 2  # row and end; heading and axis
    assert not {"train", "val"} & set(said)


@pytest.mark.parametrize("last", [2, 100, 200_000])
def test_the_name_of_the_axis_stands_clear_of_the_last_tick(plot, words, last):
    alone = plot()
    for step in (0, last):
        alone.log(step, loss=1.0)
    alone.snapshot()
    place, name = max((at, text) for at, text in words if text == "step")
    tick, label = max((at, text) for at, text in words if at[1] == place[1] and text != name)
    end = tick[0] + Picture(1, 1).text_width(label, size=11) / 2
    assert end + 4 <= place[0] < 880


@pytest.mark.parametrize("last", [200, 10**15, 2**62])
def test_long_step_numbers_stand_clear_of_the_best_value(plot, words, last):
    alone = plot(smoothing=0.9)
    for step in (1, last - 1, last):
        alone.log(step, loss=1e-9 * (1 + abs(last - 1 - step)))
    alone.snapshot()
    wide = Picture(1, 1).text_width
    row = [(place[0], text) for place, text in words if 70 <= place[1] <= 71]
    (_, latest), (best_end, best) = [found for found in row if found[1].endswith("e-09")]
    steps = [found for found in row if found[1].startswith("step ")]
    assert (latest, best) == ("2.00e-09", "1.00e-09")
    assert [text for _, text in steps] == [f"step {last}", f"step {last - 1}"]  # not cut
    ends = [begin + wide(text, size=12) for begin, text in steps]
    assert ends[0] + 8 <= best_end - wide(best)
    assert ends[1] + 8 <= 884 - wide("EMA 0.90, de-biased", size=12)
    assert (best_end == 400) == (last == 200)
    assert best_end == next(place[0] for place, text in words if text == "best")


def test_the_figure_follows_and_keeps_marks_of_the_user(plot):
    import bqplot

    shown = plot(smoothing=0.5)
    shown.log(loss=2.0)
    figure = shown.figure
    assert [axis.label for axis in figure.axes] == ["step", "loss"]
    mine = bqplot.Lines(x=[0, 1], y=[0, 1], scales=figure.marks[0].scales)
    figure.marks = [*figure.marks, mine]
    shown.log(loss=1.0)
    shown.log(val_loss=1.5)
    shown.session.flush()
    assert shown.figure is figure
    assert figure.marks[-1] is mine
    assert figure.marks[0].y.tolist() == [2.0, 1.0]
    assert {mark.labels[0] for mark in figure.marks[:-1]} == {"loss", "val_loss"}


def test_a_log_axis_of_the_figure_comes_with_new_axes_and_scales(plot):
    import bqplot

    shown = plot()
    shown.log(loss=2.0)
    figure = shown.figure
    old = figure.axes[1]
    shown.log_y = True
    shown.session.flush()
    assert figure.axes[1] is not old
    assert isinstance(figure.axes[1].scale, bqplot.LogScale)
    assert figure.marks[0].scales["y"] is figure.axes[1].scale


def test_without_bqplot_only_the_figure_is_missing(plot, monkeypatch):
    monkeypatch.setitem(sys.modules, "bqplot", None)
    shown = plot()
    shown.log(loss=1.0)
    assert drawn(shown)[0]["lines"]
    with pytest.raises(ImportError, match="pip install 'bqplot"):
        _ = shown.figure


def test_a_new_run_is_drawn_beside_the_earlier_one(plot):
    shown = plot()
    for _ in range(2):
        for step in range(5):
            shown.log(step, loss=1.0)
    header, _ = drawn(shown)
    assert header["current"] == 2
    assert [line["run"] for line in header["lines"]] == [2, 1]


def test_closing_twice_leaves_no_widget_and_no_listener(plot):
    before = set(ipywidgets_registry._instances)
    shown = nbv.LiveLossPlot()
    shown.log(loss=1.0)
    history = shown.metrics
    shown.close()
    shown.close()
    assert history._listeners == []
    assert set(ipywidgets_registry._instances) == before


def test_a_plot_of_no_model_names_none():
    plot = nbv.LiveLossPlot()
    assert repr(plot) == "<LiveLossPlot>"
    plot.close()


def test_in_the_cockpit_the_name_of_the_metric_lies_on_no_line_s_name(plot, words):
    chart = plot()
    for step in range(12):
        chart.log(loss=1e-6)
        if step % 4 == 3:
            chart.log(phase="val", loss=2.3)
    header, arrays = drawn(chart)
    curve_picture.curve_picture(header, arrays, {"model": "Net"}, compact=True)
    places = {text: at for at, text in words}
    (name,) = [at for text, at in places.items() if text.startswith("val")]
    assert places["loss"][0] < name[0] - 200
    assert min(at[1] for at in places.values()) >= 0


def test_metrics_of_which_nothing_was_logged_are_named_with_what_was():
    plot = nbv.LiveLossPlot(metrics=["acc", "f1"])
    assert plot.summary() == "LiveLossPlot: no values yet"
    plot.log(loss=1.0, val_loss=2.0, lr=0.1)
    said = "o value of acc or f1 yet; logged so far: loss, lr"
    assert plot.summary() == f"LiveLossPlot: n{said}"
    assert plot._parts()[0]["nothing"] == f"N{said}"
    plot.log(acc=0.5)
    assert plot._parts()[0]["nothing"] == ""
    plot.close()
