import math
from html.parser import HTMLParser

import pytest

from nbtorchviz.analysis.checkup_fit import Fit, fit_verdict, is_learnt
from nbtorchviz.analysis.checkup_report import _COLOURS, CheckupReport, Row
from nbtorchviz.analysis.checkup_verdicts import (
    dependence_verdict,
    first_loss_verdict,
    input_verdict,
    labels_verdict,
    mixing_verdict,
    named,
    plural,
)

ROWS = (
    Row("input", "ok", "(4, 6) float32, from -1 to 1."),
    Row("first loss", "warning", "3.083; far too sure."),
    Row("gradients", "problem", "None: <b>a & b</b>. " + "word " * 13 + "end."),
    Row("one batch", "not checked", "there is no loss."),
)
REPORT = CheckupReport("Net<1>", "input (4, 6) float32, no labels", ROWS, ("1 hook left off.",))


def test_the_text_is_a_table_that_wraps_under_its_last_column():
    words = " ".join(["word"] * 10)
    assert str(REPORT).splitlines() == [
        "Check-up of Net<1>: 1 problem, 1 warning, 1 ok, 1 not checked",
        "  input (4, 6) float32, no labels",
        "  ✓ ok           input       (4, 6) float32, from -1 to 1.",
        "  ! warning      first loss  3.083; far too sure.",
        f"  ✗ problem      gradients   None: <b>a & b</b>. {words}",
        "                             word word word end.",
        "  – not checked  one batch   there is no loss.",
        "  1 hook left off.",
    ]
    assert repr(REPORT) == str(REPORT)


class _Table(HTMLParser):
    """Reads a table as a screen reader would."""

    def __init__(self):
        super().__init__()
        self.open, self.cells, self.scopes = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag != "br":
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")
            self.scopes.append(dict(attrs).get("scope"))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if any(tag in ("td", "th") for tag in self.open):
            self.cells[-1] += data


def test_the_table_has_headings_a_caption_and_no_markup_of_others():
    table = _Table()
    table.feed(REPORT._repr_html_())
    assert table.open == []
    assert table.cells[:3] == ["Verdict", "Check", "What was found"]
    assert table.scopes == ["col"] * 3 + [None, "row", None] * 4
    assert table.cells[9:12] == ["✗ problem", "gradients", ROWS[2].sentence]
    assert "<caption" in REPORT._repr_html_()
    assert "<b>a" not in REPORT._repr_html_()


@pytest.mark.parametrize("background", [(255, 255, 255), (17, 17, 17), (48, 48, 48)])
@pytest.mark.parametrize("colour", _COLOURS.values())
def test_marks_stand_out_in_light_and_dark(colour, background):
    def luminance(rgb):
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    rgb = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    pair = sorted((luminance(rgb), luminance([c / 255 for c in background])))
    assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 3


def test_rows_are_found_by_name():
    assert REPORT["one batch"].answer == "not checked: there is no loss."
    assert REPORT["input"].answer == "ok"
    assert (REPORT.problems, REPORT.warnings, REPORT.ok) == ((ROWS[2],), (ROWS[1],), False)
    assert CheckupReport("Net", "", (ROWS[0], ROWS[3])).ok
    with pytest.raises(KeyError, match=r"No check 'loss'. There are: 'input', 'first loss'"):
        REPORT["loss"]


def test_words():
    assert named(["a", "b"]) == "a, b"
    assert named(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert (plural(1, "step"), plural(0, "step"), plural(1200, "step")) == (
        "1 step",
        "0 steps",
        "1,200 steps",
    )


@pytest.mark.parametrize(
    ("loss", "count", "verdict"),
    [
        (2.303, 64, "ok"),
        (3.4, 64, "ok"),
        (3.5, 64, "warning"),  # 1.5 x 2.303 = 3.454
        (7.0, 64, "problem"),  # 3 x 2.303 = 6.908
        (1.2, 64, "ok"),
        (1.1, 64, "warning"),
        (math.inf, 64, "problem"),
        (math.nan, 64, "problem"),
    ],
)
def test_first_loss_of_ten_classes(loss, count, verdict):
    row = first_loss_verdict(loss, math.log(10), "ln(10)", count)
    assert row.verdict == verdict


def test_the_first_loss_of_few_samples_may_scatter():
    # ln(2) + 0.7 + 4**-0.5 = 1.893, and with 10,000 samples 1.403
    assert first_loss_verdict(1.85, math.log(2), "ln(2)", 4).verdict == "ok"
    assert first_loss_verdict(1.85, math.log(2), "ln(2)", 10_000).verdict == "warning"


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (0.0, "problem"),
        (9e-7, "problem"),
        (5e-5, "warning"),
        (0.002, "ok"),
        (math.nan, "not checked"),
    ],
)
def test_dependence(change, verdict):
    assert dependence_verdict(change, "another sample").verdict == verdict


def test_mixing():
    assert mixing_verdict(0, "", 0.0, 8).verdict == "ok"
    row = mixing_verdict(3, "sample 1", 0.25, 8)
    assert row.sentence.startswith(
        "The output of sample 3 depends on the input of sample 1 (by 0.25)"
    )


