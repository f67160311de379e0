import assert from "node:assert/strict";
import test from "node:test";

import { OWN, read, readImages } from "../../nbtorchviz/widgets/static/src/cam_packet.js";
import { barsOf, explained, largest, layerToTry, mapOf } from "../../nbtorchviz/widgets/static/src/cam_scene.js";
import { tapeOf } from "../../nbtorchviz/widgets/static/src/cam_tape.js";
import { className, noteWords, sizeWords, targetName, whyNothing } from "../../nbtorchviz/widgets/static/src/cam_words.js";
import { packet } from "./packets.js";

const FULL = 65534;

/** Two images, slots of classes 3 and 5 (and 5 against 3); layer a of 1x2, b of 1x1 and zero, c negative. */
function frameOf(changes = {}, extra = {}) {
  const rows = [{ name: "image 0", label: 3, cls: 3, top: [[3, 0.7], [5, 0.2]] }, { name: "image 1", label: null, cls: 5, top: [[5, 0.6], [3, 0.3]] }];
  const layers = ["a", "b", "c"].map((key) => ({ key, type: "ReLU", shape: [4, 1, 2], pooled: 1, note: "" }));
  const header = { version: 1, seq: 1, step: 7, method: "gradcam", linear: true, layer: "a", classes_known: 10, notes: [], rows, layers, ...changes };
  return read(packet(header, {
    classes: ["i4", [2, 2], [3, 5, 5, 3]], against: ["i4", [2, 2], [-1, -1, -1, -1]], p: ["f4", [2, 2], [0.7, 0.2, 0.6, 0.3]],
    maps0: ["u2", [2, 2, 1, 2], [0, FULL, FULL, 0, 0, 65535, 0, FULL]], range0: ["f4", [2, 2, 2], [-1, 3, 0, 2, 0, 1, 0, 1]],
    maps1: ["u2", [2, 2, 1, 1], [0, 0, 0, 0]], range1: ["f4", [2, 2, 2], [0, 0, 0, 0, 0, 0, 0, 0]],
    maps2: ["u2", [2, 2, 1, 1], [0, 0, 0, 0]], range2: ["f4", [2, 2, 2], [-2, -2, -2, -2, -2, -2, -2, -2]],
    ...extra,
  }));
}

const frame = () => frameOf();
const PICK = { layer: "a", target: null, contrast: null, sign: "positive" };

test("codes are values on each map's own range; the last is no number", () => {
  const f = frame();
  assert.deepEqual([...f.mapOf(0, "a", 0).values], [-1, 3]);
  assert.deepEqual([...f.mapOf(0, "a", 1).values], [2, 0]);
  assert.deepEqual([...f.mapOf(1, "a", 0).values], [0, NaN]);
  assert.equal(f.mapOf(0, "none", 0), null);
  assert.equal(f.mapOf(0, "a", -1), null);
});

test("what is explained: a class for all, or the one of each image, against none, one or the next", () => {
  const f = frame();
  assert.deepEqual(explained(f, 0, PICK), { cls: 3, against: -1 });
  assert.deepEqual(explained(f, 1, { ...PICK, contrast: "second" }), { cls: 5, against: 3 });
  assert.deepEqual(explained(f, 1, { ...PICK, target: 3, contrast: "second" }), { cls: 3, against: 5 });
  assert.deepEqual(explained(f, 0, { ...PICK, target: 9, contrast: 2 }), { cls: 9, against: 2 });
});

test("a contrast is the difference of raw maps before the ReLU, for methods that are linear", () => {
  const f = frame(), both = mapOf(f, 0, "a", { ...PICK, contrast: 5 });
  assert.deepEqual([...both.raw], [-3, 3]); // [-1, 3] - [2, 0]
  assert.deepEqual([...both.shown], [0, 3]);
  assert.equal(both.scale, 3);
  assert.deepEqual([...mapOf(f, 0, "a", { ...PICK, contrast: 5, sign: "signed" }).shown], [-3, 3]);
  const other = frameOf({ linear: false });
  assert.equal(mapOf(other, 0, "a", { ...PICK, contrast: 5 }).word, "missing"); // Python has to compute it
});

