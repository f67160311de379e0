import assert from "node:assert/strict";
import test from "node:test";

import { turnsOf } from "../../nbtorchviz/widgets/static/src/cam_turns.js";

const scene = (cam, method = "occlusion", made = method, step = 10) => ({ cam, frame: { header: { method: made, step: 10 } }, pick: { method }, gone: false, state: { step } });

test("maps of layers, of the newest weights or without a kernel need no word", () => {
  assert.equal(turnsOf(scene({ busy: true }, "gradcam")), null);
  assert.equal(turnsOf(scene({})), null);
  assert.equal(turnsOf({ ...scene({ busy: true }), gone: true }), null);
});

test("what is under way says of which step it is, how far, and can be left", () => {
  const turns = { method: "occlusion", share: 0.452, left_s: 2.1, step: 7 };
  const said = turnsOf(scene({ turns, busy: true }));
  assert.deepEqual(said, { kind: "running", words: "Occlusion of step 7: 45 %, about 3 s of work left", act: ["input:cancel", "Cancel"], percent: 45 });
  assert.equal(turnsOf(scene({ turns: { ...turns, left_s: null }, busy: true })).words, "Occlusion of step 7: 45 %");
  assert.equal(turnsOf(scene({ turns: null, busy: true })).kind, "waiting");
});

test("a map of earlier weights says how much earlier, and a failed one that it is none", () => {
  assert.equal(turnsOf(scene({}, "occlusion", "occlusion", 11)).words, "Occlusion is of the weights of step 10, 1 step ago.");
  assert.deepEqual(turnsOf(scene({}, "deeplift", "deeplift", 30)).act, ["input:again", "Compute again"]);
  assert.equal(turnsOf(scene({ message: { title: "No map" } }, "deeplift", "gradcam")).kind, "failed");
  assert.equal(turnsOf(scene({ message: null }, "deeplift", "gradcam")), null); // chosen this moment
});
