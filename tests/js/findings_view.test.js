import assert from "node:assert/strict";
import test from "node:test";

import { kindOf, namesOf, nothingOf } from "../../nbtorchviz/widgets/static/src/findings_view.js";

test("what shows in feature maps opens the activations, all else the gradients", () => {
  assert.equal(kindOf({ rule: "dead_relu", layer: "block.relu" }), "activation-browser");
  assert.equal(kindOf({ rule: "dead_relu", layer: "" }), "gradient-inspector");
  assert.equal(kindOf({ rule: "vanishing_gradients", layer: "block.conv" }), "gradient-inspector");
});

test("three layers are named, the one to look at first, and the others counted", () => {
  assert.deepEqual(namesOf({ layer: "c", layers: ["a", "b", "c", "d", "e"] }), [["c", "a", "b"], 2]);
  assert.deepEqual(namesOf({ layer: "", layers: [] }), [[], 0]);
});

test("no finding is not the same before the first step and after some", () => {
  assert.match(nothingOf({ judged: null, rules: 19 }, { model: "Net" }).join(" "), /^Nothing to judge yet\. 19 rules .* training of Net runs\.$/);
  assert.match(nothingOf({ judged: 1200, rules: 19 }, {}).join(" "), /^Nothing wrong was found\. .* step 1,200\.$/);
});
