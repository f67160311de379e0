import assert from "node:assert/strict";
import test from "node:test";

import { contour, difference, heat, positive, resize, spanOf } from "../../nbtorchviz/widgets/static/src/cam_math.js";

const near = (found, wanted, within = 1e-6) => {
  assert.equal(found.length, wanted.length);
  found.forEach((value, i) => assert.ok(Math.abs(value - wanted[i]) <= within, `${i}: ${value}, not ${wanted[i]}`));
};

test("resizing is bilinear with half-pixel centres and clamped edges, as torch's", () => {
  near(resize([0, 4], 1, 2, 1, 4), [0, 1, 3, 4]); // centres at -0.25, 0.25, 0.75, 1.25
  // torch.nn.functional.interpolate(tensor([[0, 1], [2, 4]]), (3, 3), mode="bilinear", align_corners=False)
  near(resize([0, 1, 2, 4], 2, 2, 3, 3), [0, 0.5, 1, 1, 1.75, 2.5, 2, 3, 4]);
  near(resize([1, 2, 3, 4], 1, 4, 1, 2), [1.5, 3.5]); // smaller, without antialiasing
  near(resize([7], 1, 1, 2, 3), [7, 7, 7, 7, 7, 7]);
});

test("resizing is linear: of a difference it is the difference of both", () => {
  const a = [0.3, -1, 2, 5, 0, -0.5], b = [1, 1, -3, 0.25, 2, 4];
  near(resize(difference(a, b), 2, 3, 7, 9), [...resize(a, 2, 3, 7, 9)].map((v, i) => v - resize(b, 2, 3, 7, 9)[i]), 1e-5);
});

test("a contrast keeps its sign; positive values alone are what ReLU leaves", () => {
  near(difference([1, 2, 3], [3, 2, 1]), [-2, 0, 2]);
  near(positive([-1, 0, 2, NaN]), [0, 0, 2, 0]);
});

test("the span knows of zero maps and of values that are none", () => {
  assert.deepEqual(spanOf([1, -2, 0]), { lo: -2, hi: 1, nan: 0, zero: false });
  assert.deepEqual(spanOf([0, 0]), { lo: 0, hi: 0, nan: 0, zero: true });
  assert.deepEqual(spanOf([NaN, 0, 3]), { lo: 0, hi: 3, nan: 1, zero: false });
  assert.deepEqual(spanOf([NaN]), { lo: NaN, hi: NaN, nan: 1, zero: false });
});

test("a contour goes half way between two values that lie evenly around the level", () => {
  const lines = contour([0, 0, 0, 0, 1, 0, 0, 0, 0], 3, 3, 0.5); // a diamond around the centre (1.5, 1.5)
  const points = new Set();
  for (let i = 0; i < lines.length; i += 2) points.add(`${lines[i]},${lines[i + 1]}`);
  assert.deepEqual([...points].sort(), ["1,1.5", "1.5,1", "1.5,2", "2,1.5"]);
  assert.equal(lines.length, 16);
});

test("a contour at the border is closed along it, and there is none where nothing reaches the level", () => {
  const lines = contour([1], 1, 1, 0.5), ends = {};
  for (let i = 0; i < lines.length; i += 2) { const key = `${lines[i]},${lines[i + 1]}`; ends[key] = (ends[key] || 0) + 1; }
  assert.deepEqual(new Set(Object.keys(ends)), new Set(["0,0.5", "0.5,0", "1,0.5", "0.5,1"]));
  assert.ok(Object.values(ends).every((count) => count === 2)); // every end meets another
  assert.equal(contour([0, 0, 0, 0], 2, 2, 0.5).length, 0);
  assert.equal(contour([0, NaN, 0, 0], 2, 2, 0.5).length, 0);
});

test("a saddle is decided by the mean of its corners", () => {
  const middle = (a, b, c, d) => {
    const lines = contour([a, b, c, d], 2, 2, 0.5), inner = [];
    for (let i = 0; i < lines.length; i += 4) {
      const [x, y] = [(lines[i] + lines[i + 2]) / 2, (lines[i + 1] + lines[i + 3]) / 2];
      if (x > 0.5 && x < 1.5 && y > 0.5 && y < 1.5) inner.push([x > 1, y > 1]);
    }
    return inner.map(String).sort();
  };
  assert.deepEqual(middle(2, 0, 0, 2), ["false,true", "true,false"]); // high: both corners joined
  assert.deepEqual(middle(0.6, 0, 0, 0.6), ["false,false", "true,true"]); // low: each for itself
});

test("colour has the strength of value, opacity times value over scale; where the map is 0 the picture stays", () => {
  const table = Uint32Array.from({ length: 253 }, (_, i) => (0xff000000 | i) >>> 0);
  const [zero, half, full, over] = heat([0, 1, 2, 9], 2, table, 0.5, false);
  assert.deepEqual([zero, half, full, over].map((p) => p >>> 24), [0, 64, 128, 128]);
  assert.deepEqual([half, full, over].map((p) => p & 255), [126, 252, 252]);
  const [against, none, wanted] = heat([-2, 0, 2], 2, table, 1, true);
  assert.deepEqual([against, none, wanted].map((p) => p >>> 24), [255, 0, 255]);
  assert.deepEqual([against, none, wanted].map((p) => p & 255), [0, 126, 252]);
  assert.deepEqual([...heat([1], 0, table, 1, false)], [0]); // a map without a maximum paints nothing
});
