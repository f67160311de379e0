import assert from "node:assert/strict";
import test from "node:test";

import { keyOfCall, nearest, placeOf } from "../../nbtorchviz/widgets/static/src/map_foot.js";
import { visibleRows } from "../../nbtorchviz/widgets/static/src/map_tree.js";

const row = (key, depth, block = false) => ({ key, depth, block, type: block ? "Sequential" : "ReLU" });
const ROWS = [
  row("input", 0), row("a", 0, true), row("a.b", 1, true), row("a.b.relu", 2), row("a.relu", 1), row("c", 0, true), row("c.relu", 1),
];
const keys = (closed, query = "") => visibleRows(ROWS, new Set(closed), query).map(({ key }) => key);

test("a closed block hides what is inside it, at any depth, and nothing else", () => {
  assert.deepEqual(keys([]), ROWS.map(({ key }) => key));
  assert.deepEqual(keys(["a"]), ["input", "a", "c", "c.relu"]);
  assert.deepEqual(keys(["a.b"]), ["input", "a", "a.b", "a.relu", "c", "c.relu"]);
  assert.deepEqual(keys(["a", "a.b", "c"]), ["input", "a", "c"]);
});

test("a search finds by path or type, in closed blocks too", () => {
  assert.deepEqual(keys(["a"], "B.RELU"), ["a.b.relu"]);
  assert.deepEqual(keys(["a"], "sequential"), ["a", "a.b", "c"]);
  assert.deepEqual(keys([], "<img src=x>"), []);
});

test("calls of one module are keys of their own", () => {
  assert.equal(keyOfCall("a.relu", 1), "a.relu#1");
  assert.equal(keyOfCall("a.relu#3", 0), "a.relu");
  assert.equal(keyOfCall("a.relu#3", 2), "a.relu#2");
});

test("a flag lies between the kept steps around it and opens the first one from it on", () => {
  assert.deepEqual(placeOf(15, [10, 20]), { left: 0.25, first: 1 });
  assert.deepEqual(placeOf(20, [10, 20]), { left: 0.5, first: 1 });
  assert.deepEqual(placeOf(3, [10, 20]), { left: 0, first: 0 });
  assert.deepEqual(placeOf(30, [10, 20]), { left: 1, first: 2 }); // the live edge
  assert.deepEqual(placeOf(30, []), { left: 0, first: 0 });
});

test("a step that is not kept stands at the nearest kept one, which is what is shown", () => {
  assert.deepEqual([0, 4, 6, 12, 99].map((step) => nearest([1, 5, 10, 20], step)), [0, 1, 1, 2, 3]);
  assert.equal(nearest([], 4), 0);
});
