"""History of statistics: newest always there, bounded, words kept beside numbers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nbtorchviz.analysis.many_statistics import summarise_many
from nbtorchviz.events import LayerStatisticsCaptured, ParameterStatisticsCaptured
from nbtorchviz.session.statistics_log import HISTOGRAM_BYTES, Columns, StatisticsLog

ROWS = ("a", "b")


def layers(step, values=((1.0, 2.0), (0.0, -4.0)), norms=(3.0, np.nan)):
    statistics, histograms = summarise_many([np.float32(v) for v in values], [100, 200])
    return LayerStatisticsCaptured(
        step=step,
        layers=ROWS,
        statistics=tuple(statistics),
        histograms=tuple(histograms),
        gradients=(None, None),
        gradient_norms=np.float32(norms),
    )


def parameters(step, states=("", "frozen"), norm=1.0):
    return ParameterStatisticsCaptured(
        step=step,
        parameters=("a.weight", "b.weight"),
        gradient_norms=np.float32([norm, np.nan]),
        counts=np.array([10, 20]),
        states=states,
    )


def test_numbers_come_back_by_row_and_step():
    log = StatisticsLog()
    assert log.layers() is None
    log.observe(layers(1))
    log.observe(layers(5, norms=(7.0, 8.0)))
    history = log.layers()
    assert history.rows == ROWS
    assert history.steps.tolist() == [1, 5]
    assert history.columns["mean"].tolist() == [[1.5, 1.5], [-2.0, -2.0]]
    assert history.columns["zero_share"].tolist() == [[0.0, 0.0], [0.5, 0.5]]
    assert history.columns["gradient"][0].tolist() == [3.0, 7.0]
    assert np.isnan(history.columns["gradient"][1, 0])
    assert log.elements("b") == 200
    steps, found = log.histograms("b", "activation")
    assert steps.tolist() == [1, 5]
    assert (found[0].zeros, found[0].counts_negative.sum(), found[0].count) == (1, 1, 2)
    assert log.histograms("b", "gradient")[1] == []
    assert log.histograms("nobody", "activation")[1] == []


def test_words_are_those_of_their_step():
    log = StatisticsLog()
    log.observe(parameters(1))
    log.observe(parameters(2))
    log.observe(parameters(3, states=("frozen", "")))
    history = log.parameters()
    assert history.states.tolist() == [["", "", "frozen"], ["frozen", "frozen", ""]]
    assert history.columns["gradient_norms"][0].tolist() == [1.0, 1.0, 1.0]
    assert np.isnan(history.columns["update_norms"]).all()


def test_a_step_that_goes_back_begins_anew():
    log = StatisticsLog()
    for step in (1, 2, 3, 1):
        log.observe(layers(step))
    assert log.layers().steps.tolist() == [1]


def test_listeners_hear_of_statistics_and_of_nothing_else():
    log, heard = StatisticsLog(), []
    stop = log.listen(lambda: heard.append(log.version))
    log.observe(layers(1))
    log.observe("something")
    stop()
    log.observe(layers(2))
    assert heard == [1]


@given(count=st.integers(1, 200), most=st.integers(2, 32))
def test_a_full_table_halves_its_past_and_keeps_the_newest(count, most):
    table = Columns((1,), np.float32, most)
    for step in range(count):
        table.append(step, np.float32([step]))
        assert table.steps[-1] == step
        assert table.count <= most
        assert table.values[:, 0].tolist() == table.steps.tolist()
        assert (np.diff(table.steps) > 0).all()
    gaps = np.diff(table.steps)
    if len(gaps) > 2:  # older columns are never nearer together than newer ones
        assert (gaps[:-1] >= gaps[1:]).all()


def test_memory_of_a_deep_model_is_bounded():
    rows = tuple(map(str, range(500)))
    statistics, histograms = summarise_many([np.ones(4, np.float32)] * 500, [4] * 500)
    log = StatisticsLog()
    for step in range(300):
        log.observe(
            LayerStatisticsCaptured(
                step=step,
                layers=rows,
                statistics=tuple(statistics),
                histograms=tuple(histograms),
                gradient_norms=np.ones(500, np.float32),
            )
        )
    assert log._layers.histograms._values.nbytes <= HISTOGRAM_BYTES
    assert log.layers().steps[-1] == 299
