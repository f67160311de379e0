import assert from "node:assert/strict";
import test from "node:test";

import { heatCodes } from "../../nbtorchviz/widgets/static/src/gradient_heat.js";
import { cellText, lookOf, readStrips } from "../../nbtorchviz/widgets/static/src/map_overview.js";
import { packet } from "./packets.js";

const strips = (statistic, rows, bad) => readStrips(packet(
  { version: 1, seq: 3, statistic, layers: ["a", "b"], gaps: [[20, 90]], samples: 3 },
  { steps: ["u4", [3], [10, 20, 90]], values: ["f4", [2, 3], rows.flat()], ...(bad ? { bad: ["u1", [2, 3], bad.flat()] } : {}) },
));
const codes = (statistic, values, most) => Array.from(heatCodes([0, 1, 2, 3], values, 4, most, [0, 3], lookOf(statistic).look));

test("a share is coloured from 0 to 1, a signed value around zero, by its own largest", () => {
  assert.deepEqual(codes("zero_share", [0, 0.5, 1, 1], 0), [0, 126, 252, 252]);
  assert.deepEqual(codes("mean", [0, -4, 2, 4], 4), [126, 0, 189, 252]);
});

test("what held NaN or Inf is marked, what was not measured holds nothing", () => {
  assert.deepEqual(codes("mean", [NaN, Infinity, 0, 0], 1), [255, 254, 126, 126]);
  assert.deepEqual(codes("nonfinite", [0, 3, 0, 0], 0), [227, 254, 227, 227]);
});

test("a cell names layer, step, statistic and what is wrong", () => {
  const found = strips("std", [[1, 2, NaN], [NaN, 0.5, 4]], [[0, 1, 0], [0, 0, 0]]);
  assert.equal(cellText(found, "b", 95), "b at step 90: std 4.00");
  assert.equal(cellText(found, "a", 20), "a at step 20: std 2.00, held NaN or Inf");
  assert.equal(cellText(found, "b", 12), "b: not measured by step 12");
  assert.equal(cellText(found, "c", 12), "c: not measured");
  assert.equal(cellText(found, "a", 50), "steps 21 to 89 were not recorded");
  assert.deepEqual(Array.from(found.row("a").shown.slice(0, 2)), [1, Infinity]);
});

test("the largest of a signed statistic leaves NaN aside", () => {
  assert.equal(strips("minimum", [[-3, NaN, 1], [0, 0, 0]]).row("a").most, 3);
});