test("a map that shows nothing has a word, and a layer to try", () => {
  const f = frame();
  assert.equal(mapOf(f, 0, "a", PICK).word, "");
  assert.equal(mapOf(f, 0, "b", PICK).word, "zero");
  assert.equal(mapOf(f, 0, "c", PICK).word, "negative");
  assert.equal(mapOf(f, 0, "c", { ...PICK, sign: "signed" }).word, "");
  assert.equal(mapOf(f, 1, "a", PICK).word, "nan");
  assert.equal(mapOf(f, 0, "a", { ...PICK, target: 8 }).word, "missing");
  assert.equal(mapOf(f, 0, "a", { ...PICK, target: 3, contrast: 3 }).word, "same");
  assert.equal(mapOf(f, 0, "fc", PICK).word, "absent");
  assert.equal(layerToTry(f, 0, "b", PICK), "a");
  assert.equal(layerToTry(f, 1, "b", PICK), "");
  assert.equal(largest(f, 0, PICK), 3);
});

test("every word has a sentence that says what to do", () => {
  const f = frame(), names = ["zero", "one", "two", "three", "four", "five"];
  const say = (layer, pick) => whyNothing(mapOf(f, 0, layer, { ...PICK, ...pick }), { names, layer, hint: "a", waits: "It is being computed." }).join(" ");
  assert.equal(say("b"), "Exactly 0: no gradient of three reaches b. Try a.");
  assert.equal(say("c"), "Nothing speaks for three here: all 1 values ≤ 0, down to −2.00. “signed” shows them; or try a.");
  assert.equal(say("a", { target: 5, contrast: 5 }), "five − five: a class against itself is 0 everywhere. Choose another class to hold it against.");
  assert.equal(say("a", { target: 9 }), "No map of class 9 for this image yet. It is being computed.");
  assert.match(say("fc"), /^No map of fc is here\. .*Try a\.$/);
});

test("numbers beside a map are the raw ones", () => {
  const f = frame(), map = mapOf(f, 0, "a", PICK);
  assert.equal(sizeWords(map, 12, false), "max 3.00, 25 % of the largest layer");
  assert.equal(sizeWords(map, 0, true), "−1.00 to 3.00");
});

test("the class explained has a bar although it is not among the most probable", () => {
  const f = frame();
  assert.deepEqual(barsOf(f, 0, { cls: 3, against: -1 }).map(([c]) => c), [3, 5]);
  assert.deepEqual(barsOf(f, 0, { cls: 9, against: -1 }).map(([c]) => c), [3, 5, 9]);
  assert.ok(Number.isNaN(barsOf(f, 0, { cls: 9, against: -1 })[2][1]));
});

test("names: the user's, else the number; a target that is no class has its own", () => {
  assert.equal(className(["cat"], 0), "cat");
  assert.equal(className([], 4), "class 4");
  assert.equal(className(Object.assign([], { own: "similarity" }), OWN), "similarity");
  assert.equal(targetName(["cat", "dog"], { cls: 0, against: 1 }), "cat − dog");
});

test("the note says the scale, the image's rule and what was averaged", () => {
  const words = noteWords({ frame: frame(), pick: { ...PICK, contour: 0.5 }, images: [{ note: "from [−1, 1]" }], pooled: "1 of 3 layers averaged over blocks.", names: ["a"] });
  assert.match(words, /value ÷ the map's maximum; line at 50 %/);
  assert.match(words, /Image: from \[−1, 1\]\. 1 of 3 layers averaged over blocks\.$/);
});

test("images: gray and colour as pixels, and those that are no pictures", () => {
  const [gray, colour, none] = readImages(packet({ rows: [{ name: "a", note: "" }, { name: "b", note: "" }, { name: "c", note: "35 numbers" }] }, {
    image0: ["u1", [1, 2], [0, 255]], image1: ["u1", [1, 1, 3], [1, 2, 3]],
  }));
  assert.deepEqual([...gray.pixels], [0xff000000, 0xffffffff]);
  assert.deepEqual([...colour.pixels], [0xff030201]);
  assert.equal(none.pixels, null);
});

test("a tape that is full forgets every other step, never the first and the newest", () => {
  const tape = tapeOf(100);
  for (let step = 0; step < 40; step += 1) tape.add({ header: { step }, bytes: 10 });
  const steps = tape.steps();
  assert.ok(steps.length <= 10 && steps.length >= 5, String(steps));
  assert.deepEqual([steps[0], steps.at(-1)], [0, 39]);
  assert.equal(tape.get(39).header.step, 39);
  assert.equal(tape.get(1), null);
});
