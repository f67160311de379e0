"""Whatever the events hold: no exception, whole sentences, bounded memory."""

import sys

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nbtorchviz.analysis.findings import Findings
from nbtorchviz.analysis.findings.latch import MOST_LATCHES
from nbtorchviz.events import (
    LayerStatisticsCaptured,
    ParameterStatisticsCaptured,
    ScalarLogged,
    Statistics,
)
from tests.analysis.findings.events import KINDS, MODEL, frame, logged, observe, of_rows, row

NAMES = [f"{layer}.{kind}" for layer in KINDS for kind in ("weight", "bias")] + ["alone", "{who}.w"]
STATES = ["", "frozen", "unused", "no optimizer", "skipped (inf)", "sparse", "shard", "new word"]
FLOATS = st.one_of(st.floats(width=32), st.sampled_from([0.0, 1.0, 1e-30, 1e30, np.nan, np.inf]))
MAYBE = st.one_of(st.none(), st.floats())
COLUMN = st.lists(FLOATS, max_size=6).map(lambda values: np.array(values, "f"))
WHOLE = st.lists(st.integers(0, 2**40), max_size=6).map(lambda values: np.array(values, np.int64))
STEPS = st.integers(-3, 2**40)
PHASES = st.sampled_from(["train", "eval"])

STATISTICS = st.builds(
    Statistics,
    count=st.integers(0, 10**9),
    sampled=st.integers(0, 2_048),
    minimum=MAYBE,
    maximum=MAYBE,
    mean=MAYBE,
    std=MAYBE,
    zero_share=MAYBE,
)
PARAMETER_EVENTS = st.builds(
    ParameterStatisticsCaptured,
    step=STEPS,
    phase=PHASES,
    parameters=st.lists(st.sampled_from(NAMES), unique=True, max_size=6).map(tuple),
    gradient_norms=COLUMN,
    norms=COLUMN,
    update_norms=COLUMN,
    learning_rates=COLUMN,
    counts=WHOLE,
    nonfinite=WHOLE,
    states=st.lists(st.sampled_from(STATES), max_size=6).map(tuple),
    skipped=st.booleans(),
)
LAYER_EVENTS = st.builds(
    LayerStatisticsCaptured,
    step=STEPS,
    phase=PHASES,
    layers=st.lists(st.sampled_from([*KINDS, "relu#1", "new.layer"]), max_size=6).map(tuple),
    statistics=st.lists(STATISTICS, max_size=6).map(tuple),
    gradient_norms=COLUMN,
    training=st.lists(st.booleans(), max_size=6).map(tuple),
    batch_spreads=COLUMN,
)
SCALARS = st.builds(
    ScalarLogged,
    step=STEPS,
    phase=PHASES,
    name=st.sampled_from(["loss", "val_loss", "accuracy", ""]),
    value=st.floats(),
    run=st.integers(1, 2),
)
FRAMES = st.builds(frame, STEPS, st.sets(st.integers(0, 7)))
EVENTS = st.one_of(PARAMETER_EVENTS, LAYER_EVENTS, SCALARS, FRAMES, st.just(MODEL))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(EVENTS, st.integers(1, 25)), max_size=12))
def test_never_raises_and_always_speaks_in_whole_sentences(runs):
    findings = Findings()
    for event, times in runs:
        changes = observe(findings, [event] * times)
        for finding in (*changes, *findings.active):
            assert all((finding.title, finding.evidence, finding.remedy))
            assert finding.title.endswith(")") == (finding.last_step != 0)
            assert finding.severity in ("problem", "hint")
        keys = [(finding.rule, finding.layer) for finding in findings.active]
        assert len(keys) == len(set(keys))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(EVENTS, st.integers(1, 25)), max_size=10))
def test_changes_add_up_to_what_is_active(runs):
    findings, told = Findings(), {}
    for event, times in runs:
        for change in observe(findings, [event] * times):
            key = (change.rule, change.layer)
            if change.active:
                assert key not in told
                told[key] = change
            else:
                del told[key]
    assert set(told) == {(finding.rule, finding.layer) for finding in findings.active}


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(8)), st.integers(0, 7), st.sampled_from(STATES[1:4]))
def test_the_order_of_parameters_does_not_matter(order, ill, state):
    names = [f"{layer}.{kind}" for layer in "abcd" for kind in ("weight", "bias")]
    rows = [row(name, state=state if at == ill else "") for at, name in enumerate(names)]
    straight, shuffled = Findings(), Findings()
    observe(straight, [of_rows(1, rows)] * 30)
    observe(shuffled, [of_rows(1, [rows[place] for place in order])] * 30)
    assert straight.active == shuffled.active


def size_of(thing, seen):
    """Bytes of an object and of all it holds."""
    if id(thing) in seen:
        return 0
    seen.add(id(thing))
    size = sys.getsizeof(thing)
    if isinstance(thing, dict):
        return size + sum(size_of(part, seen) for pair in thing.items() for part in pair)
    if isinstance(thing, (str, bytes, int, float, type, np.ndarray)):
        return size
    if hasattr(thing, "__iter__"):
        size += sum(size_of(part, seen) for part in thing)
    names = [*getattr(thing, "__dict__", ()), *getattr(type(thing), "__slots__", ())]
    return size + sum(size_of(getattr(thing, name, None), seen) for name in names)


def test_memory_does_not_grow_with_the_run():
    findings = Findings()
    observe(findings, [MODEL])

    def train(steps):
        for step in steps:
            rows = [row(name, gradient=1.0 + step % 7) for name in NAMES]
            observe(findings, [of_rows(step, rows), logged(step, 1 / (1 + step)), frame(step, [0])])
        return size_of(findings, set())

    early = train(range(200))
    # A deque of ten may lie in one block of 64 or across two.
    assert train(range(200, 2_000)) <= 1.5 * early < 100_000


def test_memory_does_not_grow_with_new_names():
    findings = Findings()
    for step in range(300):
        rows = [row(f"layer{step}.{n}.weight", state="no optimizer") for n in range(40)]
        observe(findings, [of_rows(step, rows), logged(step, float("nan"), name=f"loss{step}")])
    assert len(findings._board._latches) <= MOST_LATCHES
    assert size_of(findings, set()) < 5_000_000
