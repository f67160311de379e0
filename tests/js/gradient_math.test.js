import assert from "node:assert/strict";
import test from "node:test";

import { BAND, bandOf, columnEdges, decades, fitColumns, labelled, medianOf, placeOf, powerTexts, reachOf, smoothLog, span, sparkline, zoneAround } from "../../nbtorchviz/widgets/static/src/gradient_math.js";
import { BROKEN } from "../../nbtorchviz/widgets/static/src/gradient_packet.js";

const floats = (...values) => Float64Array.from(values);

test("an axis has whole decades, at least three, that hold what is shown now", () => {
  assert.deepEqual(decades(reachOf(floats(0.02, 0.5)), []), [-3, 0]);
  assert.deepEqual(decades(reachOf(floats(1, 1)), []), [-2, 1]);
  assert.deepEqual(decades(reachOf(floats(0.01, 0.5)), [3e-7, 20]), [-7, 2]);
  assert.deepEqual(decades(null, []), [-4, 0]);
  assert.deepEqual(decades(reachOf(floats(NaN, BROKEN, 0, Infinity)), [NaN]), [-4, 0]);
});

test("one spike in the history does not squeeze the axis, a vanishing layer is cut at 16 decades", () => {
  const history = Float64Array.from({ length: 1000 }, (_, i) => (i === 7 ? 1e30 : 0.1 + i / 1000));
  assert.ok(decades(reachOf(history), [])[1] <= 1);
  const [low, high] = span([-40, 0]);
  assert.equal(high - low, 16);
});

test("norms without a place on a log axis lie at its ends", () => {
  assert.equal(placeOf(0.1, [-2, 0]), 0.5);
  assert.deepEqual([0, 1e-9, 1e9].map((v) => placeOf(v, [-2, 0])), [0, 0, 1]);
});

test("as many powers are labelled as there is room for, all in one format", () => {
  assert.deepEqual(labelled([-3, 1], 9), [-3, -2, -1, 0, 1]);
  assert.deepEqual(labelled([-12, 0], 7), [-12, -10, -8, -6, -4, -2, 0]);
  assert.ok(labelled([-16, 0], 4).length <= 4);
  assert.deepEqual(powerTexts([-3, -2, 0, 1]), ["0.001", "0.01", "1", "10"]);
  assert.deepEqual(powerTexts([-6, -3, 0]), ["1e−6", "1e−3", "1"]);
});

test("a band spans the last samples before the step shown, without those that are no number", () => {
  const values = floats(100, 1, NaN, 3, 0, BROKEN, 2, 50);
  assert.deepEqual(bandOf(values, 6, 5), { low: 1, high: 3, count: 3, zeros: 1 });
  assert.deepEqual(bandOf(values, 7), { low: 1, high: 100, count: 5, zeros: 1 });
  assert.equal(bandOf(floats(NaN, 0), 1).count, 0);
  assert.equal(bandOf(Float64Array.from({ length: 100 }, () => 1), 99).count, BAND);
});

test("the zone lies around the layer next to the loss, not around what has vanished", () => {
  const [low, high] = zoneAround([1e-11, 1e-8, 1e-3, 0.4, NaN], 100);
  assert.ok(Math.abs(low - 0.004) < 1e-9);
  assert.ok(Math.abs(high - 40) < 1e-9);
  assert.equal(zoneAround([NaN, 0, BROKEN], 100), null);
});

test("the median of norms is taken over those on a log axis", () => {
  assert.equal(medianOf([0, 5, BROKEN, 1, 3]), 3);
  assert.ok(Math.abs(medianOf([1, 100]) - 10) < 1e-12);
  assert.ok(Number.isNaN(medianOf([0, NaN])));
});

test("a sparkline keeps the range of samples that share a pixel, and marks what is no number", () => {
  const steps = floats(0, 1, 2, 3, 100), values = floats(1, 10, 0.1, BROKEN, 1);
  const { spans, marks } = sparkline(steps, values, 11);
  assert.deepEqual(spans.map(([x, high, low]) => [x, high, low]), [[0, 1, -1], [10, 0, 0]]);
  assert.ok(Math.abs(spans[0][3]) < 1e-12); // mean of the logarithms
  assert.deepEqual(marks, [0]);
  assert.deepEqual(sparkline(floats(7), floats(1), 11).spans, [[10, 0, 0, 0]]);
  assert.deepEqual(sparkline(floats(), floats(), 11), { spans: [], marks: [] });
});

test("smoothing works on logarithms and leaves gaps where there is no norm", () => {
  const flat = smoothLog(floats(2, 2, 2, 2), 0.8);
  assert.ok(flat.every((v) => Math.abs(v - 2) < 1e-12));
  const smoothed = smoothLog(floats(1, 100, 1, NaN, 1), 0.5);
  assert.ok(smoothed[1] > 1 && smoothed[1] < 100);
  assert.ok(Number.isNaN(smoothed[3]) && smoothed[4] > 0);
});

test("columns of a strip are halved until they fit; what is rare stays in sight", () => {
  const wide = 3, codes = Uint8Array.from({ length: 10 * wide }, (_, i) => (i === 4 * wide + 1 ? 200 : i % wide === 0 ? 10 : 0));
  const steps = Uint32Array.from({ length: 10 }, (_, i) => 10 * i);
  const whole = fitColumns(codes, steps, wide, 10);
  assert.equal(whole.merged, 1);
  assert.equal(whole.codes, codes);
  const half = fitColumns(codes, steps, wide, 5);
  assert.deepEqual([...half.steps], [10, 30, 50, 70, 90]);
  assert.equal(half.codes[2 * wide + 1], 200);
  assert.equal(half.codes[0], 10);
  const few = fitColumns(codes, steps, wide, 4);
  assert.equal(few.merged, 4);
  assert.deepEqual([...few.steps], [30, 70, 90]); // the newest is the last, alone or not
  assert.equal(Math.max(...few.codes), 200);
  assert.equal(fitColumns(codes, steps, wide, 0).steps.length, 1);
});

test("columns cover their pixels without gaps", () => {
  const edges = columnEdges(7, 100);
  assert.equal(edges.length, 8);
  assert.deepEqual([edges[0], edges[7]], [0, 100]);
  assert.ok(edges.every((edge, i) => !i || edge > edges[i - 1]));
});
