import assert from "node:assert/strict";
import { test } from "node:test";

import { factorOf } from "../../nbtorchviz/widgets/static/src/editor_pad.js";
import { wordsOf } from "../../nbtorchviz/widgets/static/src/editor_words.js";

const HEADER = {
  changed: 50, pixels: 784, most: 1, channels: 1, computed: true, step: 7, explained: 8, flip: null,
  classes: [[8, "eight", 0.2, 0.7], [3, "three", 0.8, 0.3]],
};
const said = (changes = {}, at = {}) => wordsOf({ ...HEADER, ...changes }, { state: {}, gone: false, ...at });

test("a result is said in words, with the class that took over", () => {
  const words = said({ flip: ["three", "eight"] });
  assert.equal(words.changed, "50 of 784 pixels changed (6.4 %), now predicted eight, before three");
  assert.equal(words.when, "step 7, before → after by the same weights");
  assert.equal(words.spoken, "50 of 784 pixels changed (6.4 %), eight 20.0 % → 70.0 %, now predicted eight, before three");
});

test("nothing painted, nothing compared", () => {
  const words = said({ changed: 0, classes: [[8, "eight", null, 0.7]] });
  assert.deepEqual([words.changed, words.when, words.difference], ["No pixel changed.", "step 7", "Difference: none"]);
});

test("what waits, what comes late and what is gone have their sentences", () => {
  const oneWay = { state: { chip: { mode: "one-way" } } };
  assert.match(said({ computed: false }).when, /being computed: at the next step/);
  assert.equal(said({ computed: false }).waits, true);
  assert.match(said({ computed: false }, oneWay).when, /^Strokes arrive between cells/);
  assert.match(said({}, oneWay).when, /strokes arrive between cells in this host$/);
  const refused = { state: { editor: { refusal: "Too many runs." } } };
  assert.equal(said({ computed: false }, refused).when, "Too many runs.");
  assert.doesNotMatch(said({}, refused).when, /Too many/);
  assert.match(said({}, { gone: true }).when, /kernel is gone/);
});

test("a pixel of the pad is a whole number of CSS pixels where there is room", () => {
  assert.deepEqual([[28, 28, 224], [16, 8, 224], [224, 100, 224], [224, 224, 168]].map((of) => factorOf(...of)), [8, 14, 1, 0.75]);
});
