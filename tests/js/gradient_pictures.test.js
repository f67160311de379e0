import assert from "node:assert/strict";
import test from "node:test";

import { markedBy, ranked, viewOf } from "../../nbtorchviz/widgets/static/src/gradient_findings.js";
import { layoutOf, valuesOf } from "../../nbtorchviz/widgets/static/src/gradient_flow.js";
import { heatCodes, runsOf, stepUnder } from "../../nbtorchviz/widgets/static/src/gradient_heat.js";
import { countsOf, decadesIn, edgesOf, slots } from "../../nbtorchviz/widgets/static/src/gradient_histogram.js";
import { brokenSpans, sceneOf, stretchOf } from "../../nbtorchviz/widgets/static/src/gradient_lines.js";
import { BROKEN, read } from "../../nbtorchviz/widgets/static/src/gradient_packet.js";
import { rowsOf } from "../../nbtorchviz/widgets/static/src/gradient_rows.js";
import { healthyWords, rowWords, totalWords } from "../../nbtorchviz/widgets/static/src/gradient_words.js";
import { sample } from "./gradient_sample.js";

const FLOW = { main: "gradient", ring: "activation", raw: "raw", number: "ratio", spark: "gradient" };
const open = (changes, header) => {
  const packet = read(sample(changes, header));
  return { packet, rows: new Map(rowsOf(packet.header).map((row) => [row.id, row])) };
};
const flow = (packet, row, column, bands = {}) => valuesOf(packet, row, column, FLOW, bands);

test("a row shows the newest norm up to the step, and says which step that was", () => {
  const { packet, rows } = open();
  const shown = flow(packet, rows.get("token"), 1);
  assert.equal(shown.main, 0); // measured at step 10, not at 20
  assert.equal(shown.step, 10);
  assert.equal(shown.band.count, 0);
});

test("words stand for norms that do not count, and never become zeros", () => {
  const { packet, rows } = open({ state: [[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 4], [3, 3, 3, 3]] });
  const frozen = flow(packet, rows.get("body.fc"), 3);
  assert.equal(frozen.word, "frozen");
  assert.ok(Number.isNaN(frozen.main) && Number.isNaN(frozen.number) && !frozen.band.count);
  assert.equal(rowWords(packet, rows.get("body.fc"), frozen, 3, "flow").split(",")[0], "frozen");
  assert.equal(flow(packet, rows.get("head"), 3).word, "skipped (inf)");
  const without = flow(packet, rows.get("token"), 2); // in no optimizer, but it has a gradient
  assert.equal(without.word, "no optimizer");
  assert.ok(without.main > 0);
});

test("norms outside the zone and ratios outside the band are marked", () => {
  const { packet, rows } = open({ update: [[1, 1, 1, 1], [1, 1, 1, 1], [1e-6, 1e-6, 1e-6, 1e-6], [1e-3, 1e-3, 1e-3, 1e-3]] });
  const bands = { zone: [1, 50], healthy: [1e-4, 1e-2] };
  assert.deepEqual([0, 1, 2, 3].map((c) => flow(packet, rows.get("head"), c, bands).out), [true, false, false, true]);
  assert.equal(flow(packet, rows.get("body.fc"), 3, bands).side, 1);
  assert.equal(flow(packet, rows.get("head"), 3, bands).side, -1);
  assert.equal(flow(packet, rows.get("token"), 0, bands).side, 0);
});

test("a row in words names every number with its step", () => {
  const { packet, rows } = open();
  const words = rowWords(packet, rows.get("head"), flow(packet, rows.get("head"), 3), 3, "flow");
  assert.match(words, /parameter gradient 100, last 32: 0\.10 to 100, gradient of the output 1\.0e−3, update ÷ weight 1\.0e−3$/);
  const old = rowWords(packet, rows.get("token"), flow(packet, rows.get("token"), 1), 1, "flow");
  assert.match(old, /parameter gradient exactly 0 at step 10/);
});

test("the norm over all parameters says what clipping did to it", () => {
  const quiet = [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]];
  const { packet } = open({ gradient: [[3, 3, 3, 3], ...quiet], raw: [[30, 30, 30, 30], ...quiet] });
  const { now, rest } = totalWords(packet, 3);
  assert.deepEqual([now, rest], ["3.00", ", clipped from 30.0"]);
});

test("healthy is only said where rules look", () => {
  const { packet } = open();
  assert.deepEqual(healthyWords(packet, {}), ["", ""]);
  assert.equal(healthyWords(packet, { gradients: { findings: [], rules: 12 } })[0], "Nothing found in 40 steps.");
});

test("problems come before hints, else in the order given, taken back ones not at all", () => {
  const finding = (rule, severity, active = true) => ({ rule, layer: rule, severity, active });
  const list = [finding("c", "hint"), finding("b", "problem"), finding("d", "problem", false), { ...finding("a", "problem"), layers: ["x", "b"] }];
  assert.deepEqual(ranked(list).map(({ rule }) => rule), ["b", "a", "c"]);
  assert.deepEqual([...markedBy(list)], [["b", "problem"], ["x", "problem"], ["c", "hint"]]);
  assert.equal(viewOf({ rule: "no_update" }), "ratio");
  assert.equal(viewOf({ rule: "anything" }), "flow");
  assert.equal(viewOf({ rule: "anything", view: "time" }), "time");
});

test("columns of the rows keep within any width", () => {
  for (const width of [200, 284, 480, 640, 716, 1200]) {
    const { plot, ratio, spark } = layoutOf(width);
    assert.ok(plot[0] >= 0 && plot[1] > plot[0] + 60 && ratio >= plot[1] + 60 && ratio <= width, `${width}`);
    assert.ok(!spark || (spark[0] > ratio && spark[1] <= width));
  }
});