def test_ranges():
    plain = {"nonfinite": 0, "main": True, "whole": False, "samples_equal": False}
    assert input_verdict("x", low=-20, high=20, **plain).verdict == "ok"
    assert input_verdict("x", low=-20.1, high=20, **plain).verdict == "warning"
    assert input_verdict("x", low=0, high=50_000, **plain | {"whole": True}).verdict == "ok"
    assert input_verdict("mask", low=1, high=1, **plain | {"main": False}).verdict == "ok"
    assert input_verdict("x", low=1, high=1, **plain).verdict == "warning"
    assert input_verdict("x", low=0, high=1, **plain | {"nonfinite": 1}).verdict == "problem"


def test_label_ranges():
    known = {"count": 8, "ignored": 0, "distinct": 2}
    assert labels_verdict(low=0, high=9, classes=10, **known).verdict == "ok"
    assert labels_verdict(low=0, high=10, classes=10, **known).verdict == "problem"
    assert labels_verdict(low=-1, high=9, classes=10, **known).verdict == "problem"
    assert labels_verdict(low=0, high=99, classes=None, **known).verdict == "ok"
    assert labels_verdict(low=3, high=3, classes=10, **known | {"distinct": 1}).verdict == "warning"
    few = known | {"distinct": 1, "count": 4}
    assert labels_verdict(low=3, high=3, classes=10, **few).verdict == "ok"


def fit(*losses, guessing=None, ended="steps"):
    return fit_verdict(Fit(tuple(losses), 0.003, guessing, ended))


def line(first, last, steps=60):
    return [first + (last - first) * at / steps for at in range(steps + 1)]


def test_a_batch_learnt_by_heart():
    row = fit(2.0, 1.0, 0.2)
    assert row.answer == "ok"
    assert row.sentence == "Learnt by heart: loss 2 → 0.2 in 2 steps of Adam (lr 0.003)."


def test_a_batch_that_is_being_learnt():
    assert fit(*line(2.0, 0.9)).sentence.endswith("falling when the steps were up.")
    flat = fit(*line(2.0, 0.9, 20), *[0.9] * 40)
    assert (flat.verdict, flat.sentence[:14]) == ("ok", "Partly learnt:")
    row = fit(*line(2.0, 1.2), ended="time")  # a third of the fall in the last third
    assert row.sentence.endswith("falling when the time was up.")
    slow = [*line(2.0, 1.5, 40), *line(1.5, 1.44, 20)[1:]]  # 0.06 of 0.56 in the last 20 steps
    assert fit(*slow).verdict == "ok"
    slower = [*line(2.0, 1.5, 40), *line(1.5, 1.46, 20)[1:]]  # 0.04 of 0.54
    assert fit(*slower).verdict == "warning"


def test_a_batch_that_is_not_learnt():
    flat = [1.5] * 40
    assert fit(2.0, *line(2.0, 1.5, 20), *flat).verdict == "warning"
    assert fit(*line(2.0, 1.99)).verdict == "problem"
    row = fit(2.0, *line(2.0, 1.5, 20), *flat, guessing=1.52)
    assert row.verdict == "problem"
    assert "no better than guessing by the labels' frequency (1.52)" in row.sentence
    assert fit(2.0, *line(2.0, 1.5, 20), *flat, guessing=1.6).verdict == "warning"


def test_what_still_falls_when_the_time_is_up_is_no_problem():
    slow = line(2.3, 2.25, 24)
    assert fit(*slow, guessing=2.2, ended="time").verdict == "ok"
    assert fit(*slow, guessing=2.2).verdict == "problem"
    assert fit(*[2.3] * 30, ended="time").verdict == "problem"


def test_a_loss_below_zero_is_never_learnt_by_heart():
    row = fit(*line(1.5, -0.9, 20))
    assert row.verdict == "not checked"
    assert row.sentence == (
        "It falls: loss 1.5 → -0.9 in 20 steps of Adam (lr 0.003). "
        "Below zero no level shows that a batch is learnt."
    )
    assert fit(*[-0.1] * 40).verdict == "problem"
    assert fit(2.0, 0.1, -3.0).verdict == "not checked"  # passed the level on its way down
    assert "2 → 0.1 in 1 step of" in fit(2.0, 0.1, 0.05).sentence
    assert not is_learnt(-0.1, -0.1, None)
    assert not is_learnt(-0.1, 2.0, 1.9)


def test_a_loss_that_breaks():
    row = fit(2.0, 1.0, math.nan)
    assert (row.verdict, row.sentence) == ("problem", "The loss was nan after 2 steps.")


def test_too_few_steps_say_nothing():
    assert fit(*[2.0] * 20).answer == "not checked: only 19 steps allowed."
    late = fit(*[2.0] * 20, ended="time")
    assert late.answer == "not checked: only 19 steps fitted into the time."
    assert fit(*[2.0] * 21).verdict == "problem"
