import assert from "node:assert/strict";
import test from "node:test";

import { openAtFirst, rowsOf, visible, weighted } from "../../nbtorchviz/widgets/static/src/gradient_rows.js";
import { LAYERS, PARAMETERS } from "./gradient_sample.js";

const ids = (rows) => rows.map(({ id }) => id);
const rows = rowsOf({ layers: LAYERS, parameters: PARAMETERS });

test("rows are blocks, layers and below them their parameters, in execution order", () => {
  assert.deepEqual(rows.map(({ id, kind, depth }) => [id, kind, depth]), [
    ["body", "block", 0], ["body.fc", "layer", 1], ["body.fc.weight", "parameter", 2], ["body.fc.bias", "parameter", 2],
    ["body.relu", "layer", 1], ["head", "layer", 0], ["head.weight", "parameter", 1], ["token", "parameter", 0],
  ]);
  assert.deepEqual(rows.map(({ elements }) => elements), [15, 15, 12, 3, 0, 6, 6, 4]);
  assert.equal(rows[7].key, "token");
  assert.equal(rows[3].key, "body.fc");
});

test("a second call of a module is a row without parameters of its own", () => {
  const twice = rowsOf({ layers: [["fc", "Linear", 0, ""], ["fc#1", "Linear", 0, ""]], parameters: [[0, "weight", 4]] });
  assert.deepEqual(twice.map(({ id, parameters }) => [id, parameters.length]), [["fc", 1], ["fc.weight", 1], ["fc#1", 0]]);
});

test("what stands below a list that nothing calls has its place in the list as its name", () => {
  const keys = ["encoder", "encoder.layers.0", "encoder.layers.0.fc", "blocks.0", "heads.0", "heads.0.fc", "heads.0.fc#1"];
  const deep = rowsOf({ layers: keys.map((key) => [key, "Module", 1, ""]), parameters: [] });
  assert.deepEqual(deep.map(({ name, depth }) => [name, depth]), [["encoder", 0], ["layers.0", 1], ["fc", 2], ["blocks.0", 0], ["heads.0", 0], ["fc", 1], ["fc#1", 1]]);
});

test("names that begin alike do not make a block's rows", () => {
  const alike = rowsOf({ layers: [["layer1", "Block", 1, ""], ["layer1.fc", "Linear", 0, ""], ["layer10", "Linear", 0, ""]], parameters: [[1, "weight", 4], [2, "weight", 9]] });
  assert.equal(alike[0].elements, 4);
});

test("closed rows hide what is below them", () => {
  assert.deepEqual(ids(visible(rows, new Set())), ["body", "head", "token"]);
  assert.deepEqual(ids(visible(rows, new Set(["body"]))), ["body", "body.fc", "body.relu", "head", "token"]);
  assert.deepEqual(ids(visible(rows, new Set(["body"]), weighted)), ["body", "body.fc", "head", "token"]);
  assert.deepEqual(ids(visible(rows, new Set(["body", "body.fc"]))).slice(2, 4), ["body.fc.weight", "body.fc.bias"]);
});

test("a search finds layers by name and type, whatever is closed", () => {
  assert.deepEqual(ids(visible(rows, new Set(), weighted, "linear")), ["body.fc", "head"]);
  assert.deepEqual(ids(visible(rows, new Set(), weighted, "RELU")), ["body.relu"]);
});

test("as many levels are open at first as there is room for, parameters at last", () => {
  assert.deepEqual([...openAtFirst(rows, 3)], []);
  assert.deepEqual([...openAtFirst(rows, 5)], ["body"]);
  assert.deepEqual([...openAtFirst(rows, 7)], ["body"]);
  assert.deepEqual([...openAtFirst(rows, 8)].sort(), ["body", "body.fc", "head"]);
});
