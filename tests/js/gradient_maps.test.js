import assert from "node:assert/strict";
import { test } from "node:test";

import { shownOf, titleOf, wantedOf } from "../../nbtorchviz/widgets/static/src/gradient_maps.js";
import { read } from "../../nbtorchviz/widgets/static/src/gradient_packet.js";
import { rowsOf } from "../../nbtorchviz/widgets/static/src/gradient_rows.js";
import { sample } from "./gradient_sample.js";

const rows = new Map(rowsOf(read(sample()).header).map((row) => [row.id, row]));

test("a layer shows its output's gradient, its parameters and their gradients", () => {
  assert.deepEqual(shownOf(rows.get("head")).map(([value]) => value), ["@gradient", "weight.grad", "weight"]);
  assert.deepEqual(shownOf(rows.get("body.fc")).map(([value]) => value), ["@gradient", "weight.grad", "weight", "bias.grad", "bias"]);
  assert.deepEqual(shownOf(rows.get("body.relu")).map(([value]) => value), ["@gradient"]);
  assert.deepEqual(shownOf(rows.get("token")).map(([value]) => value), ["token.grad", "token"]); // of no layer
});

test("what a layer does not have stands for what it has", () => {
  assert.equal(wantedOf(rows.get("head"), "weight"), "weight");
  assert.equal(wantedOf(rows.get("head"), "bias"), "@gradient");
  assert.equal(wantedOf(rows.get("token"), ""), "token.grad");
  assert.equal(wantedOf(undefined, "weight"), "@gradient");
});

test("a picture says what it shows", () => {
  assert.equal(titleOf({ of: "@gradient", layer: "fc", asked: "fc" }), "d loss / d output of fc");
  assert.equal(titleOf({ of: "weight.grad", layer: "fc.weight", asked: "fc" }), "d loss / d fc.weight");
  assert.equal(titleOf({ of: "weight", layer: "fc.weight", asked: "fc" }), "weight of fc");
  assert.equal(titleOf({ of: "weight", layer: "a.weight", asked: "b", tied: ["b.weight"] }), "a.weight = b.weight (tied)");
  assert.equal(titleOf({ of: "weight.grad", layer: "a.weight", asked: "a", tied: ["b.weight"] }), "d loss / d a.weight = b.weight (tied)");
  assert.equal(titleOf({ of: "token", layer: "token", asked: "token" }), "token");
});
