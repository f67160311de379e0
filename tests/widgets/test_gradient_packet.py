import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from nbtorchviz.analysis.packets import pack, unpack
from nbtorchviz.events import EXPONENTS, Histogram, LayerInfo
from nbtorchviz.widgets.gradient_packet import (
    INF,
    NAN,
    NONE,
    STATES,
    GradientHistory,
    Strip,
    gradient_parts,
    kept_columns,
    norm_codes,
)

SOURCES = Path(__file__).parents[2] / "nbtorchviz" / "widgets" / "static" / "src"
READ = """
import { readFileSync } from "node:fs";
const [, , sources, file] = process.argv;
const { read } = await import(`${sources}/gradient_packet.js`);
const { rowsOf } = await import(`${sources}/gradient_rows.js`);
const { countsOf } = await import(`${sources}/gradient_histogram.js`);
const packet = read(readFileSync(file)), rows = rowsOf(packet.header), column = packet.columns - 1;
const plain = (v) => (Number.isNaN(v) ? "absent" : v === -1 ? "NaN" : v === Infinity ? "Inf" : v);
console.log(JSON.stringify({
  steps: [...packet.steps], phase: packet.header.phase,
  rows: rows.map((row) => [row.id, row.kind, row.elements, packet.wordAt(row, column)]),
  series: Object.fromEntries(rows.map((row) => [row.id,
    Object.fromEntries(["gradient", "activation", "ratio"].map((name) =>
      [name, Array.from(packet.series(row, name), plain)]))])),
  strips: packet.strips.map((strip) => [strip.layer, strip.of, strip.lowest, [...strip.steps],
    countsOf(strip, strip.steps.length - 1)]),
}));
"""


def layer(key, type="Linear", block=False):
    return LayerInfo(key=key, type=type, depth=key.count("."), block=block)


def histogram(negative=(), zeros=0, positive=(), **special):
    counts = np.zeros((2, EXPONENTS), np.int32)
    for side, bins in zip(counts, (negative, positive), strict=True):
        for exponent, count in bins:
            side[exponent + 30] = count
    total = int(counts.sum()) + zeros + sum(special.values())
    return Histogram(
        counts_negative=counts[0], counts_positive=counts[1], zeros=zeros, count=total, **special
    )


def history(columns=3, parameters=None, layers=None, **changes):
    layers = layers or [layer("body", "Sequential", block=True), layer("body.fc"), layer("body.x")]
    parameters = parameters or [("body.fc.weight", 12), ("body.fc.bias", 3), ("token", 4)]
    p, rng = len(parameters), np.random.default_rng(0)
    norms = {
        name: rng.uniform(0.1, 2, (p, columns)).astype(np.float32)
        for name in ("gradient", "weight", "update")
    }
    norms["activation"] = rng.uniform(1e-9, 1e-3, (len(layers), columns)).astype(np.float32)
    return GradientHistory(
        layers=layers,
        parameters=parameters,
        steps=np.arange(columns) * 10 + 5,
        norms=norms | changes.pop("norms", {}),
        states=changes.pop("states", np.zeros((p, columns), np.uint8)),
        learning_rates=np.full(p, 0.1, np.float32),
        **changes,
    )


