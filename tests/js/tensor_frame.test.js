import assert from "node:assert/strict";
import test from "node:test";

import { frameOf, itemShape, numbersOf, pictureSide, whatIs } from "../../nbtorchviz/widgets/static/src/tensor_frame.js";

const shaped = (values, shape) => Object.assign(values, { shape });
const header = {
  held: [3, 2], shape: [9, 2, 1, 2], batched: true, layout: "NCHW", dtype: "float32",
  display: { view: "maps", total: 2, first: 0, ranges: [[0, 1], [0, 7]], quiet: [[], [1]], signed: false },
  stats: { minimum: -1.5, maximum: 2, mean: 0, std: null, nan: 2, posinf: 0, neginf: 1, count: 36 },
};
const arrays = { planes: shaped(Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8]), [2, 2, 1, 2]), lo: shaped(Float32Array.from([0, 1, 2, 3]), [2, 2]) };

test("a frame holds the planes of its own sample", () => {
  const frame = frameOf({ header, arrays }, 4);
  assert.deepEqual([...frame.arrays.planes], [5, 6, 7, 8]);
  assert.deepEqual(frame.arrays.planes.shape, [2, 1, 2]);
  assert.deepEqual([...frame.arrays.lo], [2, 3]);
  assert.deepEqual([frame.header.range, frame.header.quiet, frame.header.shape], [[0, 7], [1], [2, 1, 2]]);
  assert.equal(frame.header.step, undefined);
});

test("a sample that is not in the packet has no frame", () => {
  for (const sample of [2, 5]) assert.equal(frameOf({ header, arrays }, sample), null);
  assert.equal(frameOf({ header: { ...header, display: null }, arrays: {} }, 3), null);
});

test("it says what it is and how its numbers lie", () => {
  assert.equal(whatIs(header), "9×2×1×2, float32, read as NCHW");
  assert.equal(whatIs({ shape: [], dtype: "int64", layout: "" }), "one number, int64");
  assert.deepEqual(numbersOf(header), { text: "min −1.50  max 2.00  mean 0", bad: "2 NaN, 1 −Inf of 36 values" });
  assert.deepEqual(itemShape({ shape: [5, 4], batched: false, layout: "HW" }), [1, 5, 4]);
  assert.deepEqual([1, 6, 7, 20, 21].map(pictureSide), [120, 120, 80, 80, 56]);
});