test("colours are in proportion to the median; of several samples in a pixel the farthest shows", () => {
  assert.deepEqual([...heatCodes([0, 1, 2, 3], [1, 100, NaN, 0.01], 4, 1)], [126, 252, 252, 0]); // a sample holds until the next
  assert.deepEqual([...heatCodes([0, 1, 2, 3], [NaN, 1, NaN, NaN], 4, 1)], [255, 126, 255, 255]);
  assert.deepEqual([...heatCodes([0, 1, 2, 99], [1, 1e9, 1, BROKEN], 2, 1)], [252, 254]);
  assert.deepEqual([...heatCodes([], [], 3, NaN)], [255, 255, 255]);
  assert.deepEqual(runsOf(Uint8Array.of(1, 254, 254, 3, 254)), [[1, 3], [4, 5]]);
  assert.equal(stepUnder([10, 20, 90], 50, [0, 100]), 20);
  assert.equal(stepUnder([10, 20, 90], 999, [0, 100]), 90);
});

test("stretches without a norm are named once for all lines that share them", () => {
  assert.deepEqual(brokenSpans([1, 2, 3, 4, 5], [BROKEN, BROKEN, 1, Infinity, BROKEN]), [[1, 2, "NaN"], [4, 4, "Inf"], [5, 5, "NaN"]]);
  const { packet, rows } = open({ gradient: [[1, 1, 1, Infinity], [1, 1, 1, Infinity], [1, 1, 1, Infinity], [1, 1, 1, 1]] });
  const picked = ["body.fc.weight", "body.fc.bias", "head"].map((id, slot) => ({ row: rows.get(id), slot }));
  const { lines } = sceneOf(packet, { picked, others: [rows.get("token")], metric: "gradient", title: "", zone: null });
  const rugs = lines.filter(({ line }) => line.spans.length);
  assert.deepEqual(rugs.map(({ label, line }) => [label, line.spans]), [["3 layers", [[40, 40, "Inf"]]]]);
});

test("a line has the values that were measured, at their own steps", () => {
  const { packet, rows } = open();
  const { lines, limits } = sceneOf(packet, { picked: [{ row: rows.get("token"), slot: 2 }], others: [], metric: "gradient", title: "", zone: null });
  assert.deepEqual([...lines[0].steps], [10, 30, 40]);
  assert.equal(lines[0].color, "line2");
  assert.ok(limits[0] > 0 && limits[1] > limits[0]);
});

test("bins of a strip lie from most negative over zero to most positive", () => {
  const [strip] = open().packet.strips;
  assert.deepEqual(countsOf(strip, 0), { negative: [0, 1], zeros: 3, positive: [0, 1], nan: 0, posinf: 0, neginf: 0 });
  assert.deepEqual(countsOf(strip, 1), { negative: [1, 0], zeros: 0, positive: [7, 0], nan: 1, posinf: 0, neginf: 0 });
  assert.deepEqual([0, 1, 2, 3, 4].map((k) => edgesOf(strip, k)), [[-0.5, -0.25], [-0.25, -0.125], [0, 0], [0.125, 0.25], [0.25, 0.5]]);
});

test("a place on the axis and its bin are each other's inverse", () => {
  const strip = { bins: 17 };
  for (const width of [284, 400, 716]) {
    const axis = slots(strip, width);
    for (let k = 0; k <= 34; k += 1) {
      const [a, b] = axis.of(k);
      assert.ok(b > a, `bin ${k} has no width at ${width}`);
      assert.equal(axis.at((a + b) / 2), k);
    }
    assert.equal(axis.at(axis.left - 1), -1);
  }
});

test("powers of ten lie between bins of powers of two", () => {
  const marks = decadesIn({ lowest: -10, bins: 14 }, 9);
  assert.deepEqual(marks.map(([p]) => p), [-3, -2, -1, 0, 1]);
  assert.ok(Math.abs(marks[3][1] - 10) < 1e-9); // 10^0 is the lower edge of bin 10
  assert.ok(decadesIn({ lowest: -30, bins: 40 }, 4).length <= 4);
});

test("a stretch is cut to the run, follows the newest step, or is the whole", () => {
  const steps = [10, 20, 90];
  assert.deepEqual(stretchOf(steps, null), { whole: [10, 90], shown: [10, 90], range: null });
  assert.deepEqual(stretchOf(steps, [15, 20]).shown, [15, 20]);
  assert.deepEqual(stretchOf(steps, [15, null]).shown, [15, 90]);
  assert.deepEqual(stretchOf(steps, [0, 400]).shown, [10, 90]);
  assert.equal(stretchOf(steps, [200, null]).range, null); // of a longer run before
  assert.equal(stretchOf([1, 400], null).whole[0], 0);
});

test("zoomed lines fit what is in sight, strips begin and end with it", () => {
  const { packet, rows } = open();
  const of = (range) => sceneOf(packet, { picked: [{ row: rows.get("head"), slot: 0 }], others: [], metric: "gradient", title: "", range });
  const all = of(null), left = of([10, 20]);
  assert.ok(all.limits[1] > 99 && left.limits[1] < 2);
  assert.deepEqual(left.shown, [10, 20]);
  assert.deepEqual([...heatCodes([0, 10, 20, 30], [1, 100, 0.01, 1], 4, 1, [10, 20])], [252, 252, 252, 0]);
  assert.deepEqual([...heatCodes([0, 10, 20, 30], [1, 100, 0.01, 1], 2, 1, [2, 8])], [126, 126]); // held from before
  assert.equal(stepUnder([10, 20, 90], 50, [0, 100], [15, 35]), 20);
});
