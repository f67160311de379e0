import assert from "node:assert/strict";
import test from "node:test";

import { BROKEN, columnAt, columnOf, countOf, measuredAt, normTable, read, stepWords, together } from "../../nbtorchviz/widgets/static/src/gradient_packet.js";
import { rowsOf } from "../../nbtorchviz/widgets/static/src/gradient_rows.js";
import { NAN, code, sample } from "./gradient_sample.js";

const near = (got, wanted) => assert.ok(Math.abs(got - wanted) <= 0.0014 * wanted, `${got} is not about ${wanted}`);
const rowsBy = (packet) => new Map(rowsOf(packet.header).map((row) => [row.id, row]));

test("a code and back is right to 0.14 %, and words stay words", () => {
  const table = normTable();
  for (const v of [1e-30, 3.3e-9, 0.5, 1, 7.7, 1e5, 1e30]) near(table[code(v)], v);
  assert.equal(table[0], 0);
  assert.equal(table[code(Infinity)], Infinity);
  assert.equal(table[NAN], BROKEN);
  assert.ok(Number.isNaN(table[code(NaN)]));
});

test("counts up to 20 come back exactly", () => {
  for (let n = 0; n <= 20; n += 1) assert.equal(countOf(Math.round(16 * Math.log2(n + 1))), n);
  for (const n of [100, 2048, 50000]) assert.ok(Math.abs(countOf(Math.round(16 * Math.log2(n + 1))) / n - 1) < 0.023);
});

test("norms of several tensors add as squares; NaN spreads, unmeasured ones are left out", () => {
  assert.equal(together([3, 4]), 5);
  assert.equal(together([3, NaN, 4]), 5);
  assert.equal(together([3, BROKEN]), BROKEN);
  assert.equal(together([3, Infinity]), Infinity);
  assert.ok(Number.isNaN(together([NaN, NaN])));
  assert.ok(Number.isNaN(together([])));
});

test("a layer's norm is that of its parameters, a block's that of all within", () => {
  const packet = read(sample()), rows = rowsBy(packet);
  near(packet.series(rows.get("body.fc"), "gradient")[0], 5);
  near(packet.series(rows.get("body"), "gradient")[3], 5);
  near(packet.series(rows.get("body.fc.bias"), "gradient")[0], 4);
  near(packet.series(rows.get("body.fc"), "ratio")[0], 0.001);
  near(packet.series(rows.get("body.fc"), "effective")[0], Math.SQRT2 / 5000);
  near(packet.series(rows.get("body.relu"), "activation")[3], 0.01);
  assert.ok(packet.series(rows.get("body.relu"), "gradient").every(Number.isNaN));
  assert.ok(packet.series(rows.get("head"), "raw").every(Number.isNaN)); // nobody clipped
  assert.deepEqual([...packet.series(rows.get("token"), "gradient")].slice(0, 2), [0, NaN]);
});

test("a series is made once, so that a move costs nothing", () => {
  const packet = read(sample()), row = rowsBy(packet).get("body");
  assert.equal(packet.series(row, "gradient"), packet.series(row, "gradient"));
});

test("a word is said for a row when all its parameters share it", () => {
  const packet = read(sample({ state: [[1, 0, 0, 4], [1, 1, 0, 4], [0, 0, 2, 4], [0, 0, 0, 0]] })), rows = rowsBy(packet);
  assert.equal(packet.wordAt(rows.get("body.fc"), 0), "frozen");
  assert.equal(packet.wordAt(rows.get("body"), 0), "frozen");
  assert.equal(packet.wordAt(rows.get("body.fc"), 1), "");
  assert.deepEqual(packet.wordsWithin(rows.get("body.fc"), 1), ["bias frozen"]);
  assert.equal(packet.wordAt(rows.get("head"), 2), "unused");
  assert.equal(packet.wordAt(rows.get("head"), 3), "skipped (inf)");
  assert.equal(packet.wordAt(rows.get("body.relu"), 0), "");
});

test("the column of a step is the newest at or before it", () => {
  const steps = [10, 20, 30, 40];
  assert.deepEqual([5, 10, 19, 20, 99].map((step) => columnAt(steps, step)), [-1, 0, 0, 1, 3]);
  assert.equal(columnAt([], 3), -1);
  assert.equal(measuredAt([1, NaN, NaN], 2), 0);
  assert.equal(measuredAt([NaN, 2], 0), -1);
});

test("strips know their width and steps", () => {
  const [strip] = read(sample()).strips;
  assert.equal(strip.wide, 8);
  assert.deepEqual([...strip.steps], [20, 40]);
});

test("steps that were skipped carry the number of the step before, which stays within reach", () => {
  const steps = Uint32Array.of(0, 1, 2, 2, 2, 3);
  assert.deepEqual([0, 1, 2, 3, 9].map((step) => columnOf(steps, step)), [0, 1, 2, 5, 5]);
  assert.equal(columnAt(steps, 2), 4);
  assert.deepEqual([0, 150, 180, 181, 205, 999].map((step) => columnOf(Uint32Array.of(102, 152, 208, 288), step)), [0, 1, 1, 2, 2, 3]); // the nearest
  const packet = { steps, columns: 6, header: { words: ["", "frozen", "skipped (inf)"], parameters: [[0, "bias", 1], [0, "weight", 2]] } };
  packet.arrays = { state: Uint8Array.of(1, 1, 1, 1, 1, 1, 2, 0, 0, 2, 2, 0) };
  const said = () => [0, 1, 2, 3].map((step) => stepWords(packet, step));
  assert.deepEqual(said(), ["step 0, 1 skipped (inf)", "step 1", "step 2, then 2 skipped (inf)", "step 3"]);
  packet.arrays.state.fill(0); // forwards without any step carry the number 0 as well
  assert.deepEqual(said(), ["step 0", "step 1", "step 2", "step 3"]);
  assert.deepEqual([...read(sample()).told], [...new Set(read(sample()).steps)]);
});