def test_node_reads_what_python_packed(node, tmp_path):
    gradient = np.array([[3, 3, np.nan], [4, 4, 4], [0, 1e-20, np.inf]], np.float32)
    states = np.array([[0, 0, 0], [0, 0, 0], [1, 0, 4]], np.uint8)
    activation = np.array([[1, 2, 3], [1e-8, 1e-9, np.nan], [np.nan] * 3], np.float32)
    broken = {"activation": np.array([[0, 0, 1], [0, 0, 0], [0, 0, 0]], bool)}
    given = history(
        norms={"gradient": gradient, "activation": activation}, states=states, broken=broken
    )
    strip = Strip(
        layer="body.fc",
        of="weight",
        steps=[5, 25],
        histograms=[
            histogram([(-3, 2)], 1, [(-4, 5)]),
            histogram([(-3, 7), (-6, 20)], 3, [(-2, 1)], nan=2, neginf=1),
        ],
        elements=100,
    )
    packet = pack(*gradient_parts(given, [strip], seq=9, phase="train"))
    (tmp_path / "read.mjs").write_text(READ)
    (tmp_path / "packet").write_bytes(packet)
    command = [node, tmp_path / "read.mjs", SOURCES, tmp_path / "packet"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["steps"] == [5, 15, 25]
    assert found["phase"] == "train"
    assert found["rows"] == [
        ["body", "block", 15, ""],
        ["body.fc", "layer", 15, ""],
        ["body.fc.weight", "parameter", 12, ""],
        ["body.fc.bias", "parameter", 3, ""],
        ["body.x", "layer", 0, ""],
        ["token", "parameter", 4, "skipped (inf)"],
    ]
    close = {"rel": 0.0014}
    series = found["series"]
    assert series["body.fc"]["gradient"] == pytest.approx([5, 5, 4], **close)
    assert series["body.fc.weight"]["gradient"][2] == "absent"
    assert series["token"]["gradient"] == [0, pytest.approx(1e-20, **close), "Inf"]
    assert series["body"]["activation"] == [
        pytest.approx(1, **close),
        pytest.approx(2, **close),
        "NaN",
    ]
    assert series["body.fc"]["activation"][2] == "absent"
    wanted = given.norms["update"][2] / given.norms["weight"][2]
    assert series["token"]["ratio"] == pytest.approx(list(wanted), rel=0.003)
    [[key, of, lowest, steps, counts]] = found["strips"]
    assert (key, of, lowest, steps) == ("body.fc", "weight", -6, [5, 25])
    assert counts == {
        "negative": [0, 7, 0, 0, 20],
        "zeros": 3,
        "positive": [0, 0, 0, 0, 1],
        "nan": 2,
        "posinf": 0,
        "neginf": 1,
    }


def test_norms_come_back_to_a_seventh_of_a_percent():
    norms = np.array([1e-30, 2.5e-7, 1, 1e10, 3e38], np.float32)
    back = 2.0 ** ((norm_codes(norms).astype(float) - 1) / 264 - 120)
    assert back == pytest.approx(norms, rel=0.0014)


def test_what_is_no_norm_has_a_code_of_its_own():
    norms = np.array([0, np.nan, np.inf, np.nan, 1e-45], np.float32)
    broken = np.array([False, False, False, True, False])
    assert list(norm_codes(norms, broken)) == [0, NONE, INF, NAN, 1]


def test_thinning_keeps_spikes_and_the_newest():
    size = np.ones(1000)
    size[[137, 500]] = [50, np.inf]
    for most in (999, 500, 64, 8, 2):
        kept = kept_columns(size, most)
        assert most / 2 <= len(kept) <= most
        assert list(kept) == sorted(set(kept))
        assert kept[-1] == 999
        assert 500 in kept or most < 3
        assert 137 in kept or most < 8


@pytest.mark.parametrize("limit", [32_000, 64_000, 260_000])
@pytest.mark.parametrize("columns", [0, 1, 2, 300, 2048])
def test_a_packet_keeps_to_its_limit(limit, columns):
    layers = [layer(f"block{i // 4}.layer{i}") for i in range(60)]
    parameters = [(f"{each.key}.weight", 1000) for each in layers]
    given = history(columns, parameters, layers)
    counts = [histogram([(-5, 9)], 1, [(e, 3) for e in range(-30, 9)])] * 100
    strips = [
        Strip(layer=each.key, of="weight", steps=range(100), histograms=counts) for each in layers
    ]
    header, arrays = gradient_parts(given, strips, seq=1, limit_bytes=limit)
    packet = pack(header, arrays)
    assert len(packet) <= limit
    assert header["samples"] == columns
    assert columns < 2 or len(arrays["steps"]) >= 2
    assert list(arrays["steps"][-1:]) == list(given.steps[-1:])
    assert header["strips"][0]["layer"] == "block0.layer0"
    again = unpack(packet)[1]
    assert again["gradient"].shape == (60, len(arrays["steps"]))


def test_every_state_of_the_events_has_a_code():
    assert STATES[0] == ""
    assert len(set(STATES)) == len(STATES) < 256


def test_shown_steps_come_with_more_columns_and_the_run_with_some():
    steps, rng = np.arange(1, 2001), np.random.default_rng(0)
    history = GradientHistory(
        layers=[],
        parameters=[(f"p{i}", 4) for i in range(40)],
        steps=steps,
        norms={"gradient": rng.uniform(1, 2, (40, 2000)).astype(np.float32)},
        states=np.zeros((40, 2000), np.uint8),
        learning_rates=np.ones(40, np.float32),
    )

    def sent(shown):
        parts = gradient_parts(history, seq=1, limit_bytes=40_000, shown=shown)
        assert len(pack(*parts)) <= 40_000
        return parts[1]["steps"]

    within = lambda found: int(((found >= 501) & (found <= 700)).sum())  # noqa: E731
    whole, part = sent(None), sent((501, 700))
    assert within(part) == 200 > 4 * within(whole)
    assert part[0] < 100
    assert part[-1] == 2000
    assert sent((1900, None))[-101:].tolist() == list(range(1900, 2001))
    assert len(sent((5000, None))) > 10  # of a run that is gone
