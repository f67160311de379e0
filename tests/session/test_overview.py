"""The layers overview: numbers by hand, gaps where nobody sampled."""

import numpy as np
import pytest
import torch
from torch import nn

import nbtorchviz as nbv
from nbtorchviz.analysis.packets import unpack
from nbtorchviz.events import LayerStatisticsCaptured, Statistics
from nbtorchviz.session.overview import Overview, overview_of
from nbtorchviz.session.statistics_log import StatisticsLog
from nbtorchviz.widgets.overview_packet import overview_parts
from tests.widgets.view import View


def observed(*samples, layers=("a", "b")):
    """A log that has seen these (step, elapsed_s, mean)."""
    log = StatisticsLog()
    for step, elapsed_s, mean in samples:
        numbers = tuple(
            Statistics(count=4, sampled=4, mean=mean * (at + 1), nan=at, posinf=at)
            for at in range(len(layers))
        )
        event = LayerStatisticsCaptured(
            layers=layers, statistics=numbers, step=step, elapsed_s=elapsed_s
        )
        log.observe(event)
    return log


def test_rows_are_those_of_the_tree_that_were_measured():
    log = observed((3, 0, 1.5), (7, 1, 2.0))
    layers, steps, values = overview_of(log.layers(), ("input", "b", "a", "never"), "mean")
    assert layers == ("b", "a")
    assert steps.tolist() == [3, 7]
    assert values.tolist() == [[3.0, 4.0], [1.5, 2.0]]
    assert overview_of(log.layers(), ("b",), "nonfinite").values.tolist() == [[2.0, 2.0]]
    assert np.isnan(overview_of(log.layers(), ("b",), "std").values).all()  # not measured


def test_before_the_first_sample_it_is_empty_and_nonsense_is_refused():
    assert overview_of(None, ("a",)).values.shape == (0, 0)
    with pytest.raises(ValueError, match="statistic must be one of 'mean', 'std'"):
        overview_of(None, ("a",), "median")


def test_a_browser_gives_the_numbers_that_torch_gives():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    session = nbv.watch(model, optimizer, every=1)
    browser = nbv.ActivationBrowser(session)
    inputs = torch.randn(5, 2)
    for _ in range(2):
        model(inputs).sum().backward()
        optimizer.step()
    first, hidden = model[0](inputs), model(inputs)
    for name, of in (
        ("mean", torch.mean), ("std", lambda x: x.std(correction=0)), ("minimum", torch.min),
        ("maximum", torch.max), ("zero_share", lambda x: (x == 0).float().mean()),
    ):  # fmt: skip
        layers, steps, values = browser.overview(name)
        assert (layers, steps.tolist()) == (("0", "1"), [1, 2])
        np.testing.assert_allclose(values[:, 1], [of(first).item(), of(hidden).item()], rtol=1e-5)
    session.close()


def test_a_long_silence_is_a_gap_and_a_slower_pace_or_a_pause_is_none():
    every_second = [(10 * at, float(at), 0.0) for at in range(8)]
    assert observed(*every_second).gaps() == ()
    silent = observed(*every_second, (500, 60.0, 0.0), (510, 61.0, 0.0))
    assert silent.gaps() == ((70, 500),)
    assert observed(*every_second, (80, 600.0, 0.0)).gaps() == ()  # paused: no steps went by
    assert observed(*every_second, (500, 8.0, 0.0)).gaps() == ()  # fast steps: no time went by


def test_a_packet_fits_and_keeps_spikes_nan_and_the_newest():
    steps = np.arange(1000)
    values = np.random.default_rng(0).normal(1, 0.01, (20, 1000)).astype(np.float32)
    values[3, 401], values[5, 7] = 1e6, np.nan
    bad = np.zeros_like(values)
    bad[9, 613] = 4
    layers = tuple(map(str, range(20)))
    shown, broken = Overview(layers, steps, values), Overview(layers, steps, bad)
    header, arrays = overview_parts(
        shown, broken, [(3, 9)], statistic="mean", seq=5, limit_bytes=20_000
    )
    assert header["samples"] == 1000
    assert header["gaps"] == [[3, 9]]
    kept = arrays["steps"].tolist()
    assert {401, 613, 999} <= set(kept)
    assert sum(array.nbytes for array in arrays.values()) < 20_000
    np.testing.assert_array_equal(arrays["values"], values[:, kept])
    assert arrays["bad"][9, kept.index(613)] == 1
    nothing = overview_parts(shown, shown._replace(values=0 * values), [], statistic="mean", seq=1)
    assert "bad" not in nothing[1]


def test_strips_are_sent_while_they_are_shown_and_a_visit_goes_where_a_frame_is_kept():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    session = nbv.watch(model, optimizer, every=1)
    browser = nbv.ActivationBrowser(session)
    view = View(browser)
    assert browser._produce_strips(100_000) is None
    view.intent("overview", "std")
    for _ in range(4):
        model(torch.randn(5, 2)).sum().backward()
        optimizer.step()
    header, arrays = unpack(browser._produce_strips(100_000).data)
    assert (header["statistic"], header["layers"]) == ("std", ["0", "1"])
    assert arrays["steps"].tolist() == [1, 2, 3, 4]
    view.intent("visit", {"layer": "1", "step": 3, "within": 0.4})
    pick = browser._choice.pick
    assert (pick.layer, pick.step, pick.overview) == ("1", 3, "")
    view.intent("visit", {"layer": "0", "step": 90, "within": 5.0})
    assert (browser.layer, browser._choice.pick.step) == ("0", None)
    view.intent("overview", "median")
    assert browser._choice.pick.overview == ""
    assert len(session.faults) == 1
    session.close()
