// Words of the checks of a map: when they run, and when an answer is about another map.

import assert from "node:assert/strict";
import { test } from "node:test";

import { staleWords, whenWords } from "../../nbtorchviz/widgets/static/src/cam_trust.js";

const answer = { row: 0, layer: "relu2", target: 3, method: "gradcam", step: 10 };

test("an answer about another map says what changed", () => {
  assert.equal(staleWords(answer, { ...answer }), "");
  assert.equal(staleWords(answer, { ...answer, layer: "relu1", target: 5 }), "Not of the map shown: layer and class changed since.");
  assert.equal(staleWords(answer, { ...answer, row: 1 }), "Not of the map shown: image changed since.");
  assert.equal(staleWords(answer, { ...answer, method: "hirescam", step: 12 }), "Not of the map shown: method changed since.");
  assert.equal(staleWords(answer, { ...answer, step: 12 }), "The map shown is of step 12.");
});

test("what a check costs a training is said before it is asked for", () => {
  const trust = { share: 0.2 };
  assert.match(whenWords(trust, { mode: "live", status: "", step: 5 }), /up to 20 % of its time, between its steps/);
  assert.match(whenWords(trust, { mode: "background", status: "paused", step: 5 }), /now, while training is paused/);
  assert.match(whenWords(trust, { mode: "one-way", status: "", step: 5 }), /when the running cell ends/);
  assert.match(whenWords(trust, { mode: "idle", status: "", step: 5 }), /While training goes on/);
  assert.equal(whenWords(trust, { mode: "idle", status: "", step: 0 }), "On a copy of the model.");
});
