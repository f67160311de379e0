// The method picker: what maps the input says so, what it costs, and what is to be installed.

import assert from "node:assert/strict";
import { test } from "node:test";

import { mapsInput, methodName, methodOptions } from "../../nbtorchviz/widgets/static/src/cam_words.js";

const methods = ["gradcam", "layercam", "occlusion", "deeplift"];

test("methods of the input say what they cost before they are chosen", () => {
  const options = methodOptions({ methods, costs: { occlusion: "about 9 s" } }, "gradcam");
  assert.deepEqual(options, [["gradcam", "Grad-CAM"], ["layercam", "LayerCAM"], ["occlusion", "Occlusion of the input (about 9 s)", false], ["deeplift", "DeepLift of the input", false]]);
  assert.equal(methodOptions({ methods, costs: { occlusion: "about 9 s" } }, "occlusion")[2][1], "Occlusion");
});

test("without captum they are greyed, with the line that installs it", () => {
  const absent = { occlusion: "pip install captum" };
  assert.deepEqual(methodOptions({ methods, absent }, "gradcam")[2], ["occlusion", "Occlusion (pip install captum)", true]);
});

test("a method that nobody announced stays choosable", () => {
  assert.deepEqual(methodOptions({ methods: ["gradcam"] }, "new").at(-1), ["new", "new"]);
  assert.equal(methodOptions({}, "gradcam").length, 5);
  assert.equal(methodName("integrated_gradients"), "Integrated Gradients");
  assert.deepEqual(["occlusion", "gradcam"].map(mapsInput), [true, false]);
});
